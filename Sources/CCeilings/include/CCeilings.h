// What this machine can do at most: loops that do nothing but move memory, or nothing but multiply and add. Shares of the
// roofline are taken of what they reach.
#ifndef CCEILINGS_H
#define CCEILINGS_H
#include <stdint.h>
/// Instruction sets that a loop exists for.
enum ltm_ceiling_isa { LTM_ISA_GENERIC, LTM_ISA_AVX2, LTM_ISA_AVX512, LTM_ISA_AVX512_BF16 };
/// The widest of them that this processor has.
enum ltm_ceiling_isa ltm_ceiling_isa(void);
/// Its name.
const char *ltm_ceiling_isa_name(enum ltm_ceiling_isa isa);
/// Multiplies and adds f32 vectors in registers, `rounds` times; returns the floating point operations done.
double ltm_ceiling_fma(long rounds);
/// The same of f64.
double ltm_ceiling_fma64(long rounds);
/// The same with dot products of bf16 pairs; 0 where the processor has none.
double ltm_ceiling_bf16(long rounds);
/// The same with products of bf16 tiles (AMX), which the process must have asked the system for.
double ltm_ceiling_tiles(long rounds);
/// `c = a + b / 2` over `bytes` of each, aligned to 64, with stores that bypass the caches where there are such; returns
/// the bytes moved.
double ltm_ceiling_triad(const float *a, const float *b, float *c, long bytes);
/// Copies `bytes` with the C library; returns the bytes read and written.
double ltm_ceiling_copy(const void *from, void *to, long bytes);
/// A task for the pool's threads that ends when as many have begun as `arguments[1]`, cast to a number, says; `arguments[0]`
/// is a counter of ints that starts at 0. What its launch takes is a fork and a join of that many threads.
void ltm_ceiling_meet(void **arguments, long first, long end, void *scratch);
/// Lets this process run on its first `cores` cores only; to be called before it starts threads.
void ltm_pin(int cores);
#endif
