// kernels/adamw/cpu.cpp — AdamW on the CPU: one pass, bound by memory.
#include <cmath>

#include "engine/parallel.h"
#include "kernels/adamw/adamw.h"

namespace bonafide::kernels {

void check(const AdamWStep& a) {
  const std::int64_t n = a.p.size();
  BF_CHECK(a.g.size() == n && a.m.size() == n && a.v.size() == n, "adamw: p has ", n, " elements, g ", a.g.size(),
           ", m ", a.m.size(), ", v ", a.v.size());
  BF_CHECK(!a.copy || a.copy.size() == n, "adamw: p has ", n, " elements, its copy ", a.copy.size());
  BF_CHECK(a.step >= 1, "adamw: steps count from 1, got ", a.step);
  BF_CHECK(a.beta1 >= 0 && a.beta1 < 1 && a.beta2 >= 0 && a.beta2 < 1, "adamw: betas ", a.beta1, " and ", a.beta2,
           " are not in [0, 1)");
  BF_CHECK(a.eps >= 0 && a.weight_decay >= 0, "adamw: eps ", a.eps, " and weight decay ", a.weight_decay,
           " must be >= 0");
  BF_CHECK(a.norm.size() <= 1, "adamw: norm has ", a.norm.size(), " elements, expected 1");
}

namespace cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;

template <bool kCopy>
void step(const AdamWStep& a, const AdamWConstants& k, float grad_scale, float decay, std::int64_t begin, std::int64_t end) {
  float *p = a.p.ptr, *m = a.m.ptr, *v = a.v.ptr;
  const float* g = a.g.ptr;
  bf16* copy = a.copy.ptr;
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) {
    const float gi = grad_scale * g[i];
    m[i] = k.beta1 * m[i] + k.rest1 * gi;
    v[i] = k.beta2 * v[i] + k.rest2 * gi * gi;
    p[i] -= decay * p[i] + k.rate * m[i] / (std::sqrt(v[i]) * k.root + k.eps);
    if constexpr (kCopy) copy[i].bits = bf16(p[i]).bits;  // g++ 12 does not vectorise an assignment of structs
  }
}

}  // namespace

void adamw(const AdamWStep& a) {
  check(a);
  check_ranges("adamw", a.no_decay, a.p.size());
  const double norm = a.norm ? a.norm[0] : 0;
  if (!is_finite(norm)) return;
  const AdamWConstants k = adamw_constants(a);
  const float scale = float(a.grad_scale * clip_factor(norm, a.max_norm));
  parallel_ranges(a.p.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_segment(a.no_decay, begin, end, [&](std::int64_t b, std::int64_t e, bool exempt) {
      a.copy ? step<true>(a, k, scale, exempt ? 0 : k.decay, b, e) : step<false>(a, k, scale, exempt ? 0 : k.decay, b, e);
    });
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
