// The few machine instructions and system calls that Swift cannot name.
#ifndef CRUNTIME_H
#define CRUNTIME_H
#include <stdint.h>
/// Tells the core that this is a spin loop.
void ltm_pause(void);
/// Sleeps while `*address == expected`. May return early.
void ltm_futex_wait(const uint32_t *address, uint32_t expected);
/// Wakes up to `count` sleepers on `address`.
void ltm_futex_wake(const uint32_t *address, int count);
#endif
