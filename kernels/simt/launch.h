// kernels/simt/launch.h — Launch: what the launch sequences of <op>.simt.h are given. The same cuda.cu is compiled
//
//   by nvcc                                    kernels are launched on the stream
//   by the C++ compiler, BF_EMULATED_CUDA      kernels run in the emulator (tests)
//   by the C++ compiler                        there are no kernels: asking for one is an error (a build without CUDA)
//
// so that an operation has one file for CUDA, and nobody an #ifdef.
#pragma once
#include "engine/device.h"
#include "kernels/simt/block.h"

#if defined(__CUDACC__)
#include "kernels/simt/cuda_launch.cuh"
#elif defined(BF_EMULATED_CUDA)
#include "kernels/emulator/launch.h"
#else
namespace bonafide::simt {
struct Launch {
  Launch(const char* pass, Stream) { throw Error(str(pass, ": this build has no CUDA")); }
  Stream stream() const { return {}; }
  template <class Kernel, class Args>
  void operator()(Kernel, const Args&) const {}
};
}  // namespace bonafide::simt
#endif

// Defines cuda::name for the storage types f32 and bf16, or for arguments of one type, from simt_bodies::name.
#define BF_CUDA_PASS(name, Args)                                      \
  namespace bonafide::kernels::cuda {                                 \
  template <class T>                                                  \
  void name(const Args<T>& a, Stream stream) {                        \
    simt_bodies::name(simt::Launch(#name, stream), a);                \
  }                                                                   \
  template void name(const Args<float>&, Stream);                     \
  template void name(const Args<bf16>&, Stream);                      \
  }                                                                   \
  static_assert(true)
#define BF_CUDA_PASS_PLAIN(name, Args)                                \
  namespace bonafide::kernels::cuda {                                 \
  void name(const Args& a, Stream stream) {                           \
    simt_bodies::name(simt::Launch(#name, stream), a);                \
  }                                                                   \
  }                                                                   \
  static_assert(true)
