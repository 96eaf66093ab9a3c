// NVIDIA's driver interface on a CPU: what the runtime calls, with the PTX that it loads run by emulator.h. The "device" is this
// process's memory. Work waits in its stream until somebody waits for it, so that what is not waited for is not there.
//
// The environment says what device to be and what fails:
//   EMULATED_CUDA_DEVICES (1), EMULATED_CUDA_CAPABILITY (80), EMULATED_CUDA_VERSION (12040), EMULATED_CUDA_MEMORY (bytes)
//   EMULATED_CUDA_FAIL=cuLaunchKernel:719:3    the third call of a function, or the third launch to run ("run"), fails so
//   EMULATED_CUDA_TOOLS  the folder of ptx2c.py and emulator.h
//   EMULATED_CUDA_CACHE  a folder for what modules compile to
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "CCUDA.h"

typedef struct {
  const char *name;
  void *run;
  int threads, parameters, sharedBytes;
} EmulatedKernel;

typedef struct {
  uint64_t start, end;
} Range;

typedef int (*Run)(int, int, int, int, void **, const Range *, int);

struct CUmod_st {
  void *library;
  const EmulatedKernel *kernels;
  Run run;
  struct CUfunc_st *functions;
};

struct CUfunc_st {
  struct CUmod_st *module;
  int number, allowedBytes, isLoaded;
};

enum { MOST_ARGUMENTS = 64, MOST_RANGES = 4096 };

typedef struct Work {
  enum { SET, TO_DEVICE, TO_HOST, LAUNCH, RECORD } kind;
  uint64_t to, from;
  size_t bytes;
  struct CUfunc_st *function;
  int grid, block, sharedBytes, value;
  uint64_t arguments[MOST_ARGUMENTS];
  struct CUevent_st *event;
  struct Work *next;
} Work;

typedef struct {
  Work *first, *last;
} Queue;

struct CUstream_st {
  Queue queue;
};

struct CUevent_st {
  int pending;
  double seconds;
};

struct CUgraph_st {
  Queue work;
};

struct CUgraphExec_st {
  Queue work;
};

static Range ranges[MOST_RANGES], pinned[MOST_RANGES];
static int rangeCount, pinnedCount;
static size_t usedBytes;
static CUresult sticky;
static struct CUgraph_st *capture;
static struct CUstream_st *onlyStream;
static int isCurrent;
static char *jitLog;
static size_t jitLogSize;

static long setting(const char *name, long otherwise) {
  const char *text = getenv(name);
  return text == NULL ? otherwise : atol(text);
}

static size_t deviceBytes(void) { return (size_t)setting("EMULATED_CUDA_MEMORY", 8000000000); }

// The error that a call is told to give: "cuLaunchKernel:719:3" means the third call.
static CUresult injected(const char *function) {
  static int calls;
  const char *text = getenv("EMULATED_CUDA_FAIL");
  size_t length = strlen(function);
  if (text == NULL || strncmp(text, function, length) != 0 || text[length] != ':') return CUDA_SUCCESS;
  int code = 0, number = 1;
  sscanf(text + length, ":%d:%d", &code, &number);
  return ++calls == number ? code : CUDA_SUCCESS;
}

#define ENTER                                       \
  do {                                              \
    CUresult told = injected(__func__);             \
    if (told != CUDA_SUCCESS) return told;          \
    if (sticky != CUDA_SUCCESS) return sticky;      \
  } while (0)
#define NEEDS_CONTEXT                               \
  ENTER;                                            \
  if (!isCurrent) return 201
// What a stream that is being captured does not allow.
#define NEEDS_NO_CAPTURE                            \
  NEEDS_CONTEXT;                                    \
  if (capture != NULL) return 900

static int within(const Range *list, int count, uint64_t address, size_t bytes) {
  for (int i = 0; i < count; i++) {
    if (address >= list[i].start && address + bytes <= list[i].end) return 1;
  }
  return 0;
}

