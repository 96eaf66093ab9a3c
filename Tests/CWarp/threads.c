// Threads as coroutines: each runs until a barrier, a shuffle or a matrix instruction needs the others.
#define _GNU_SOURCE
#include "warp.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

enum { STACK = 256 * 1024, MOST_COPIES = 512 };
enum State { READY, MEETING, AT_BARRIER, DONE };

typedef struct {
  void *to;
  const void *from;
  int bytes, group;
} Copy;

typedef struct {
#if defined(__x86_64__)
  void *stack;
#else
  ucontext_t context;
#endif
  enum State state;
  // Asynchronous copies on their way, oldest first, and how many groups were closed.
  int first, count, groups;
  Copy copies[MOST_COPIES];
} Thread;

typedef struct {
  // Two, since a lane may be one instruction ahead.
  WarpExchange sets[2];
  int arrived, generation;
} Warp;

typedef struct Multiprocessor {
  const WarpLaunch *launch;
  const char *failure;
  int64_t block;
  int current, atBarrier, done;
  Warp warps[MOST_THREADS / LANES];
  Thread threads[MOST_THREADS];
#if defined(__x86_64__)
  void *scheduler;
#else
  ucontext_t scheduler;
#endif
  char *stacks;
  struct Multiprocessor *next;
} Multiprocessor;

static _Thread_local Multiprocessor *here;
static Multiprocessor *idle;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static Thread *thread(void) { return &here->threads[here->current]; }
int currentThread(void) { return here->current; }

#if defined(__x86_64__)
__attribute__((naked, noinline)) static void switchStacks(void **from, void *to) {
  __asm__("pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15\n"
          "movq %rsp, (%rdi); movq %rsi, %rsp\n"
          "popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp; ret");
}
static void suspend(void) { switchStacks(&thread()->stack, here->scheduler); }
static void resume(Thread *next) { switchStacks(&here->scheduler, next->stack); }
static void start(Thread *next, char *stack, void (*entry)(void)) {
  void **top = (void **)(stack + STACK - 64);
  *--top = NULL;
  *--top = (void *)entry;
  for (int i = 0; i < 6; i++) *--top = NULL;
  next->stack = top;
}
#else
static void suspend(void) { swapcontext(&thread()->context, &here->scheduler); }
static void resume(Thread *next) { swapcontext(&here->scheduler, &next->context); }
static void start(Thread *next, char *stack, void (*entry)(void)) {
  getcontext(&next->context);
  next->context.uc_stack.ss_sp = stack;
  next->context.uc_stack.ss_size = STACK;
  makecontext(&next->context, entry, 0);
}
#endif

static void runThread(void) {
  here->launch->entry(here->launch->arguments);
  thread()->state = DONE;
  here->done++;
  for (;;) suspend();
}

void fail(const char *message) {
  here->failure = message;
  for (;;) suspend();
}

// Gives words and an address, or words and sums, and waits for the warp.
static const WarpExchange *gather(
    const void *words, int count, void *address, const float *sums, int sumCount, void (*compute)(WarpExchange *)) {
  int first = here->current / LANES * LANES, lane = here->current % LANES;
  Warp *warp = &here->warps[here->current / LANES];
  WarpExchange *set = &warp->sets[warp->generation & 1];
  if (count > 0) memcpy(set->words[lane], words, count * 4);
  if (sumCount > 0) memcpy(set->results[lane], sums, sumCount * 4);
  set->addresses[lane] = address;
  if (++warp->arrived == LANES) {
    warp->arrived = 0;
    warp->generation++;
    if (compute) compute(set);
    for (int i = 0; i < LANES; i++) here->threads[first + i].state = READY;
  } else {
    thread()->state = MEETING;
    suspend();
  }
  return set;
}

const WarpExchange *meet(const void *words, int count, void *address) {
  return gather(words, count, address, NULL, 0, NULL);
}

const WarpExchange *meetWithSums(
    const void *words, int count, const float *sums, int sumCount, void (*compute)(WarpExchange *)) {
  return gather(words, count, NULL, sums, sumCount, compute);
}

const WarpMemory *dynamicMemory(void) { return &here->launch->shared[here->launch->sharedCount - 1]; }

static int emulatedThread(void) { return here->current; }
static int emulatedBlock(void) { return (int)here->block; }

static void emulatedBarrier(int number) {
  if (++here->atBarrier == here->launch->threads) {
    here->atBarrier = 0;
    for (int i = 0; i < here->launch->threads; i++) here->threads[i].state = READY;
  } else {
    thread()->state = AT_BARRIER;
    suspend();
  }
}

// MARK: Asynchronous copies

static void land(Copy copy) {
  memcpy(copy.to, copy.from, copy.bytes);
  memset((char *)copy.to + copy.bytes, 0, 16 - copy.bytes);
}

static void emulatedCopy(void *to, const void *from, int bytes) {
  Copy copy = {to, from, bytes, thread()->groups};
  if ((uintptr_t)to % 16 != 0 || (uintptr_t)from % 16 != 0) fail("cp.async: an address that is not aligned to 16 bytes");
  if (bytes < 0 || bytes > 16) fail("cp.async: a source of more than 16 bytes");
  if (here->launch->copiesEarly) return land(copy);
  Thread *own = thread();
  if (own->count == MOST_COPIES) fail("cp.async: too many copies on their way");
  own->copies[(own->first + own->count++) % MOST_COPIES] = copy;
}

