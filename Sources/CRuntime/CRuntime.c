#define _GNU_SOURCE
#include "CRuntime.h"
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

void ltm_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

void ltm_futex_wait(const uint32_t *address, uint32_t expected) {
  syscall(SYS_futex, address, FUTEX_WAIT_PRIVATE, expected, 0, 0, 0);
}

void ltm_futex_wake(const uint32_t *address, int count) {
  syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, count, 0, 0, 0);
}
