// kernels/adamw/adamw.simt.h — AdamW, the body of its CUDA kernel: four elements a thread, one pass over the arenas.
#pragma once
#include "kernels/adamw/adamw.h"
#include "kernels/simt/element_range.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {
namespace simt_bodies {
using namespace simt;

struct AdamWArgs {
  AdamWStep a;
  AdamWConstants k;
};
template <class F>
void for_each_array(const AdamWArgs& args, F&& f) {
  const AdamWStep& a = args.a;
  f("p", a.p), f("m", a.m), f("v", a.v), f("g", a.g), f("copy", a.copy), f("no_decay", a.no_decay), f("norm", a.norm);
}

struct AdamWKernel {
  static constexpr const char* kName = "adamw";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = kWidest<float>;
  static LaunchShape shape(const AdamWArgs& args) { return elementwise_shape<kWide>(args.a.p.len); }
  template <Block B>
  BF_DEVICE static void run(B& block, const AdamWArgs& args) {
    const AdamWStep& a = args.a;
    const AdamWConstants& k = args.k;
    const bool vectors = all_aligned<kWide>(block, a.p, a.g, a.m, a.v, a.copy);
    for_own_elements<kWide>(block, a.p.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto g = block.template load_vector<N>(a.g, i);
      auto p = block.template load_vector<N>(a.p, i), m = block.template load_vector<N>(a.m, i),
           v = block.template load_vector<N>(a.v, i);
      // These two wait for the cache only, while the arenas are on their way.
      const double norm = a.norm ? block.load(a.norm, 0) : 0;
      const unsigned exempt = inside_ranges<N>(block, a.no_decay, i);
      if (!is_finite(norm)) return;
      const float scale = float(a.grad_scale * clip_factor(norm, a.max_norm));
      Vector<bf16, N> copy;
      for (int j = 0; j < N; ++j) {
        const float gj = scale * g[j], decay = exempt >> j & 1 ? 0 : k.decay;
        m[j] = k.beta1 * m[j] + k.rest1 * gj;
        v[j] = k.beta2 * v[j] + k.rest2 * gj * gj;
        p[j] -= decay * p[j] + k.rate * m[j] / (sqrtf(v[j]) * k.root + k.eps);
        copy[j] = bf16(p[j]);
      }
      block.store_vector(a.p, i, p), block.store_vector(a.m, i, m), block.store_vector(a.v, i, v);
      if (a.copy) block.store_vector(a.copy, i, copy);
    });
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void adamw(Launch&& launch, const AdamWStep& a) {
  check(a);
  launch(AdamWKernel(), AdamWArgs{a, adamw_constants(a)});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
