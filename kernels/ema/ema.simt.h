// kernels/ema/ema.simt.h — the moving average, the body of its CUDA kernel: four elements a thread, one pass.
#pragma once
#include "kernels/ema/ema.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const EmaStep& a, F&& f) {
  f("e", a.e), f("p", a.p);
}

namespace simt_bodies {
using namespace simt;

struct EmaKernel {
  static constexpr const char* kName = "ema";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = kWidest<float>;
  static LaunchShape shape(const EmaStep& a) { return elementwise_shape<kWide>(a.e.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const EmaStep& a) {
    const float rest = float(1 - a.decay);
    for_own_elements<kWide>(block, a.e.len, all_aligned<kWide>(block, a.e, a.p), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      auto e = block.template load_vector<N>(a.e, i);
      const auto p = block.template load_vector<N>(a.p, i);
      for (int j = 0; j < N; ++j) e[j] += rest * (p[j] - e[j]);
      block.store_vector(a.e, i, e);
    });
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void ema(Launch&& launch, const EmaStep& a) {
  check(a);
  launch(EmaKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
