// kernels/convnext_mlp/common.h — what both passes need: workspace, GRN's factors, checks of arguments.
#pragma once
#include "kernels/carver.h"
#include "kernels/convnext_mlp/convnext_mlp.h"

namespace bonafide::kernels {

namespace convnext_mlp_cpu {

// What a group keeps in the last-level cache until the sums over its samples are known.
constexpr std::int64_t kGroupBytes = 10 << 20;

// M and 1 + gamma N of one sample from its G (grn.h).
inline float mean_of(const float* G, std::int64_t hidden, float eps) {
  double sum = 0;
  for (std::int64_t c = 0; c < hidden; ++c) sum += double(G[c]);
  return float(sum / double(hidden)) + eps;
}
inline void grn_scale(const float* G, const float* gamma, std::int64_t hidden, float eps, float* scale) {
  const float inverse = 1 / mean_of(G, hidden, eps);
  for (std::int64_t c = 0; c < hidden; ++c) scale[c] = 1 + gamma[c] * (G[c] * inverse);
}

template <class T>
void check_parameters(const ConvNeXtMlpShape& s, const ConvNeXtMlpParameters<T>& p) {
  BF_CHECK(s.N >= 0 && s.HW > 0 && s.C > 0, "convnext_mlp: N ", s.N, ", HW ", s.HW, ", C ", s.C);
  const auto vector = [](const char* name, std::int64_t got, std::int64_t want) {
    BF_CHECK(got == want, "convnext_mlp: ", name, " has ", got, " elements, expected ", want);
  };
  vector("norm_gamma", p.norm_gamma.len, s.C), vector("norm_beta", p.norm_beta.len, s.C);
  vector("w1", p.w1.len, s.hidden() * s.C), vector("b1", p.b1.len, s.hidden());
  vector("grn_gamma", p.grn_gamma.len, s.hidden()), vector("grn_beta", p.grn_beta.len, s.hidden());
  vector("w2", p.w2.len, s.hidden() * s.C), vector("b2", p.b2.len, s.C);
}
inline void check_length(const char* name, std::int64_t got, std::int64_t want) {
  BF_CHECK(got == want, "convnext_mlp: ", name, " has ", got, " elements, expected ", want);
}
inline void check_gradient(const char* name, Span<float> g, GradMode mode, std::int64_t want) {
  if (mode != GradMode::skip) check_length(name, g.len, want);
}

}  // namespace convnext_mlp_cpu
}  // namespace bonafide::kernels
