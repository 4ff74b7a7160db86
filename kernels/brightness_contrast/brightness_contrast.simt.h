// kernels/brightness_contrast/brightness_contrast.simt.h — brightness and contrast, the body of its CUDA kernel: every
// block makes the table, then 16 bytes a thread.
#pragma once
#include "kernels/brightness_contrast/brightness_contrast.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const BrightnessContrast& a, F&& f) {
  f("image", a.image);
}

namespace simt_bodies {
using namespace simt;

struct BrightnessContrastKernel {
  static constexpr const char* kName = "brightness_contrast";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = kWidest<std::uint8_t>;
  static_assert(kMaxThreads == 256);  // a thread per entry of the table
  struct Table;
  static LaunchShape shape(const BrightnessContrast& a) { return elementwise_shape<kWide>(a.image.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const BrightnessContrast& a) {
    const auto table = block.template shared<Table, std::uint8_t, 256>();
    block.store(table, block.tx(), brightness_contrast_level(block.tx(), a.alpha, a.beta));
    block.sync();
    for_own_elements<kWide>(block, a.image.len, all_aligned<kWide>(block, a.image), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      auto v = block.template load_vector<N>(a.image, i);
      for (int j = 0; j < N; ++j) v[j] = block.load(table, v[j]);
      block.store_vector(a.image, i, v);
    });
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void brightness_contrast(Launch&& launch, const BrightnessContrast& a) {
  check(a);
  launch(BrightnessContrastKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
