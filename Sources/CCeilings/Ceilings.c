#define _GNU_SOURCE
#include "CCeilings.h"
#include <sched.h>
#include <string.h>

void ltm_pin(int cores) {
  cpu_set_t allowed, chosen;
  CPU_ZERO(&chosen);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  for (int core = 0; core < CPU_SETSIZE && cores > 0; core++)
    if (CPU_ISSET(core, &allowed)) {
      CPU_SET(core, &chosen);
      cores--;
    }
  if (CPU_COUNT(&chosen) > 0) sched_setaffinity(0, sizeof chosen, &chosen);
}

void ltm_ceiling_meet(void **arguments, long first, long end, void *scratch) {
  (void)scratch;
  int *begun = arguments[0];
  __atomic_add_fetch(begun, (int)(end - first), __ATOMIC_ACQ_REL);
  while (__atomic_load_n(begun, __ATOMIC_ACQUIRE) < (int)(intptr_t)arguments[1])
    __asm__ volatile("" ::: "memory");
}

double ltm_ceiling_copy(const void *from, void *to, long bytes) {
  memcpy(to, from, (size_t)bytes);
  return 2.0 * (double)bytes;
}

const char *ltm_ceiling_isa_name(enum ltm_ceiling_isa isa) {
  switch (isa) {
  case LTM_ISA_GENERIC: return "generic";
  case LTM_ISA_AVX2: return "avx2";
  case LTM_ISA_AVX512: return "avx512";
  case LTM_ISA_AVX512_BF16: return "avx512-bf16";
  }
  return "unknown";
}

#if defined(__x86_64__)
#include <immintrin.h>

enum ltm_ceiling_isa ltm_ceiling_isa(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16")) return LTM_ISA_AVX512_BF16;
  if (__builtin_cpu_supports("avx512f")) return LTM_ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return LTM_ISA_AVX2;
  return LTM_ISA_GENERIC;
}

// Independent sums, more than the latency of an instruction times its throughput; the empty asm keeps each in a register.
#define REP12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define KEEP(i) __asm__ volatile("" : "+x"(r##i));

__attribute__((target("avx2,fma"))) static double fma256(long rounds) {
#define SET(i) __m256 r##i = _mm256_set1_ps(i);
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+x"(r##i) : "x"(a), "x"(b));
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
  REP12(KEEP)
#undef SET
#undef STEP
  return 12.0 * 16 * (double)rounds;
}

__attribute__((target("avx2,fma"))) static double fma256d(long rounds) {
#define SET(i) __m256d r##i = _mm256_set1_pd(i);
#define STEP(i) __asm__ volatile("vfmadd231pd %1, %2, %0" : "+x"(r##i) : "x"(a), "x"(b));
  __m256d a = _mm256_set1_pd(0.5), b = _mm256_set1_pd(0.25);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
  REP12(KEEP)
#undef SET
#undef STEP
  return 12.0 * 8 * (double)rounds;
}

__attribute__((target("avx512f"))) static double fma512d(long rounds) {
#define SET(i) __m512d r##i = _mm512_set1_pd(i);
#define STEP(i) __asm__ volatile("vfmadd231pd %1, %2, %0" : "+v"(r##i) : "v"(a), "v"(b));
#define KEEPD(i) __asm__ volatile("" : "+v"(r##i));
  __m512d a = _mm512_set1_pd(0.5), b = _mm512_set1_pd(0.25);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
  REP12(KEEPD)
#undef SET
#undef STEP
#undef KEEPD
  return 12.0 * 16 * (double)rounds;
}

__attribute__((target("avx512f"))) static double fma512(long rounds) {
#define SET(i) __m512 r##i = _mm512_set1_ps(i);
#define STEP(i) __asm__ volatile("vfmadd231ps %1, %2, %0" : "+v"(r##i) : "v"(a), "v"(b));
#define KEEPZ(i) __asm__ volatile("" : "+v"(r##i));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
  REP12(KEEPZ)
#undef STEP
  return 12.0 * 32 * (double)rounds;
}

__attribute__((target("avx512f,avx512bf16"))) static double dot512(long rounds) {
#define STEP(i) __asm__ volatile("vdpbf16ps %1, %2, %0" : "+v"(r##i) : "v"(a), "v"(b));
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
  REP12(KEEPZ)
#undef SET
#undef STEP
#undef KEEPZ
  return 12.0 * 64 * (double)rounds;
}

static double fma128(long rounds) {
#define SET(i) __m128 r##i = _mm_set1_ps(i);
#define STEP(i) r##i = _mm_add_ps(_mm_mul_ps(r##i, a), b); KEEP(i)
  __m128 a = _mm_set1_ps(0.5f), b = _mm_set1_ps(0.25f);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
#undef SET
#undef STEP
  return 12.0 * 8 * (double)rounds;
}

