#define _GNU_SOURCE
#include "CTiles.h"
#include <errno.h>

#if defined(__x86_64__) && defined(__linux__)
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <ucontext.h>

// Intel's Software Developer's Manual, volume 1 chapter 18, volume 2: LDTILECFG, TDPBF16PS, TILELOADD, TILESTORED...
enum { ROWS = 16, ROW_BYTES = 64, TILES = 8 };

/// A thread's tiles.
static _Thread_local struct {
  uint8_t rows[TILES];
  uint16_t columnBytes[TILES];
  uint8_t data[TILES][ROWS][ROW_BYTES];
} tiles;
static atomic_llong computed;
static struct sigaction before;

/// An instruction that is being decoded.
struct instruction {
  const uint8_t *next;
  greg_t *registers;
  int prefix, vector, reg, rm;
  int extendReg, extendIndex, extendBase;
  int isMemory;
  uint64_t address, stride;
};

static uint64_t valueOf(const struct instruction *at, int number) {
  static const int places[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                 REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return (uint64_t)at->registers[places[number]];
}

static int64_t displacement(struct instruction *at, int bytes) {
  int32_t wide = 0;
  int8_t narrow = 0;
  if (bytes == 1) memcpy(&narrow, at->next, 1);
  if (bytes == 4) memcpy(&wide, at->next, 4);
  at->next += bytes;
  return bytes == 1 ? narrow : wide;
}

/// ModRM and what follows: a register, or `base + displacement` with the index as a stride.
static void decodeOperand(struct instruction *at) {
  uint8_t modrm = *at->next++;
  int mode = modrm >> 6, rm = modrm & 7;
  at->reg = (modrm >> 3 & 7) | at->extendReg << 3;
  at->rm = rm | at->extendBase << 3;
  at->isMemory = mode != 3;
  if (!at->isMemory) return;
  int bytes = mode == 1 ? 1 : mode == 2 ? 4 : 0;
  if (rm == 4) {
    uint8_t sib = *at->next++;
    int base = sib & 7, index = (sib >> 3 & 7) | at->extendIndex << 3;
    if (base == 5 && mode == 0) bytes = 4;
    else at->address = valueOf(at, base | at->extendBase << 3);
    at->stride = index == 4 ? 0 : valueOf(at, index) << (sib >> 6);
  } else if (rm == 5 && mode == 0) {
    at->address = (uint64_t)(uintptr_t)at->next + 4;
    bytes = 4;
  } else {
    at->address = valueOf(at, at->rm);
  }
  at->address += (uint64_t)displacement(at, bytes);
}

static void configure(const uint8_t *from) {
  memset(&tiles, 0, sizeof tiles);
  if (from == NULL || from[0] != 1) return;
  for (int tile = 0; tile < TILES; tile++) {
    memcpy(&tiles.columnBytes[tile], from + 16 + 2 * tile, 2);
    tiles.rows[tile] = from[48 + tile];
  }
}

static void move(int tile, uint64_t address, uint64_t stride, int isLoad) {
  if (isLoad) memset(tiles.data[tile], 0, sizeof tiles.data[tile]);
  for (int row = 0; row < tiles.rows[tile]; row++) {
    void *memory = (void *)(uintptr_t)(address + (uint64_t)row * stride);
    uint8_t *held = tiles.data[tile][row];
    memcpy(isLoad ? held : memory, isLoad ? memory : held, tiles.columnBytes[tile]);
  }
}

/// A bf16 of a pair as f32; subnormal numbers are zeros.
static float half(const uint8_t *pair, int upper) {
  uint32_t bits = (uint32_t)pair[2 * upper + 1] << 24 | (uint32_t)pair[2 * upper] << 16;
  if ((bits & 0x7F800000) == 0) bits &= 0x80000000;
  float value;
  memcpy(&value, &bits, 4);
  return value;
}

static void multiply(int sums, int left, int right) {
  for (int m = 0; m < tiles.rows[sums]; m++)
    for (int n = 0; n < tiles.columnBytes[sums] / 4; n++) {
      float even = 0, odd = 0, sum;
      for (int k = 0; k < tiles.columnBytes[left] / 4; k++) {
        const uint8_t *a = tiles.data[left][m] + 4 * k, *b = tiles.data[right][k] + 4 * n;
        even = fmaf(half(a, 0), half(b, 0), even);
        odd = fmaf(half(a, 1), half(b, 1), odd);
      }
      memcpy(&sum, tiles.data[sums][m] + 4 * n, 4);
      sum += even + odd;
      memcpy(tiles.data[sums][m] + 4 * n, &sum, 4);
    }
}

/// Whether the multiplication is one that hardware would not refuse.
static int fits(int sums, int left, int right) {
  return sums != left && sums != right && left != right && tiles.rows[sums] == tiles.rows[left] &&
         tiles.columnBytes[sums] == tiles.columnBytes[right] && tiles.columnBytes[left] / 4 == tiles.rows[right] &&
         tiles.rows[sums] > 0 && tiles.columnBytes[sums] > 0 && tiles.columnBytes[left] > 0;
}

/// Does what an instruction says; 0 where it is none of AMX.
static int compute(struct instruction *at) {
  const uint8_t *code = at->next;
  if (code[0] != 0xC4 || (code[1] & 31) != 2 || (code[2] & 0x84) != 0) return 0;
  at->extendReg = !(code[1] & 0x80);
  at->extendIndex = !(code[1] & 0x40);
  at->extendBase = !(code[1] & 0x20);
  at->vector = ~(code[2] >> 3) & 15;
  at->prefix = code[2] & 3;
  int opcode = code[3];
  at->next += 4;
  decodeOperand(at);
  enum { NONE, P66, PF3, PF2 };
  switch (opcode) {
  case 0x49:
    if (at->prefix == NONE) return configure(at->isMemory ? (const uint8_t *)(uintptr_t)at->address : NULL), 1;
    if (at->prefix != PF2 || at->isMemory || at->reg >= TILES) return 0;
    return memset(tiles.data[at->reg], 0, sizeof tiles.data[0]), tiles.rows[at->reg] > 0;
  case 0x4B:
    if (at->prefix == NONE || !at->isMemory || at->reg >= TILES || tiles.rows[at->reg] == 0) return 0;
    return move(at->reg, at->address, at->stride, at->prefix != PF3), 1;
  case 0x5C:
    if (at->prefix != PF3 || at->isMemory || at->reg >= TILES || at->rm >= TILES || at->vector >= TILES) return 0;
    if (!fits(at->reg, at->rm, at->vector)) return 0;
    return multiply(at->reg, at->rm, at->vector), 1;
  default: return 0;
  }
}

static void handle(int signal, siginfo_t *info, void *context) {
  (void)info;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  struct instruction at = {.next = (const uint8_t *)(uintptr_t)registers[REG_RIP], .registers = registers};
  if (compute(&at)) {
    atomic_fetch_add(&computed, 1);
    registers[REG_RIP] = (greg_t)(uintptr_t)at.next;
  } else {
    // Someone else's: it is raised again, under the handler that was there.
    sigaction(signal, &before, NULL);
  }
}

int ltm_tiles_emulate(void) {
  static int isDone;
  if (isDone) return 0;
  struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (sigaction(SIGILL, &action, &before) != 0) return errno;
  isDone = 1;
  return 0;
}

int64_t ltm_tiles_computed(void) { return atomic_load(&computed); }

#else

int ltm_tiles_emulate(void) { return ENOSYS; }
int64_t ltm_tiles_computed(void) { return 0; }

#endif
