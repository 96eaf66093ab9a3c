#define _GNU_SOURCE
#include "CRuntime.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
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

int ltm_core_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
  // More cores than the set can name.
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (int)online : 1;
}

int32_t ltm_cores(int32_t *cores, int32_t capacity) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  int32_t count = 0;
  for (int32_t core = 0; core < CPU_SETSIZE; core++)
    if (CPU_ISSET(core, &set)) {
      if (count < capacity) cores[count] = core;
      count++;
    }
  return count;
}

int32_t ltm_current_core(void) { return sched_getcpu(); }

void ltm_move(unsigned long thread, int32_t core) {
  cpu_set_t set;
  if (core < 0 || core >= CPU_SETSIZE) return;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  // Where it is refused, the thread stays where the system puts it.
  pthread_setaffinity_np(thread, sizeof set, &set);
}

int ltm_request_tiles(void) {
#if defined(__x86_64__) && defined(SYS_arch_prctl)
  enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 ? 0 : errno;
#else
  return ENOSYS;
#endif
}

int ltm_open_read(const char *path) {
  int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  return descriptor < 0 ? -errno : descriptor;
}

int32_t *ltm_inside_task(void) {
  static _Thread_local int32_t inside;
  return &inside;
}