static void emulatedCommit(void) { thread()->groups++; }

// All but the youngest `left` groups have landed.
static void emulatedWait(int left) {
  Thread *own = thread();
  while (own->count > 0 && own->copies[own->first].group < own->groups - left) {
    land(own->copies[own->first]);
    own->first = (own->first + 1) % MOST_COPIES;
    own->count--;
  }
}

// MARK: Launches

static int turn(int place, int count) { return here->launch->isReversed ? count - 1 - place : place; }

// Runs each lane of a warp as far as it gets without other warps; whether any ran.
static int runWarp(int warp) {
  int anyRan = 0;
  for (int ran = 1; ran && here->failure == NULL;) {
    ran = 0;
    for (int i = 0; i < LANES && here->failure == NULL; i++) {
      here->current = warp * LANES + turn(i, LANES);
      if (thread()->state != READY) continue;
      resume(thread());
      anyRan = ran = 1;
    }
  }
  return anyRan;
}

static void runBlock(void) {
  const WarpLaunch *launch = here->launch;
  here->atBarrier = here->done = 0;
  for (int i = 0; i < launch->sharedCount; i++) memset(launch->shared[i].address, 0xFF, launch->shared[i].bytes);
  for (int i = 0; i < launch->threads; i++) {
    Thread *next = &here->threads[i];
    next->state = READY;
    next->first = next->count = next->groups = 0;
    start(next, here->stacks + (size_t)STACK * i, runThread);
  }
  forgetProducts();
  for (int i = 0; i < launch->threads / LANES; i++) here->warps[i].arrived = here->warps[i].generation = 0;
  while (here->done < launch->threads && here->failure == NULL) {
    int ran = 0;
    for (int i = 0; i < launch->threads / LANES; i++) ran |= runWarp(turn(i, launch->threads / LANES));
    if (!ran && here->failure == NULL) here->failure = "its threads wait for each other for ever";
  }
}

static Multiprocessor *take(void) {
  pthread_mutex_lock(&lock);
  Multiprocessor *taken = idle;
  if (taken != NULL) idle = taken->next;
  pthread_mutex_unlock(&lock);
  if (taken != NULL) return taken;
  taken = calloc(1, sizeof *taken);
  if (taken == NULL) return NULL;
  size_t bytes = (size_t)STACK * MOST_THREADS;
  taken->stacks = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (taken->stacks != MAP_FAILED) return taken;
  free(taken);
  return NULL;
}

const char *warpLaunch(const WarpLaunch *launch) {
  if (launch->threads < LANES || launch->threads > MOST_THREADS || launch->threads % LANES != 0)
    return "its block is not 1 to 32 whole warps";
  Multiprocessor *taken = take();
  if (taken == NULL) return "no memory for its threads";
  here = taken;
  here->launch = launch;
  here->failure = NULL;
  for (int64_t i = 0; i < launch->grid && here->failure == NULL; i++) {
    here->block = launch->isReversed ? launch->grid - 1 - i : i;
    runBlock();
  }
  const char *failure = here->failure;
  here = NULL;
  pthread_mutex_lock(&lock);
  taken->next = idle;
  idle = taken;
  pthread_mutex_unlock(&lock);
  return failure;
}

void emulatedWarpBarrier(int mask);
int emulatedShuffle(int members, int value, int mask, int clamp);
void emulatedMatrices(void *address, uint32_t *result, int isTransposed);
void emulated16816(const uint32_t *operands, const float *sums, float *results, int isBF16);
void emulated884(const uint32_t *operands, const float *sums, float *results);
uint32_t emulatedBFloat(float value);
void emulatedGroup(uint64_t left, uint64_t right, const float *sums, float *results, int count, int flags);
void emulatedCommitProducts(void);
void emulatedWaitForProducts(int64_t left);
static void emulatedNothing(void) {}

const WarpSymbol *warpSymbols(int32_t *count) {
  static const WarpSymbol symbols[] = {
      {"emulatedThread", emulatedThread}, {"emulatedBlock", emulatedBlock},
      {"emulatedBarrier", emulatedBarrier}, {"emulatedWarpBarrier", emulatedWarpBarrier},
      {"emulatedShuffle", emulatedShuffle}, {"emulatedMatrices", emulatedMatrices},
      {"emulated16816", emulated16816}, {"emulated884", emulated884},
      {"emulatedBFloat", emulatedBFloat}, {"emulatedCopy", emulatedCopy},
      {"emulatedCommit", emulatedCommit}, {"emulatedWait", emulatedWait},
      {"emulatedGroup", emulatedGroup}, {"emulatedCommitProducts", emulatedCommitProducts},
      {"emulatedWaitForProducts", emulatedWaitForProducts}, {"emulatedNothing", emulatedNothing},
  };
  *count = sizeof symbols / sizeof symbols[0];
  return symbols;
}
