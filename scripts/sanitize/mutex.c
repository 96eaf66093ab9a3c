// Tells the thread sanitizer what Swift's Mutex does where two threads meet: its slow paths lie in a library that is not instrumented, and the
// kernel hands the lock over. Loaded before the program; each function runs the library's own, whose `self` is the lock, in r13.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

void *mutex_lock_slow, *mutex_unlock_slow;
void (*mutex_acquire)(void *), (*mutex_release)(void *);

static void ignore(void *address) { (void)address; }

__attribute__((constructor)) static void find(void) {
  mutex_lock_slow = dlsym(RTLD_NEXT, LOCK);
  mutex_unlock_slow = dlsym(RTLD_NEXT, UNLOCK);
  void *acquire = dlsym(RTLD_DEFAULT, "__tsan_acquire"), *release = dlsym(RTLD_DEFAULT, "__tsan_release");
  mutex_acquire = acquire ? (void (*)(void *))acquire : ignore;
  mutex_release = release ? (void (*)(void *))release : ignore;
}

__asm__(
    ".text\n.globl \"" LOCK "\"\n.type \"" LOCK "\",@function\n"
    "\"" LOCK "\":\n"
    "  push %r13\n"
    "  mov mutex_lock_slow@GOTPCREL(%rip), %rax\n  call *(%rax)\n"
    "  mov (%rsp), %rdi\n"
    "  mov mutex_acquire@GOTPCREL(%rip), %rax\n  call *(%rax)\n"
    "  pop %r13\n  ret\n"
    ".globl \"" UNLOCK "\"\n.type \"" UNLOCK "\",@function\n"
    "\"" UNLOCK "\":\n"
    "  push %r13\n"
    "  mov %r13, %rdi\n"
    "  mov mutex_release@GOTPCREL(%rip), %rax\n  call *(%rax)\n"
    "  mov (%rsp), %r13\n"
    "  mov mutex_unlock_slow@GOTPCREL(%rip), %rax\n  call *(%rax)\n"
    "  pop %r13\n  ret\n");
