// A GPU's block on one CPU thread, for the C that ptx2c.py makes of a module. Each device thread is a coroutine that runs until a
// barrier, a shuffle or a matrix instruction needs the others. What instructions compute follows the PTX manual.
#define _GNU_SOURCE
// Its longjmp refuses to go to another stack.
#undef _FORTIFY_SOURCE
#include <math.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { LANES = 32, STACK = 128 * 1024, MOST_THREADS = 1024, MOST_COPIES = 256 };
enum { ILLEGAL_ADDRESS = 700, MISALIGNED_ADDRESS = 716, LAUNCH_FAILED = 719, INVALID_VALUE = 1 };

typedef struct {
  const char *name;
  void (*run)(void **parameters);
  int threads, parameters, sharedBytes;
} EmulatedKernel;

typedef struct {
  uint64_t start, end;
} Range;

// An asynchronous copy into shared memory, which lands when its group is waited for and not before.
typedef struct {
  uint64_t to, from;
  int bytes, given, group;
} Copy;

typedef struct {
  // How it starts, and where it goes on: a context of its own for each switch would be two calls of the system.
  ucontext_t context;
  jmp_buf place;
  // It goes on when the number that it waits for is no longer the one that it has seen.
  const int *awaited;
  int seen;
  int isStarted, isDone, group, copyCount;
  Copy copies[MOST_COPIES];
} Thread;

// What the lanes of a warp gave to the instruction that they meet at. Two sets: a lane may be one instruction ahead.
typedef struct {
  int arrived, generation;
  uint32_t words[2][LANES][8];
  uint64_t addresses[2][LANES];
} Warp;

static Thread threads[MOST_THREADS];
static Warp warps[MOST_THREADS / LANES];
static jmp_buf scheduler;
static char *stacks;
static int current, threadCount, blockNumber, blockCount, barrierArrived, barrierGeneration, fault;
static void (*kernel)(void **);
static void **arguments;
static const Range *ranges;
static int rangeCount;
static char *dynamicShared;

enum { DYNAMIC_BYTES = 256 * 1024 };

static void pause_thread(void) {
  if (_setjmp(threads[current].place) == 0) _longjmp(scheduler, 1);
}

static void wait_for_another(const int *number, int seen) {
  threads[current].awaited = number;
  threads[current].seen = seen;
  pause_thread();
  threads[current].awaited = NULL;
}

// Runs a thread until it pauses.
static void resume_thread(int number) {
  current = number;
  Thread *thread = &threads[number];
  if (_setjmp(scheduler) != 0) return;
  if (thread->isStarted) _longjmp(thread->place, 1);
  thread->isStarted = 1;
  setcontext(&thread->context);
}

static void run_thread(void) {
  kernel(arguments);
  threads[current].isDone = 1;
  pause_thread();
}

// Ends the launch with an error, as a GPU does.
static void stop(int error) {
  if (fault == 0) fault = error;
  threads[current].isDone = 1;
  for (;;) pause_thread();
}

// MARK: Memory

static inline void *aligned(uint64_t address, int bytes) {
  if (address % bytes != 0) stop(MISALIGNED_ADDRESS);
  return (void *)address;
}

static inline void *global(uint64_t address, int bytes, int alignment) {
  static int last;
  if (last < rangeCount && address >= ranges[last].start && address + bytes <= ranges[last].end)
    return aligned(address, alignment);
  for (last = 0; last < rangeCount; last++) {
    if (address >= ranges[last].start && address + bytes <= ranges[last].end) return aligned(address, alignment);
  }
  stop(ILLEGAL_ADDRESS);
  return NULL;
}

static inline uint8_t load8(const void *p) { return *(const uint8_t *)p; }
static inline uint16_t load16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
static inline uint32_t load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
static inline uint64_t load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline void store8(void *p, uint64_t v) { *(uint8_t *)p = (uint8_t)v; }
static inline void store16(void *p, uint64_t v) { uint16_t w = (uint16_t)v; memcpy(p, &w, 2); }
static inline void store32(void *p, uint64_t v) { uint32_t w = (uint32_t)v; memcpy(p, &w, 4); }
static inline void store64(void *p, uint64_t v) { memcpy(p, &v, 8); }

static inline void copy_async(uint64_t to, uint64_t from, int bytes, int given) {
  Thread *thread = &threads[current];
  if (thread->copyCount == MOST_COPIES) stop(LAUNCH_FAILED);
  aligned(to, bytes);
  if (given > 0) global(from, given, bytes);
  thread->copies[thread->copyCount++] = (Copy){to, from, bytes, given, thread->group};
}

static inline void commit_group(void) { threads[current].group++; }

