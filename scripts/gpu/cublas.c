// Times a square fp16 product with f32 sums in cuBLAS, whose library is opened at run time: what our own kernel is held against.
//   cublas 4096     prints operations a second; 2 when there is no cuBLAS here
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long Address;
typedef struct Handle *Opaque;

static void *driver, *blas;

#define CALL(library, name, ...)                                                   \
  do {                                                                             \
    int (*function)() = (int (*)())dlsym(library, name);                           \
    if (function == NULL) return fprintf(stderr, "there is no %s\n", name), 2;     \
    int result = function(__VA_ARGS__);                                            \
    if (result != 0) return fprintf(stderr, "%s gave %d\n", name, result), 1;      \
  } while (0)

static void *open_first(const char **names) {
  for (void *found; *names != NULL; names++) {
    if ((found = dlopen(*names, RTLD_NOW)) != NULL) return found;
  }
  return NULL;
}

// What `ltm profile` fills its arguments with: mean 0, variance 1. Numbers that are all alike would cost a GPU less power,
// and so less time.
enum { PATTERN = 4096 };
static void fill(uint16_t *halves, size_t count) {
  uint16_t pattern[PATTERN];
  uint64_t state = 1;
  for (int i = 0; i < PATTERN; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    float value = (float)(((double)(state >> 11) * 0x1p-53 - 0.5) * 3.4641016151377544);
    uint32_t bits;
    memcpy(&bits, &value, 4);
    int exponent = (int)(bits >> 23 & 255) - 127 + 15;
    pattern[i] = exponent < 1 ? 0 : (uint16_t)(bits >> 16 & 0x8000 | (uint32_t)exponent << 10 | bits >> 13 & 1023);
  }
  for (size_t i = 0; i < count; i++) halves[i] = pattern[i % PATTERN];
}

int main(int count, char **arguments) {
  int n = count > 1 ? atoi(arguments[1]) : 4096, device = 0;
  blas = open_first((const char *[]){"libcublas.so.13", "libcublas.so.12", "libcublas.so.11", "libcublas.so", NULL});
  if (blas == NULL) return fprintf(stderr, "no cuBLAS was found here\n"), 2;
  const char *given = getenv("LTM_CUDA_DRIVER");
  driver = open_first((const char *[]){given ? given : "libcuda.so.1", "libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1", NULL});
  if (driver == NULL) return fprintf(stderr, "no driver was found for cuBLAS\n"), 2;
  Opaque context = NULL, handle = NULL, start = NULL, end = NULL;
  CALL(driver, "cuInit", 0);
  CALL(driver, "cuDeviceGet", &device, 0);
  CALL(driver, "cuDevicePrimaryCtxRetain", &context, device);
  CALL(driver, "cuCtxSetCurrent", context);
  size_t bytes = (size_t)n * n * 2;
  Address a, b, c;
  CALL(driver, "cuMemAlloc_v2", &a, bytes);
  CALL(driver, "cuMemAlloc_v2", &b, bytes);
  CALL(driver, "cuMemAlloc_v2", &c, bytes);
  uint16_t *halves = malloc(bytes);
  if (halves == NULL) return fprintf(stderr, "no memory\n"), 1;
  fill(halves, bytes / 2);
  CALL(driver, "cuMemcpyHtoD_v2", a, halves, bytes);
  CALL(driver, "cuMemcpyHtoD_v2", b, halves, bytes);
  CALL(blas, "cublasCreate_v2", &handle);
  CALL(driver, "cuEventCreate", &start, 0);
  CALL(driver, "cuEventCreate", &end, 0);
  float one = 1, zero = 0, best = 1e30f;
  for (int run = 0; run < 30; run++) {
    CALL(driver, "cuEventRecord", start, (void *)0);
    // f16 is 2, f32 sums are CUBLAS_COMPUTE_32F, 68; the default algorithm is -1.
    CALL(blas, "cublasGemmEx", handle, 0, 0, n, n, n, &one, a, 2, n, b, 2, n, &zero, c, 2, n, 68, -1);
    CALL(driver, "cuEventRecord", end, (void *)0);
    CALL(driver, "cuEventSynchronize", end);
    float milliseconds = 0;
    CALL(driver, "cuEventElapsedTime", &milliseconds, start, end);
    if (run > 2 && milliseconds < best) best = milliseconds;
  }
  printf("%.4g\n", 2.0 * n * n * n / (best * 1e-3));
  return 0;
}
