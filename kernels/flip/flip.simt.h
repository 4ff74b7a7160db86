// kernels/flip/flip.simt.h — mirror an image, the body of its CUDA kernel: a thread per pair of pixels.
#pragma once
#include "kernels/flip/flip.h"
#include "kernels/simt/block.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const Flip& a, F&& f) {
  f("image", a.image);
}

namespace simt_bodies {
using namespace simt;

struct FlipKernel {
  static constexpr const char* kName = "flip";
  static constexpr int kMaxThreads = 256;
  static LaunchShape shape(const Flip& a) {
    return {.grid = {ceil_div<std::int64_t>(std::int64_t(a.height) * (a.width / 2), kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const Flip& a) {
    const std::int64_t half = a.width / 2, pair = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (pair >= a.height * half) return;
    const std::int64_t row = pair / half * a.width, x = pair % half;
    const std::int64_t left = 3 * (row + x), right = 3 * (row + a.width - 1 - x);
    for (int c = 0; c < 3; ++c) {
      const std::uint8_t l = block.load(a.image, left + c), r = block.load(a.image, right + c);
      block.store(a.image, left + c, r), block.store(a.image, right + c, l);
    }
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void flip(Launch&& launch, const Flip& a) {
  check(a);
  launch(FlipKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