static void forget(Range *list, int *count, uint64_t address) {
  for (int i = 0; i < *count; i++) {
    if (list[i].start == address) list[i--] = list[--*count];
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

// MARK: Streams

static Work *add(Queue *queue, Work what) {
  Work *work = malloc(sizeof *work);
  *work = what;
  work->next = NULL;
  if (queue->last != NULL) queue->last->next = work; else queue->first = work;
  return queue->last = work;
}

static CUresult launch(Work *work) {
  CUresult told = injected("run");
  if (told != CUDA_SUCCESS) return told;
  void *parameters[MOST_ARGUMENTS];
  for (int i = 0; i < MOST_ARGUMENTS; i++) parameters[i] = &work->arguments[i];
  return work->function->module->run(
      work->function->number, work->grid, work->block, work->sharedBytes, parameters, ranges, rangeCount);
}

static CUresult perform(Work *work) {
  switch (work->kind) {
    case SET: memset((void *)work->to, work->value, work->bytes); return CUDA_SUCCESS;
    case TO_DEVICE:
    case TO_HOST: memcpy((void *)work->to, (void *)work->from, work->bytes); return CUDA_SUCCESS;
    case LAUNCH: return launch(work);
    case RECORD:
      work->event->seconds = now();
      work->event->pending--;
      return CUDA_SUCCESS;
  }
  return 999;
}

// Runs what waits, up to an event or all of it.
static CUresult drain(Queue *queue, struct CUevent_st *until) {
  while (queue->first != NULL && sticky == CUDA_SUCCESS && (until == NULL || until->pending > 0)) {
    Work *work = queue->first;
    queue->first = work->next;
    if (queue->first == NULL) queue->last = NULL;
    if (sticky == CUDA_SUCCESS) sticky = perform(work);
    if (work->kind == TO_DEVICE && work->value) free((void *)work->from);
    free(work);
  }
  return sticky;
}

static CUresult enqueue(CUstream stream, Work work) {
  if (work.kind != RECORD && work.kind != LAUNCH) {
    uint64_t there = work.kind == TO_HOST ? work.from : work.to;
    if (!within(ranges, rangeCount, there, work.bytes)) return 1;
  }
  add(capture != NULL ? &capture->work : &stream->queue, work);
  return CUDA_SUCCESS;
}

// MARK: The interface

CUresult cuInit(unsigned flags) {
  ENTER;
  return setting("EMULATED_CUDA_DEVICES", 1) == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int *version) {
  *version = (int)setting("EMULATED_CUDA_VERSION", 12040);
  return CUDA_SUCCESS;
}

static const struct {
  int code;
  const char *name, *text;
} errors[] = {
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {716, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address"},
    {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "system has unsupported display driver / cuda driver combination"},
};

CUresult cuGetErrorName(CUresult result, const char **name) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (errors[i].code == result) return *name = errors[i].name, CUDA_SUCCESS;
  }
  return *name = NULL, 1;
}
CUresult cuGetErrorString(CUresult result, const char **text) {
  for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
    if (errors[i].code == result) return *text = errors[i].text, CUDA_SUCCESS;
  }
  return *text = NULL, 1;
}

