// What the files of the emulator share.
#ifndef WARP_H
#define WARP_H
#include "CWarp.h"
#include <stddef.h>

// A half or a bfloat, the first or the second of a word.
float element(uint32_t word, int place, int isBF16);
// Makes the table that `element` reads.
void prepareElements(void);

enum { LANES = 32, MOST_THREADS = 1024, WARP_WORDS = 8, MOST_COLUMNS = 256 };

// What the lanes of a warp gave to the instruction that they meet at, and what it gave back.
typedef struct {
  uint32_t words[LANES][WARP_WORDS];
  uint32_t results[LANES][WARP_WORDS];
  void *addresses[LANES];
  // The operands of a product of four warps, this warp's 16 rows and all columns.
  float left[16 * 16], right[16 * MOST_COLUMNS];
} WarpExchange;

// Lets the lanes of this warp meet; returns what they gave.
const WarpExchange *meet(const void *words, int count, void *address);
// The same with sums, which are the results before the last to arrive runs `compute`.
const WarpExchange *meetWithSums(
    const void *words, int count, const float *sums, int sumCount, void (*compute)(WarpExchange *));
// The memory that the launch gave the block.
const WarpMemory *dynamicMemory(void);
// This thread's number in its block.
int currentThread(void);
// Starts a block without products on their way.
void forgetProducts(void);
// Ends the launch with a message.
void fail(const char *message);
#endif
