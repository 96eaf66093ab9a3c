#include "CCUDA.h"

#include <dlfcn.h>

const char *CUDAFunctionsLoad(void *library, CUDAFunctions *functions) {
#define LOAD(name, symbol, parameters) \
  if (((functions->name) = (CUresult(*) parameters)dlsym(library, #symbol)) == NULL) return #symbol;
#define LOAD_IF_THERE(name, symbol, parameters) functions->name = (CUresult(*) parameters)dlsym(library, #symbol);
  CUDA_FUNCTIONS(LOAD)
  CUDA_OPTIONAL_FUNCTIONS(LOAD_IF_THERE)
  return NULL;
}
