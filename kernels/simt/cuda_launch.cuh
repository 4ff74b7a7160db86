// kernels/simt/cuda_launch.cuh — Launch on a GPU: the only file with <<<.
#pragma once
#include "engine/cuda_check.h"
#include "kernels/simt/device_block.cuh"

namespace bonafide::simt {

template <class Kernel>
constexpr int min_blocks() {
  if constexpr (requires { Kernel::kMinBlocks; }) return Kernel::kMinBlocks;
  return 0;  // unsaid
}
template <class Kernel, class Args>
__global__ void __launch_bounds__(Kernel::kMaxThreads, min_blocks<Kernel>()) entry(const __grid_constant__ Args a) {
  DeviceBlock block;
  Kernel::run(block, a);
}

class Launch {
 public:
  Launch(const char* pass, Stream stream) : range_(pass), stream_(static_cast<cudaStream_t>(stream.handle)) {}

  Stream stream() const { return {stream_}; }

  template <class Kernel, class Args>
  void operator()(Kernel, const Args& a) const {
    const LaunchShape shape = Kernel::shape(a);
    if (shape.grid.x * shape.grid.y == 0) return;
    // grid.x holds 2^31 - 1 blocks, grid.y only 65535: the long axis goes in x, and an overflow is said.
    BF_CHECK(shape.grid.x <= 0x7fffffff && shape.grid.y <= 65535, Kernel::kName, ": grid of ", shape.grid.x, " x ", shape.grid.y);
    if (shape.dynamic_shared_bytes > kSharedWithoutAsking)
      BF_CUDA(cudaFuncSetAttribute(entry<Kernel, Args>, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.dynamic_shared_bytes));
    const dim3 grid(unsigned(shape.grid.x), unsigned(shape.grid.y)), block(unsigned(shape.block.x), unsigned(shape.block.y));
    entry<Kernel, Args><<<grid, block, std::size_t(shape.dynamic_shared_bytes), stream_>>>(a);
    BF_LAUNCH_CHECK(Kernel::kName, stream_);
  }

 private:
  static constexpr int kSharedWithoutAsking = 48 << 10;
  Range range_;  // a bar with the pass's name in a profiler
  cudaStream_t stream_;
};

}  // namespace bonafide::simt