static double fma128d(long rounds) {
#define SET(i) __m128d r##i = _mm_set1_pd(i);
#define STEP(i) r##i = _mm_add_pd(_mm_mul_pd(r##i, a), b); KEEP(i)
  __m128d a = _mm_set1_pd(0.5), b = _mm_set1_pd(0.25);
  REP12(SET)
  for (long n = 0; n < rounds; n++) { REP12(STEP) }
#undef SET
#undef STEP
  return 12.0 * 4 * (double)rounds;
}

// Six sums of 16 x 16, each of 32 products an element, beside a tile of either operand.
__attribute__((target("amx-tile,amx-bf16"))) double ltm_ceiling_tiles(long rounds) {
  struct {
    uint8_t palette, first, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shapes.bytes[i] = 64;
    shapes.rows[i] = 16;
  }
  _tile_loadconfig(&shapes);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_zero(4); _tile_zero(5); _tile_zero(6); _tile_zero(7);
  for (long n = 0; n < rounds; n++) {
    _tile_dpbf16ps(0, 6, 7); _tile_dpbf16ps(1, 6, 7); _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7); _tile_dpbf16ps(4, 6, 7); _tile_dpbf16ps(5, 6, 7);
  }
  _tile_release();
  return 6.0 * 16 * 16 * 32 * 2 * (double)rounds;
}

double ltm_ceiling_fma64(long rounds) {
  switch (ltm_ceiling_isa()) {
  case LTM_ISA_GENERIC: return fma128d(rounds);
  case LTM_ISA_AVX2: return fma256d(rounds);
  case LTM_ISA_AVX512:
  case LTM_ISA_AVX512_BF16: return fma512d(rounds);
  }
  return 0;
}

double ltm_ceiling_fma(long rounds) {
  switch (ltm_ceiling_isa()) {
  case LTM_ISA_GENERIC: return fma128(rounds);
  case LTM_ISA_AVX2: return fma256(rounds);
  case LTM_ISA_AVX512:
  case LTM_ISA_AVX512_BF16: return fma512(rounds);
  }
  return 0;
}

double ltm_ceiling_bf16(long rounds) { return ltm_ceiling_isa() == LTM_ISA_AVX512_BF16 ? dot512(rounds) : 0; }

double ltm_ceiling_triad(const float *a, const float *b, float *c, long bytes) {
  __m128 half = _mm_set1_ps(0.5f);
  for (long i = 0; i < bytes / 4; i += 16)
    for (long j = i; j < i + 16; j += 4)
      _mm_stream_ps(c + j, _mm_add_ps(_mm_load_ps(a + j), _mm_mul_ps(half, _mm_load_ps(b + j))));
  _mm_sfence();
  return 3.0 * (double)bytes;
}

#else

enum ltm_ceiling_isa ltm_ceiling_isa(void) { return LTM_ISA_GENERIC; }

typedef float vector __attribute__((vector_size(16)));

double ltm_ceiling_fma(long rounds) {
  vector a = {0.5f, 0.5f, 0.5f, 0.5f}, r[12] = {{0}};
  for (long n = 0; n < rounds; n++)
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; i++) {
      r[i] = r[i] * a + a;
      __asm__ volatile("" : "+w"(r[i]));
    }
  return 12.0 * 8 * (double)rounds;
}

double ltm_ceiling_fma64(long rounds) {
  typedef double pair __attribute__((vector_size(16)));
  pair a = {0.5, 0.5}, r[12] = {{0}};
  for (long n = 0; n < rounds; n++)
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; i++) {
      r[i] = r[i] * a + a;
      __asm__ volatile("" : "+w"(r[i]));
    }
  return 12.0 * 4 * (double)rounds;
}

#if defined(__aarch64__)
#include <sys/auxv.h>

__attribute__((target("arch=armv8.2-a+bf16"))) static double dot128(long rounds) {
  vector a = {0.5f, 0.5f, 0.5f, 0.5f}, r[12] = {{0}};
  for (long n = 0; n < rounds; n++)
#pragma clang loop unroll(full)
    for (int i = 0; i < 12; i++) __asm__ volatile("bfdot %0.4s, %1.8h, %1.8h" : "+w"(r[i]) : "w"(a));
  return 12.0 * 16 * (double)rounds;
}

double ltm_ceiling_bf16(long rounds) {
  const unsigned long has_bf16 = 1UL << 14;
  return getauxval(AT_HWCAP2) & has_bf16 ? dot128(rounds) : 0;
}
#else
double ltm_ceiling_bf16(long rounds) {
  (void)rounds;
  return 0;
}
#endif

double ltm_ceiling_tiles(long rounds) {
  (void)rounds;
  return 0;
}

double ltm_ceiling_triad(const float *a, const float *b, float *c, long bytes) {
  for (long i = 0; i < bytes / 4; i += 4)
    *(vector *)(c + i) = *(const vector *)(a + i) + 0.5f * *(const vector *)(b + i);
  return 3.0 * (double)bytes;
}
#endif
