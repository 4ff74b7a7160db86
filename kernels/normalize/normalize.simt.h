// kernels/normalize/normalize.simt.h — bytes to network input, the body of the CUDA kernel: four values per thread.
#pragma once
#include "kernels/normalize/normalize.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const Normalize<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}

namespace simt_bodies {
using namespace simt;

struct NormalizeKernel {
  static constexpr const char* kName = "normalize";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = 4;
  template <class T>
  static LaunchShape shape(const Normalize<T>& a) {
    return elementwise_shape<kWide>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const Normalize<T>& a) {
    // Of a channel, without an index into the arguments: threads with different ones would wait for each other.
    const auto of = [](const std::array<float, 3>& v, int c) { return c == 0 ? v[0] : c == 1 ? v[1] : v[2]; };
    for_own_elements<kWide>(block, a.x.len, all_aligned<kWide>(block, a.x, a.y), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto x = block.template load_vector<N>(a.x, i);
      simt::Vector<T, N> y;
      for (int k = 0; k < N; ++k) {
        const int c = int((i + k) % 3);
        y[k] = from_f32<T>((float(x[k]) / 255.0f - of(a.mean, c)) / of(a.std, c));  // true divisions: the CPU's bits
      }
      block.store_vector(a.y, i, y);
    });
  }
};

template <class Launch, class T>
void normalize(Launch&& launch, const Normalize<T>& a) {
  check(a);
  launch(NormalizeKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