CUresult cuDeviceGetCount(int *count) {
  ENTER;
  *count = (int)setting("EMULATED_CUDA_COUNT", 1);
  return CUDA_SUCCESS;
}
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  ENTER;
  *device = ordinal;
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  snprintf(name, length, "Emulated GPU");
  return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
  int capability = (int)setting("EMULATED_CUDA_CAPABILITY", 80);
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability / 10; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability % 10; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 1; return CUDA_SUCCESS;
    default: return 1;
  }
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) { return *bytes = deviceBytes(), CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  ENTER;
  *context = (CUcontext)&isCurrent;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { return isCurrent = context != NULL, CUDA_SUCCESS; }

CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  *available = deviceBytes() - usedBytes;
  *total = deviceBytes();
  return CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  NEEDS_NO_CAPTURE;
  if (bytes == 0) return 1;
  if (usedBytes + bytes > deviceBytes() || rangeCount == MOST_RANGES) return CUDA_ERROR_OUT_OF_MEMORY;
  void *memory = aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (memory == NULL) return CUDA_ERROR_OUT_OF_MEMORY;
  // What is not written is not zero.
  memset(memory, 0xFF, bytes);
  ranges[rangeCount++] = (Range){(uint64_t)memory, (uint64_t)memory + bytes};
  usedBytes += bytes;
  *address = (CUdeviceptr)memory;
  return CUDA_SUCCESS;
}
CUresult cuMemFree_v2(CUdeviceptr address) {
  // As the real one does, it waits for all work first.
  if (onlyStream != NULL) drain(&onlyStream->queue, NULL);
  for (int i = 0; i < rangeCount; i++) {
    if (ranges[i].start == address) usedBytes -= ranges[i].end - ranges[i].start;
  }
  forget(ranges, &rangeCount, address);
  free((void *)address);
  return CUDA_SUCCESS;
}
CUresult cuMemAllocHost_v2(void **address, size_t bytes) {
  NEEDS_NO_CAPTURE;
  if (pinnedCount == MOST_RANGES || (*address = malloc(bytes)) == NULL) return CUDA_ERROR_OUT_OF_MEMORY;
  pinned[pinnedCount++] = (Range){(uint64_t)*address, (uint64_t)*address + bytes};
  return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void *address) {
  forget(pinned, &pinnedCount, (uint64_t)address);
  free(address);
  return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t count, CUstream stream) {
  NEEDS_CONTEXT;
  return enqueue(stream, (Work){.kind = SET, .to = to, .value = value, .bytes = count});
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  NEEDS_CONTEXT;
  Work work = {.kind = TO_DEVICE, .to = to, .from = (uint64_t)from, .bytes = bytes};
  // Ordinary memory is copied aside at once; pinned memory is read when the stream comes to it.
  if (!within(pinned, pinnedCount, work.from, bytes)) {
    void *aside = malloc(bytes);
    memcpy(aside, from, bytes);
    (work.from = (uint64_t)aside), (work.value = 1);
  }
  return enqueue(stream, work);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  NEEDS_CONTEXT;
  return enqueue(stream, (Work){.kind = TO_HOST, .to = (uint64_t)to, .from = from, .bytes = bytes});
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  NEEDS_CONTEXT;
  onlyStream = *stream = calloc(1, sizeof **stream);
  return CUDA_SUCCESS;
}
CUresult cuStreamDestroy_v2(CUstream stream) {
  drain(&stream->queue, NULL);
  if (onlyStream == stream) onlyStream = NULL;
  free(stream);
  return CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream stream) {
  NEEDS_NO_CAPTURE;
  return drain(&stream->queue, NULL);
}
CUresult cuEventCreate(CUevent *event, unsigned flags) {
  NEEDS_CONTEXT;
  *event = calloc(1, sizeof **event);
  return CUDA_SUCCESS;
}
CUresult cuEventDestroy_v2(CUevent event) {
  if (event->pending == 0) free(event);
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream stream) {
  NEEDS_CONTEXT;
  event->pending++;
  return enqueue(stream, (Work){.kind = RECORD, .event = event});
}
CUresult cuEventSynchronize(CUevent event) {
  NEEDS_NO_CAPTURE;
  return onlyStream == NULL ? CUDA_SUCCESS : drain(&onlyStream->queue, event);
}
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  *milliseconds = (float)((end->seconds - start->seconds) * 1e3);
  return CUDA_SUCCESS;
}

// MARK: Modules

static uint64_t digest(const char *text) {
  uint64_t value = 14695981039346656037u;
  for (; *text != 0; text++) value = (value ^ (unsigned char)*text) * 1099511628211u;
  return value;
}

static int compile(const char *ptx, const char *folder, const char *library) {
  const char *tools = getenv("EMULATED_CUDA_TOOLS");
  char name[4200], command[20000];
  snprintf(name, sizeof name, "%s.%d", library, getpid());
  snprintf(command, sizeof command, "%s.ptx", name);
  FILE *file = fopen(command, "w");
  if (file == NULL || tools == NULL) return 0;
  fputs(ptx, file);
  fclose(file);
  snprintf(
      command, sizeof command,
      "python3 '%s/ptx2c.py' '%s.ptx' > '%s.c' 2> '%s.log' && clang -O1 -march=native -ffp-contract=off -fno-strict-aliasing "
      "-fno-math-errno -w -shared -fPIC -I '%s' '%s.c' -o '%s.so' -lm 2>> '%s.log' && mv '%s.so' '%s' && "
      "rm -f '%s.ptx' '%s.c' '%s.log'",
      tools, name, name, name, tools, name, name, name, name, library, name, name, name);
  if (system(command) == 0) return 1;
  snprintf(command, sizeof command, "%s.log", name);
  file = fopen(command, "r");
  if (file != NULL && jitLog != NULL) jitLog[fread(jitLog, 1, jitLogSize - 1, file)] = 0;
  if (file != NULL) fclose(file);
  return 0;
}

CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned count, int *options, void **values) {
  NEEDS_NO_CAPTURE;
  for (unsigned i = 0; i < count; i++) {
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER) jitLog = values[i];
    if (options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) jitLogSize = (size_t)values[i];
  }
  const char *cache = getenv("EMULATED_CUDA_CACHE");
  if (cache == NULL) return CUDA_ERROR_INVALID_PTX;
  char path[4096];
  snprintf(path, sizeof path, "%s/%016llx.so", cache, (unsigned long long)digest(image));
  if (access(path, R_OK) != 0 && !compile(image, cache, path)) return CUDA_ERROR_INVALID_PTX;
  struct CUmod_st *made = calloc(1, sizeof *made);
  made->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (made->library == NULL) return CUDA_ERROR_INVALID_PTX;
  made->kernels = dlsym(made->library, "emulated_kernels");
  made->run = (Run)dlsym(made->library, "emulated_launch");
  int kernels = 0;
  while (made->kernels[kernels].name != NULL) kernels++;
  made->functions = calloc(kernels, sizeof *made->functions);
  for (int i = 0; i < kernels; i++) made->functions[i] = (struct CUfunc_st){made, i, 48 << 10};
  *module = made;
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) {
  if (onlyStream != NULL) drain(&onlyStream->queue, NULL);
  dlclose(module->library);
  free(module->functions);
  free(module);
  return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  NEEDS_CONTEXT;
  for (int i = 0; module->kernels[i].name != NULL; i++) {
    if (strcmp(module->kernels[i].name, name) == 0) return *function = &module->functions[i], CUDA_SUCCESS;
  }
  return 500;
}

CUresult cuFuncLoad(CUfunction function) {
  NEEDS_NO_CAPTURE;
  function->isLoaded = 1;
  return CUDA_SUCCESS;
}

#ifndef WITHOUT_SHARED_MEMORY
CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value) {
  NEEDS_CONTEXT;
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value > 227 << 10) return 1;
  function->allowedBytes = value;
  return CUDA_SUCCESS;
}
#endif

CUresult cuLaunchKernel(
    CUfunction function, unsigned gridX, unsigned gridY, unsigned gridZ, unsigned blockX, unsigned blockY, unsigned blockZ,
    unsigned sharedBytes, CUstream stream, void **parameters, void **extra) {
  NEEDS_CONTEXT;
  const EmulatedKernel *kernel = &function->module->kernels[function->number];
  if (gridX == 0 || gridY != 1 || gridZ != 1 || blockY != 1 || blockZ != 1) return 1;
  if (blockX > 1024 || kernel->parameters > MOST_ARGUMENTS || extra != NULL) return 1;
  if (capture != NULL && !function->isLoaded) return 900;
  if ((int)sharedBytes > function->allowedBytes || kernel->sharedBytes > 48 << 10) return 701;
  Work work = {.kind = LAUNCH, .function = function, .grid = (int)gridX, .block = (int)blockX, .sharedBytes = (int)sharedBytes};
  for (int i = 0; i < kernel->parameters; i++) work.arguments[i] = *(uint64_t *)parameters[i];
  return enqueue(stream, work);
}

// MARK: Graphs

#ifndef WITHOUT_GRAPHS
static void copy(Queue *to, const Queue *from) {
  for (Work *work = from->first; work != NULL; work = work->next) add(to, *work);
}

static void clear(Queue *queue) {
  while (queue->first != NULL) {
    Work *work = queue->first;
    queue->first = work->next;
    free(work);
  }
}

CUresult cuStreamBeginCapture_v2(CUstream stream, int mode) {
  NEEDS_CONTEXT;
  capture = calloc(1, sizeof *capture);
  return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  *graph = capture;
  capture = NULL;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  NEEDS_CONTEXT;
  *exec = calloc(1, sizeof **exec);
  copy(&(*exec)->work, &graph->work);
  return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  NEEDS_CONTEXT;
  copy(&stream->queue, &exec->work);
  return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) {
  clear(&exec->work);
  free(exec);
  return CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) {
  clear(&graph->work);
  free(graph);
  return CUDA_SUCCESS;
}
#endif