// Lets all groups but the newest land; a negative number means also those that are not committed.
static inline void wait_group(int newest) {
  Thread *thread = &threads[current];
  int kept = 0;
  for (int i = 0; i < thread->copyCount; i++) {
    Copy *copy = &thread->copies[i];
    if (newest >= 0 && copy->group >= thread->group - newest) {
      thread->copies[kept++] = *copy;
      continue;
    }
    memset((void *)copy->to, 0, copy->bytes);
    memcpy((void *)copy->to, (const void *)copy->from, copy->given);
  }
  thread->copyCount = kept;
}

// MARK: Numbers

static inline float f32(uint64_t bits) { uint32_t w = (uint32_t)bits; float v; memcpy(&v, &w, 4); return v; }
static inline double f64(uint64_t bits) { double v; memcpy(&v, &bits, 8); return v; }
static inline float f16(uint64_t bits) {
  uint16_t w = (uint16_t)bits;
  _Float16 v;
  memcpy(&v, &w, 2);
  return (float)v;
}
static inline float bf16(uint64_t bits) { return f32((uint64_t)(uint16_t)bits << 16); }
// Arithmetic gives the GPU's one NaN.
static inline uint32_t from_f32(float v) {
  uint32_t w;
  memcpy(&w, &v, 4);
  return v != v ? 0x7FFFFFFF : w;
}
static inline uint64_t from_f64(double v) { uint64_t w; memcpy(&w, &v, 8); return w; }
static inline uint16_t from_f16(double v) {
  _Float16 h = (_Float16)v;
  uint16_t w;
  memcpy(&w, &h, 2);
  return v != v ? 0x7FFF : w;
}
static inline uint16_t from_bf16(float v) {
  uint32_t w;
  memcpy(&w, &v, 4);
  return v != v ? 0x7FFF : (uint16_t)((w + 0x7FFF + (w >> 16 & 1)) >> 16);
}
static inline uint32_t permute(uint32_t a, uint32_t b, uint32_t selector) {
  uint64_t bytes = (uint64_t)b << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; i++) {
    uint32_t pick = selector >> (4 * i) & 15, byte = (uint32_t)(bytes >> (8 * (pick & 7))) & 0xFF;
    if (pick & 8) byte = byte & 0x80 ? 0xFF : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// MARK: Threads together

static void barrier(void) {
  int generation = barrierGeneration;
  if (++barrierArrived == threadCount) {
    barrierArrived = 0;
    barrierGeneration++;
    return;
  }
  wait_for_another(&barrierGeneration, generation);
}

// Waits for the warp; returns which of the two sets holds what its lanes gave.
static int meet(const uint32_t *words, int count, uint64_t address) {
  Warp *warp = &warps[current / LANES];
  int generation = warp->generation, set = generation & 1;
  if (count > 0) memcpy(warp->words[set][current % LANES], words, count * 4);
  warp->addresses[set][current % LANES] = address;
  if (++warp->arrived == LANES) {
    warp->arrived = 0;
    warp->generation++;
  } else {
    wait_for_another(&warp->generation, generation);
  }
  return set;
}

static uint32_t shuffle(uint32_t value, int mask) {
  int set = meet(&value, 1, 0);
  return warps[current / LANES].words[set][(current % LANES) ^ mask][0];
}

// Lane 8i+j gives the address of line j of matrix i.
static void load_matrices(uint64_t address, uint32_t *result, int count, int isTransposed) {
  int set = meet(NULL, 0, address), lane = current % LANES;
  for (int matrix = 0; matrix < count; matrix++) {
    uint32_t word = 0;
    for (int i = 0; i < 2; i++) {
      int line = lane / 4, place = lane % 4 * 2 + i;
      uint64_t row = warps[current / LANES].addresses[set][matrix * 8 + (isTransposed ? place : line)];
      word |= (uint32_t)load16((char *)aligned(row, 16) + 2 * (isTransposed ? line : place)) << (16 * i);
    }
    result[matrix] = word;
  }
}

static float element(int set, int lane, int word, int place, int isBF16) {
  uint32_t half = warps[current / LANES].words[set][lane][word + place / 2] >> (place % 2 * 16);
  return isBF16 ? bf16(half) : f16(half);
}

// mma.m16n8k16.row.col: words 0-3 are of A, 4 and 5 of B.
static void multiply16816(const uint32_t *operands, const float *sums, float *results, int isBF16) {
  int set = meet(operands, 6, 0), lane = current % LANES;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = sums[i];
    for (int k = 0; k < 16; k++) {
      float a = element(set, row % 8 * 4 + k % 8 / 2, row / 8 + k / 8 * 2, k % 2, isBF16);
      float b = element(set, column * 4 + k % 8 / 2, 4 + k / 8, k % 2, isBF16);
      sum += a * b;
    }
    results[i] = sum;
  }
}

