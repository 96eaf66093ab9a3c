// A GPU's block on one CPU thread: each device thread is a coroutine that runs until a barrier, a shuffle or a matrix
// instruction needs the others. What the instructions compute follows the tables of fragments in the PTX manual.
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { LANES = 32, STACK = 256 * 1024, MOST_THREADS = 1024, MOST_ARGUMENTS = 48 };

typedef struct {
  ucontext_t context;
  int isDone;
} Thread;

// What the lanes of a warp gave to the instruction that they meet at. Two sets: a lane may be one instruction ahead.
typedef struct {
  int arrived, generation;
  uint32_t words[2][LANES][8];
  void *addresses[2][LANES];
} Warp;

typedef void *P;
typedef void (*Kernel)(P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,
                       P, P, P, P, P, P, P, P, P, P, P, P, P, P);

static Thread threads[MOST_THREADS];
static Warp warps[MOST_THREADS / LANES];
static ucontext_t scheduler;
static char *stacks;
static int current, threadCount, blockNumber, barrierArrived, barrierGeneration;
static Kernel kernel;
static void **arguments;

static void pause_thread(void) { swapcontext(&threads[current].context, &scheduler); }

static void run_thread(void) {
  void **a = arguments;
  kernel(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16],
         a[17], a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29], a[30], a[31], a[32],
         a[33], a[34], a[35], a[36], a[37], a[38], a[39], a[40], a[41], a[42], a[43], a[44], a[45], a[46], a[47]);
  threads[current].isDone = 1;
  pause_thread();
}

int emulated_thread(void) { return current; }
int emulated_block(void) { return blockNumber; }

void emulated_barrier(int number) {
  int generation = barrierGeneration;
  if (++barrierArrived == threadCount) {
    barrierArrived = 0;
    barrierGeneration++;
    return;
  }
  while (barrierGeneration == generation) pause_thread();
}

// Waits for the warp; returns which of the two sets holds what its lanes gave.
static int meet(const void *words, int count, void *address) {
  Warp *warp = &warps[current / LANES];
  int generation = warp->generation, set = generation & 1;
  if (count > 0) memcpy(warp->words[set][current % LANES], words, count * 4);
  warp->addresses[set][current % LANES] = address;
  if (++warp->arrived == LANES) {
    warp->arrived = 0;
    warp->generation++;
  } else {
    while (warp->generation == generation) pause_thread();
  }
  return set;
}

void emulated_warp_barrier(int mask) { meet(NULL, 0, NULL); }

int emulated_shuffle(int members, int value, int mask, int clamp) {
  int set = meet(&value, 1, NULL);
  return (int)warps[current / LANES].words[set][(current % LANES) ^ mask][0];
}

// ldmatrix.m8n8.x4: lane 8i+j gives the address of line j of matrix i.
void emulated_ldmatrix(void *address, uint32_t *result, int isTransposed) {
  int set = meet(NULL, 0, address), lane = current % LANES;
  for (int matrix = 0; matrix < 4; matrix++) {
    uint16_t halves[2];
    for (int i = 0; i < 2; i++) {
      int line = lane / 4, place = lane % 4 * 2 + i;
      uint16_t *row = warps[current / LANES].addresses[set][matrix * 8 + (isTransposed ? place : line)];
      if ((uintptr_t)row % 16 != 0) {
        fprintf(stderr, "ldmatrix: a line that is not aligned to 16 bytes\n");
        abort();
      }
      halves[i] = row[isTransposed ? line : place];
    }
    memcpy(&result[matrix], halves, 4);
  }
}

// Element `place` of the halves that a lane gave, starting at a word.
static float element(int set, int lane, int word, int place, int isBF16) {
  uint16_t half = (uint16_t)(warps[current / LANES].words[set][lane][word + place / 2] >> (place % 2 * 16));
  if (isBF16) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
  }
  _Float16 value;
  memcpy(&value, &half, 2);
  return (float)value;
}

// mma.m16n8k16.row.col: words 0-3 are of A, 4 and 5 of B.
void emulated_mma16816(const uint32_t *operands, const float *sums, float *results, int isBF16) {
  int set = meet(operands, 6, NULL), lane = current % LANES;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    float sum = sums[i];
    for (int k = 0; k < 16; k++) {
      int within = k % 8 / 2;
      float a = element(set, row % 8 * 4 + within, row / 8 + k / 8 * 2, k % 2, isBF16);
      float b = element(set, column * 4 + within, 4 + k / 8, k % 2, isBF16);
      sum += a * b;
    }
    results[i] = sum;
  }
}

// mma.m8n8k4.row.col: lanes 4q to 4q+3 and 4q+16 to 4q+19 make square q. Words 0 and 1 are of A, 2 and 3 of B.
void emulated_mma884(const uint32_t *operands, const float *sums, float *results) {
  int set = meet(operands, 4, NULL), lane = current % LANES, quad = lane / 4 % 4 * 4;
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

// What LLVM calls for a bfloat on a CPU that has none.
uint32_t emulated_bfloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return bits >> 16 | 0x40;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

static int run_block(void) {
  barrierArrived = barrierGeneration = 0;
  memset(warps, 0, sizeof warps);
  for (int i = 0; i < threadCount; i++) {
    getcontext(&threads[i].context);
    threads[i].isDone = 0;
    threads[i].context.uc_stack.ss_sp = stacks + (size_t)STACK * i;
    threads[i].context.uc_stack.ss_size = STACK;
    threads[i].context.uc_link = &scheduler;
    makecontext(&threads[i].context, run_thread, 0);
  }
  int left = threadCount;
  for (long round = 0; left > 0; round++) {
    if (round > 5000000) return 1;
    for (int i = 0; i < threadCount; i++) {
      if (threads[i].isDone) continue;
      current = i;
      swapcontext(&scheduler, &threads[i].context);
      left -= threads[i].isDone;
    }
  }
  return 0;
}

// Runs a launch; 1 when its threads wait for each other for ever.
int emulate(void *function, int grid, int block, void **given) {
  kernel = (Kernel)function;
  arguments = given;
  threadCount = block;
  if (stacks == NULL) stacks = malloc((size_t)STACK * MOST_THREADS);
  for (blockNumber = 0; blockNumber < grid; blockNumber++) {
    if (run_block()) return 1;
  }
  return 0;
}
