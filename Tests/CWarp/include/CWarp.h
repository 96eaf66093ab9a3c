// A GPU's blocks on one CPU thread, each device thread a coroutine.
#ifndef CWARP_H
#define CWARP_H
#include <stdint.h>

// Memory that the threads of a block share; filled with NaN before each block.
typedef struct {
  void *address;
  uint64_t bytes;
} WarpMemory;

typedef struct {
  void (*entry)(void **arguments);
  void **arguments;
  int64_t grid;
  int32_t threads;
  int32_t sharedCount;
  const WarpMemory *shared;
  // Blocks, warps and lanes run in descending order.
  int32_t isReversed;
  // Asynchronous copies land as soon as they are issued, else not before somebody waits for them.
  int32_t copiesEarly;
} WarpLaunch;

// Runs a launch. NULL, or what its threads did that a GPU forbids.
const char *warpLaunch(const WarpLaunch *launch);

typedef struct {
  const char *name;
  void *address;
} WarpSymbol;

// The functions that stand for NVIDIA's intrinsics.
const WarpSymbol *warpSymbols(int32_t *count);
#endif
