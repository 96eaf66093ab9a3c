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
/// The number of cores that this process may run on, at least 1.
int ltm_core_count(void);
/// The cores that the calling thread may run on, the first `capacity` of them, and how many there are; 0 where that is not known.
int32_t ltm_cores(int32_t *cores, int32_t capacity);
/// The core that the calling thread runs on, or less than 0.
int32_t ltm_current_core(void);
/// Lets a thread run on one core only.
void ltm_move(unsigned long thread, int32_t core);
/// Opens a file for reading; a descriptor, or minus the errno. Never blocks on a pipe and never becomes a controlling terminal.
int ltm_open_read(const char *path);
/// Asks the system for AMX's tile registers, which processes have not by themselves; 0, or an errno.
int ltm_request_tiles(void);
/// Whether the calling thread is inside a task of a pool; a place of its own for each thread.
int32_t *ltm_inside_task(void);
#endif
