// Shuffles and matrix instructions of a warp, after the tables of fragments in the PTX manual.
#include "warp.h"
#include <pthread.h>
#include <string.h>

static float halves[65536];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fillHalves(void) {
  for (uint32_t bits = 0; bits < 65536; bits++) {
    uint32_t exponent = bits >> 10 & 31, fraction = bits & 1023;
    float value = exponent == 31 ? (fraction ? __builtin_nanf("") : __builtin_inff())
                  : exponent    ? __builtin_ldexpf((float)(1024 + fraction), (int)exponent - 25)
                                : __builtin_ldexpf((float)fraction, -24);
    halves[bits] = bits >> 15 ? -value : value;
  }
}

float element(uint32_t word, int place, int isBF16) {
  uint16_t half = (uint16_t)(word >> (place * 16));
  if (!isBF16) return halves[half];
  uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

void prepareElements(void) { pthread_once(&once, fillHalves); }

void emulatedWarpBarrier(int mask) { meet(NULL, 0, NULL); }

int emulatedShuffle(int members, int value, int mask, int clamp) {
  return (int)meet(&value, 1, NULL)->words[(currentThread() % LANES) ^ mask][0];
}

// ldmatrix.m8n8.x4: lane 8i+j gives the address of line j of matrix i.
void emulatedMatrices(void *address, uint32_t *result, int isTransposed) {
  if ((uintptr_t)address % 16 != 0) fail("ldmatrix: a line that is not aligned to 16 bytes");
  const WarpExchange *set = meet(NULL, 0, address);
  int lane = currentThread() % LANES;
  for (int matrix = 0; matrix < 4; matrix++) {
    uint16_t pair[2];
    for (int i = 0; i < 2; i++) {
      int line = lane / 4, place = lane % 4 * 2 + i;
      const uint16_t *row = set->addresses[matrix * 8 + (isTransposed ? place : line)];
      pair[i] = row[isTransposed ? line : place];
    }
    memcpy(&result[matrix], pair, 4);
  }
}

// The sums that the lanes gave become results, a matrix of `rows` by `columns` times one of `depth`.
static void multiply(
    int rows, int columns, int depth, const float *a, const float *b, const float *sums, float *results) {
  for (int row = 0; row < rows; row++) {
    float line[16];
    for (int column = 0; column < columns; column++) line[column] = sums[row * columns + column];
    for (int k = 0; k < depth; k++) {
      float factor = a[row * depth + k];
      for (int column = 0; column < columns; column++) line[column] += factor * b[k * columns + column];
    }
    for (int column = 0; column < columns; column++) results[row * columns + column] = line[column];
  }
}

// mma.m16n8k16.row.col: words 0-3 are of A, 4 and 5 of B; then the sums wait in `results`.
static void compute16816(WarpExchange *set, int isBF16) {
  float a[16 * 16], b[16 * 8], c[16 * 8];
  for (int lane = 0; lane < LANES; lane++) {
    int group = lane / 4, pair = lane % 4 * 2;
    for (int word = 0; word < 4; word++)
      for (int i = 0; i < 2; i++)
        a[(group + word % 2 * 8) * 16 + pair + i + word / 2 * 8] = element(set->words[lane][word], i, isBF16);
    for (int word = 0; word < 2; word++)
      for (int i = 0; i < 2; i++)
        b[(pair + i + word * 8) * 8 + group] = element(set->words[lane][4 + word], i, isBF16);
    memcpy(&c[group * 8 + pair], &set->results[lane][0], 8);
    memcpy(&c[(group + 8) * 8 + pair], &set->results[lane][2], 8);
  }
  multiply(16, 8, 16, a, b, c, c);
  for (int lane = 0; lane < LANES; lane++) {
    memcpy(&set->results[lane][0], &c[lane / 4 * 8 + lane % 4 * 2], 8);
    memcpy(&set->results[lane][2], &c[(lane / 4 + 8) * 8 + lane % 4 * 2], 8);
  }
}

static void compute16816f16(WarpExchange *set) { compute16816(set, 0); }
static void compute16816bf16(WarpExchange *set) { compute16816(set, 1); }

void emulated16816(const uint32_t *operands, const float *sums, float *results, int isBF16) {
  prepareElements();
  const WarpExchange *set = meetWithSums(operands, 6, sums, 4, isBF16 ? compute16816bf16 : compute16816f16);
  memcpy(results, set->results[currentThread() % LANES], 16);
}

// mma.m8n8k4.row.col: lanes 4q to 4q+3 and 4q+16 to 4q+19 make square q. Words 0 and 1 are of A, 2 and 3 of B.
static void compute884(WarpExchange *set) {
  for (int quad = 0; quad < 4; quad++) {
    float a[8 * 4], b[4 * 8], c[8 * 8];
    for (int line = 0; line < 8; line++) {
      int lane = quad * 4 + line % 4 + line / 4 * 16;
      for (int k = 0; k < 4; k++) {
        a[line * 4 + k] = element(set->words[lane][k / 2], k % 2, 0);
        b[k * 8 + line] = element(set->words[lane][2 + k / 2], k % 2, 0);
      }
      for (int i = 0; i < 8; i++) {
        int row = (lane & 1) + (i & 2) + (lane < 16 ? 0 : 4), column = (i & 4) + (lane & 2) + (i & 1);
        memcpy(&c[row * 8 + column], &set->results[lane][i], 4);
      }
    }
    multiply(8, 8, 4, a, b, c, c);
    for (int line = 0; line < 8; line++) {
      int lane = quad * 4 + line % 4 + line / 4 * 16;
      for (int i = 0; i < 8; i++) {
        int row = (lane & 1) + (i & 2) + (lane < 16 ? 0 : 4), column = (i & 4) + (lane & 2) + (i & 1);
        memcpy(&set->results[lane][i], &c[row * 8 + column], 4);
      }
    }
  }
}

void emulated884(const uint32_t *operands, const float *sums, float *results) {
  prepareElements();
  const WarpExchange *set = meetWithSums(operands, 4, sums, 8, compute884);
  memcpy(results, set->results[currentThread() % LANES], 32);
}

// What LLVM calls for a bfloat on a CPU that has none.
uint32_t emulatedBFloat(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return bits >> 16 | 0x40;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
