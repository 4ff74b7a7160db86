// engine/cuda_check.h — how CUDA reports failure, and ranges for a profiler. Included by files that nvcc compiles and by
// the engine's CUDA runtime alone.
#pragma once
#include <cuda_runtime.h>
#include <nvtx3/nvToolsExt.h>

#include "engine/base.h"

namespace bonafide {

struct CudaError : Error {
  CudaError(cudaError_t e, const std::string& message) : Error(message), code(e) {}
  cudaError_t code;
};

inline void cuda_check(cudaError_t e, const char* what, const char* file, int line) {
  if (e == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // a handler may call CUDA again
  throw CudaError(e, str(file, ":", line, ": ", what, ": ", cudaGetErrorName(e), ": ", cudaGetErrorString(e)));
}
#define BF_CUDA(call) ::bonafide::cuda_check((call), #call, __FILE__, __LINE__)

// After every launch. Release: catches launches that were refused. Checked: waits, so that an illegal access is reported
// at the kernel that made it and not three kernels later.
#if BF_CHECKED
#define BF_LAUNCH_CHECK(kernel, stream)                                                     \
  do {                                                                                      \
    ::bonafide::cuda_check(cudaGetLastError(), kernel, __FILE__, __LINE__);                 \
    ::bonafide::cuda_check(cudaStreamSynchronize(stream), kernel, __FILE__, __LINE__);      \
  } while (0)
#else
#define BF_LAUNCH_CHECK(kernel, stream) ::bonafide::cuda_check(cudaGetLastError(), kernel, __FILE__, __LINE__)
#endif

// A named bar in a profiler's timeline while it lives; without a profiler a few nanoseconds.
class Range {
 public:
  explicit Range(const char* name) { nvtxRangePushA(name); }
  ~Range() { nvtxRangePop(); }
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
};

}  // namespace bonafide