// mma.m8n8k4.row.col: lanes 4q to 4q+3 and 4q+16 to 4q+19 make square q. Words 0 and 1 are of A, 2 and 3 of B.
static void multiply884(const uint32_t *operands, const float *sums, float *results) {
  int set = meet(operands, 4, 0), lane = current % LANES, quad = lane / 4 % 4 * 4;
  for (int i = 0; i < 8; i++) {
    int row = (lane & 1) + (i & 2) + (lane < 16 ? 0 : 4), column = (i & 4) + (lane & 2) + (i & 1);
    float sum = sums[i];
    for (int k = 0; k < 4; k++) {
      float a = element(set, quad + row % 4 + row / 4 * 16, 0, k, 0);
      float b = element(set, quad + column % 4 + column / 4 * 16, 2, k, 0);
      sum += a * b;
    }
    results[i] = sum;
  }
}

// A half of an operand that a descriptor names: lines of 128 bytes, whose pieces of 16 bytes are swizzled.
static float described(uint64_t descriptor, int line, int depth, int isTransposed, int isBF16) {
  uint64_t start = (descriptor & 0x3FFF) << 4, leading = (descriptor >> 16 & 0x3FFF) << 4;
  uint64_t stride = (descriptor >> 32 & 0x3FFF) << 4;
  uint64_t place = isTransposed ? start + line % 64 * 2 + line / 64 * leading + depth % 8 * 128 + depth / 8 * stride
                                : start + line % 8 * 128 + line / 8 * stride + depth * 2;
  place ^= place >> 3 & 0x70;
  if (descriptor >> 62 != 1 || place + 2 > DYNAMIC_BYTES) stop(ILLEGAL_ADDRESS);
  uint16_t half = load16(dynamicShared + place);
  return isBF16 ? bf16(half) : f16(half);
}

// wgmma.mma_async: four warps multiply 64 rows, 16 deep; each thread has `count` of the sums. Made at once: what it reads must
// stay until it is waited for.
static void multiply_group(uint64_t left, uint64_t right, float *sums, int count, int isBF16, int turnLeft, int turnRight) {
  int lane = current % LANES, warp = current / LANES % 4;
  for (int i = 0; i < count; i++) {
    int row = warp * 16 + lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; k++)
      sums[i] += described(left, row, k, turnLeft, isBF16) * described(right, column, k, turnRight, isBF16);
  }
}

// MARK: Launches

// Shared memory has addresses of 32 bits: code may keep them in registers of that size.
static char *low_memory(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static void run_block(char *shared, int sharedBytes, int dynamicBytes) {
  barrierArrived = barrierGeneration = 0;
  memset(warps, 0, sizeof warps);
  // Nothing may be read before it is written: it would be NaN.
  memset(shared, 0xFF, sharedBytes);
  memset(dynamicShared, 0xFF, dynamicBytes);
  for (int i = 0; i < threadCount; i++) {
    Thread *thread = &threads[i];
    getcontext(&thread->context);
    thread->isStarted = thread->isDone = thread->group = thread->copyCount = 0;
    thread->awaited = NULL;
    thread->context.uc_stack.ss_sp = stacks + (size_t)STACK * i;
    thread->context.uc_stack.ss_size = STACK;
    thread->context.uc_link = NULL;
    makecontext(&thread->context, run_thread, 0);
  }
  for (int left = threadCount; left > 0 && fault == 0;) {
    int ran = 0;
    for (int i = 0; i < threadCount && fault == 0; i++) {
      const Thread *thread = &threads[i];
      if (thread->isDone || (thread->awaited != NULL && *thread->awaited == thread->seen)) continue;
      resume_thread(i);
      ran = 1;
      left -= thread->isDone;
    }
    // They wait for each other for ever.
    if (!ran) fault = LAUNCH_FAILED;
  }
}

static int run_kernel(
    const EmulatedKernel *what, char **shared, int grid, int block, int dynamicBytes, void **parameters,
    const Range *memory, int memoryCount) {
  if (block != what->threads || dynamicBytes > DYNAMIC_BYTES) return INVALID_VALUE;
  if (*shared == NULL) *shared = low_memory(what->sharedBytes + 16);
  if (dynamicShared == NULL) {
    // Descriptors hold the lower 18 bits of an address.
    char *memory = low_memory(2 * DYNAMIC_BYTES);
    if (memory != NULL) dynamicShared = memory + (DYNAMIC_BYTES - (uint64_t)memory % DYNAMIC_BYTES) % DYNAMIC_BYTES;
  }
  if (*shared == NULL || dynamicShared == NULL) return LAUNCH_FAILED;
  (kernel = what->run), (arguments = parameters), (ranges = memory), (rangeCount = memoryCount);
  (threadCount = block), (blockCount = grid), (fault = 0);
  if (stacks == NULL) stacks = malloc((size_t)STACK * MOST_THREADS);
  for (blockNumber = 0; blockNumber < grid && fault == 0; blockNumber++) {
    run_block(*shared, what->sharedBytes, dynamicBytes);
  }
  return fault;
}
