// `wgmma.mma_async`: four warps multiply 64 rows by up to 256 columns, 16 deep, of operands that descriptors name: lines of 128
// bytes in shared memory, their pieces of 16 bytes swizzled, after the PTX manual's matrix descriptors.
#include "warp.h"
#include <string.h>

enum { MOST_PENDING = 64 };

// A product on its way: what it reads must stay as it is until somebody has waited for it.
typedef struct {
  uint64_t left, right, hash;
  int row, columns, flags, group;
} Product;

typedef struct {
  Product pending[MOST_PENDING];
  int count, groups;
} Pending;

static _Thread_local Pending warps[MOST_THREADS / LANES];
// What the lanes that meet now multiply, the same for all.
static _Thread_local Product current;

void forgetProducts(void) { memset(warps, 0, sizeof warps); }

// The half at a line and a depth of an operand.
static uint16_t half(uint64_t descriptor, int line, int depth, int isTransposed) {
  uint64_t start = (descriptor & 0x3FFF) << 4, leading = (descriptor >> 16 & 0x3FFF) << 4;
  uint64_t stride = (descriptor >> 32 & 0x3FFF) << 4;
  if (descriptor >> 62 != 1) fail("wgmma: a descriptor without the 128-byte swizzle");
  uint64_t place = isTransposed
                       ? start + line % 64 * 2 + line / 64 * leading + depth % 8 * 128 + depth / 8 * stride
                       : start + line % 8 * 128 + line / 8 * stride + depth * 2;
  place ^= place >> 3 & 0x70;
  const WarpMemory *memory = dynamicMemory();
  if (place + 2 > memory->bytes) fail("wgmma: an operand outside of shared memory");
  uint16_t value;
  memcpy(&value, (const char *)memory->address + place, 2);
  return value;
}

static uint64_t read(const Product *product, WarpExchange *set) {
  uint64_t hash = 14695981039346656037u;
  int isBF16 = product->flags & 1;
  for (int k = 0; k < 16; k++) {
    for (int row = 0; row < 16; row++) {
      uint16_t value = half(product->left, product->row + row, k, product->flags >> 1 & 1);
      hash = (hash ^ value) * 1099511628211u;
      if (set) set->left[row * 16 + k] = element(value, 0, isBF16);
    }
    for (int column = 0; column < product->columns; column++) {
      uint16_t value = half(product->right, column, k, product->flags >> 2 & 1);
      hash = (hash ^ value) * 1099511628211u;
      if (set) set->right[k * MOST_COLUMNS + column] = element(value, 0, isBF16);
    }
  }
  return hash;
}

static void readOperands(WarpExchange *set) {
  for (int lane = 1; lane < LANES; lane++)
    if (memcmp(set->words[lane], set->words[0], 16) != 0) fail("wgmma: lanes with different descriptors");
  Pending *own = &warps[currentThread() / LANES];
  if (own->count == MOST_PENDING) fail("wgmma: too many products on their way");
  current.hash = read(&current, set);
  own->pending[own->count++] = current;
}

void emulatedGroup(uint64_t left, uint64_t right, const float *sums, float *results, int count, int flags) {
  prepareElements();
  uint64_t words[2] = {left, right};
  int warp = currentThread() / LANES, lane = currentThread() % LANES;
  // Lanes of one warp arrive one after the other, without other warps between.
  current = (Product){left, right, 0, warp % 4 * 16, count * 2, flags, warps[warp].groups};
  const WarpExchange *set = meetWithSums(words, 4, sums, 0, readOperands);
  for (int i = 0; i < count; i++) {
    int row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    float sum = sums[i];
    for (int k = 0; k < 16; k++) sum += set->left[row * 16 + k] * set->right[k * MOST_COLUMNS + column];
    results[i] = sum;
  }
}

// Lane 0 stands for its warp.
void emulatedCommitProducts(void) {
  if (currentThread() % LANES == 0) warps[currentThread() / LANES].groups++;
}

void emulatedWaitForProducts(int64_t left) {
  if (currentThread() % LANES != 0) return;
  Pending *own = &warps[currentThread() / LANES];
  int kept = 0;
  for (int i = 0; i < own->count; i++) {
    if (own->pending[i].group >= own->groups - left) {
      own->pending[kept++] = own->pending[i];
    } else if (read(&own->pending[i], NULL) != own->pending[i].hash) {
      fail("wgmma: shared memory was changed while it was read");
    }
  }
  own->count = kept;
}
