// engine/cuda_runtime.cpp — the CUDA runtime of a build with CUDA. BF_CUDA_ARCHITECTURES comes from cmake/cuda.cmake: what
// nvcc compiled the kernels for.
#include "engine/cuda_runtime.h"

#include "engine/cuda_check.h"
#include "engine/cuda_support.h"

namespace bonafide::cuda {
namespace {

cudaStream_t raw(Stream s) { return static_cast<cudaStream_t>(s.handle); }
cudaEvent_t raw(Event e) { return static_cast<cudaEvent_t>(e.handle); }

// The devices that the runtime sees must all be usable: their numbers are then the runtime's own, which
// CUDA_VISIBLE_DEVICES chooses and orders.
struct Found {
  int count = 0;
  std::string why_none;
};
const Found& found() {
  static const Found f = [] {
    Found r;
    const cudaError_t e = cudaGetDeviceCount(&r.count);
    if (e != cudaSuccess) {
      (void)cudaGetLastError();
      int driver = 0, runtime = 0;
      (void)cudaDriverGetVersion(&driver), (void)cudaRuntimeGetVersion(&runtime);
      r.why_none = why_not_counted(driver, runtime, cudaGetErrorString(e));
      r.count = 0;
      return r;
    }
    if (r.count == 0) r.why_none = "the NVIDIA driver sees no GPU";
    for (int i = 0; i < r.count; ++i) {
      const Properties p = properties(i);
      if (holds_code_for(BF_CUDA_ARCHITECTURES, p.major, p.minor)) continue;
      r.why_none = str("GPU ", i, " (", p.name, ") has compute capability ", p.major, ".", p.minor,
                       ", this program holds code for ", BF_CUDA_ARCHITECTURES,
                       "; choose others with CUDA_VISIBLE_DEVICES or build with -DCMAKE_CUDA_ARCHITECTURES=", p.major, p.minor);
      r.count = 0;
    }
    return r;
  }();
  return f;
}

}  // namespace

int device_count() {
  try {
    return found().count;
  } catch (const Error&) {
    return 0;
  }
}
std::string why_no_device() {
  try {
    return found().why_none;
  } catch (const Error& e) {
    return e.what();
  }
}
Properties properties(int device) {
  cudaDeviceProp p{};
  BF_CUDA(cudaGetDeviceProperties(&p, device));
  return {p.name, p.major, p.minor, p.multiProcessorCount, p.totalGlobalMem};
}
std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  BF_CUDA(cudaMemGetInfo(&free, &total));
  return free;
}
void set_device(int device) { BF_CUDA(cudaSetDevice(device)); }

void* allocate(std::size_t bytes) {
  void* p = nullptr;
  const cudaError_t e = cudaMalloc(&p, bytes);
  if (e == cudaErrorMemoryAllocation) return (void)cudaGetLastError(), nullptr;
  cuda_check(e, "cudaMalloc", __FILE__, __LINE__);
  return p;
}
// Nothing can be done about errors here, and a process that is ending may have lost its driver already.
void release(void* p) noexcept { (void)cudaFree(p); }
void* allocate_pinned(std::size_t bytes) {
  void* p = nullptr;
  BF_CUDA(cudaHostAlloc(&p, bytes, cudaHostAllocDefault));
  return p;
}
void release_pinned(void* p) noexcept { (void)cudaFreeHost(p); }

Stream make_stream() {
  cudaStream_t s = nullptr;
  BF_CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  return {s};
}
void destroy(Stream s) noexcept { (void)cudaStreamDestroy(raw(s)); }
void synchronize(Stream s) { BF_CUDA(cudaStreamSynchronize(raw(s))); }
bool capturing(Stream s) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  BF_CUDA(cudaStreamIsCapturing(raw(s), &status));
  return status != cudaStreamCaptureStatusNone;
}

Event make_event() {
  cudaEvent_t e = nullptr;
  BF_CUDA(cudaEventCreateWithFlags(&e, cudaEventDisableTiming));
  return {e};
}
void destroy(Event e) noexcept { (void)cudaEventDestroy(raw(e)); }
void record(Event e, Stream s) { BF_CUDA(cudaEventRecord(raw(e), raw(s))); }
void wait(Stream s, Event e) { BF_CUDA(cudaStreamWaitEvent(raw(s), raw(e), 0)); }
void synchronize(Event e) { BF_CUDA(cudaEventSynchronize(raw(e))); }
bool reached(Event e) {
  const cudaError_t r = cudaEventQuery(raw(e));
  if (r != cudaErrorNotReady) BF_CUDA(r);
  return r == cudaSuccess;
}

void copy_to_device(void* to, const void* from, std::size_t bytes, Stream s) {
  BF_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, raw(s)));
}
void copy_to_host(void* to, const void* from, std::size_t bytes, Stream s) {
  BF_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, raw(s)));
}
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream s) {
  BF_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, raw(s)));
}
void set_bytes(void* p, unsigned char value, std::size_t bytes, Stream s) {
  BF_CUDA(cudaMemsetAsync(p, value, bytes, raw(s)));
}

void push_range(const char* name) noexcept { nvtxRangePushA(name); }
void pop_range() noexcept { nvtxRangePop(); }

}  // namespace bonafide::cuda
