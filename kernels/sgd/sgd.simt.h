// kernels/sgd/sgd.simt.h — SGD with momentum, the body of its CUDA kernel: four elements a thread, one pass.
#pragma once
#include "kernels/simt/element_range.h"
#include "kernels/sgd/sgd.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const SgdStep& a, F&& f) {
  f("p", a.p), f("buffer", a.buffer), f("g", a.g), f("copy", a.copy), f("no_decay", a.no_decay), f("norm", a.norm);
}

namespace simt_bodies {
using namespace simt;

struct SgdKernel {
  static constexpr const char* kName = "sgd";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = kWidest<float>;
  static LaunchShape shape(const SgdStep& a) { return elementwise_shape<kWide>(a.p.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const SgdStep& a) {
    const float momentum = float(a.momentum), lr = float(a.lr), full_decay = float(a.weight_decay);
    const bool vectors = all_aligned<kWide>(block, a.p, a.g, a.buffer, a.copy);
    for_own_elements<kWide>(block, a.p.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto g = block.template load_vector<N>(a.g, i);
      auto p = block.template load_vector<N>(a.p, i);
      Vector<float, N> buffer{};
      if (!a.first) buffer = block.template load_vector<N>(a.buffer, i);  // at first it may be uninitialised
      // These two wait for the cache only, while the arenas are on their way.
      const double norm = a.norm ? block.load(a.norm, 0) : 0;
      const unsigned exempt = inside_ranges<N>(block, a.no_decay, i);
      if (!is_finite(norm)) return;
      const float scale = float(a.grad_scale * clip_factor(norm, a.max_norm));
      Vector<bf16, N> copy;
      for (int j = 0; j < N; ++j) {
        const float gj = scale * g[j] + (exempt >> j & 1 ? 0 : full_decay) * p[j];
        buffer[j] = momentum * buffer[j] + gj;
        p[j] -= lr * buffer[j];
        copy[j] = bf16(p[j]);
      }
      block.store_vector(a.p, i, p), block.store_vector(a.buffer, i, buffer);
      if (a.copy) block.store_vector(a.copy, i, copy);
    });
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void sgd(Launch&& launch, const SgdStep& a) {
  check(a);
  launch(SgdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
