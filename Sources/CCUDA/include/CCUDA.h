#ifndef CCUDA_H
#define CCUDA_H
#include <stddef.h>

// The part of CUDA's driver interface that the runtime calls, written after NVIDIA's documentation: no toolkit is needed to build,
// and the library is opened at run time. Names and numbers are the driver's own.

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphExec_st *CUgraphExec;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_STUB_LIBRARY = 34,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_SYSTEM_DRIVER_MISMATCH = 803,
};

enum {
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,
  CU_EVENT_DEFAULT = 0,
  CU_EVENT_DISABLE_TIMING = 2,
  CU_JIT_ERROR_LOG_BUFFER = 5,
  CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6,
  CU_STREAM_NON_BLOCKING = 1,
  CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
};

// Every function: its name here, its symbol in the library, its parameters.
#define CUDA_FUNCTIONS(F) \
  F(cuInit, cuInit, (unsigned flags)) \
  F(cuDriverGetVersion, cuDriverGetVersion, (int *version)) \
  F(cuGetErrorName, cuGetErrorName, (CUresult result, const char **name)) \
  F(cuGetErrorString, cuGetErrorString, (CUresult result, const char **text)) \
  F(cuDeviceGetCount, cuDeviceGetCount, (int *count)) \
  F(cuDeviceGet, cuDeviceGet, (CUdevice *device, int ordinal)) \
  F(cuDeviceGetName, cuDeviceGetName, (char *name, int length, CUdevice device)) \
  F(cuDeviceGetAttribute, cuDeviceGetAttribute, (int *value, int attribute, CUdevice device)) \
  F(cuDeviceTotalMem, cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device)) \
  F(cuDevicePrimaryCtxRetain, cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device)) \
  F(cuDevicePrimaryCtxRelease, cuDevicePrimaryCtxRelease_v2, (CUdevice device)) \
  F(cuCtxSetCurrent, cuCtxSetCurrent, (CUcontext context)) \
  F(cuMemGetInfo, cuMemGetInfo_v2, (size_t *available, size_t *total)) \
  F(cuMemAlloc, cuMemAlloc_v2, (CUdeviceptr *address, size_t bytes)) \
  F(cuMemFree, cuMemFree_v2, (CUdeviceptr address)) \
  F(cuMemAllocHost, cuMemAllocHost_v2, (void **address, size_t bytes)) \
  F(cuMemFreeHost, cuMemFreeHost, (void *address)) \
  F(cuMemsetD8Async, cuMemsetD8Async, (CUdeviceptr to, unsigned char value, size_t count, CUstream stream)) \
  F(cuMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream)) \
  F(cuMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2, (void *to, CUdeviceptr from, size_t bytes, CUstream stream)) \
  F(cuStreamCreate, cuStreamCreate, (CUstream *stream, unsigned flags)) \
  F(cuStreamDestroy, cuStreamDestroy_v2, (CUstream stream)) \
  F(cuStreamSynchronize, cuStreamSynchronize, (CUstream stream)) \
  F(cuEventCreate, cuEventCreate, (CUevent *event, unsigned flags)) \
  F(cuEventDestroy, cuEventDestroy_v2, (CUevent event)) \
  F(cuEventRecord, cuEventRecord, (CUevent event, CUstream stream)) \
  F(cuEventSynchronize, cuEventSynchronize, (CUevent event)) \
  F(cuEventElapsedTime, cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end)) \
  F(cuModuleLoadDataEx, cuModuleLoadDataEx, \
    (CUmodule *module, const void *image, unsigned count, int *options, void **values)) \
  F(cuModuleUnload, cuModuleUnload, (CUmodule module)) \
  F(cuModuleGetFunction, cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name)) \
  F(cuFuncSetAttribute, cuFuncSetAttribute, (CUfunction function, int attribute, int value)) \
  F(cuLaunchKernel, cuLaunchKernel, \
    (CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, \
     unsigned blockZ, unsigned sharedBytes, CUstream stream, void **parameters, void **extra))

// Those that a driver may lack: it then launches one by one, and loads a kernel when it likes.
#define CUDA_OPTIONAL_FUNCTIONS(F) \
  F(cuFuncLoad, cuFuncLoad, (CUfunction function)) \
  F(cuStreamBeginCapture, cuStreamBeginCapture_v2, (CUstream stream, int mode)) \
  F(cuStreamEndCapture, cuStreamEndCapture, (CUstream stream, CUgraph *graph)) \
  F(cuGraphInstantiate, cuGraphInstantiateWithFlags, (CUgraphExec *exec, CUgraph graph, unsigned long long flags)) \
  F(cuGraphLaunch, cuGraphLaunch, (CUgraphExec exec, CUstream stream)) \
  F(cuGraphExecDestroy, cuGraphExecDestroy, (CUgraphExec exec)) \
  F(cuGraphDestroy, cuGraphDestroy, (CUgraph graph))

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wnullability-completeness"
#define CUDA_FIELD(name, symbol, parameters) CUresult(*_Nonnull name) parameters;
#define CUDA_NULLABLE_FIELD(name, symbol, parameters) CUresult(*_Nullable name) parameters;

/// The driver's functions.
typedef struct CUDAFunctions {
  CUDA_FUNCTIONS(CUDA_FIELD)
  CUDA_OPTIONAL_FUNCTIONS(CUDA_NULLABLE_FIELD)
} CUDAFunctions;

/// Fills the table from a library that is open; gives the first symbol that it lacks, or null.
const char *_Nullable CUDAFunctionsLoad(void *_Nonnull library, CUDAFunctions *_Nonnull functions);

#undef CUDA_FIELD
#undef CUDA_NULLABLE_FIELD
#pragma clang diagnostic pop
#endif
