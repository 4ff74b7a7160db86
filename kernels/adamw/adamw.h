// kernels/adamw/adamw.h — one AdamW step over a flat f32 arena (decoupled weight decay; Loshchilov and Hutter, 2019).
//
//   g' = grad_scale * clip_factor(norm, max_norm) * g        p, g, m, v, copy: [n]
//   m  = beta1 * m + (1 - beta1) * g'
//   v  = beta2 * v + (1 - beta2) * g'^2
//   p  = p - lr * weight_decay * p - lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
//   copy = bf16(p)                                   when there is one
// and nothing at all when the gradient's norm is given and not finite.
//
// Step counts from 1; m and v start at zero. Elements inside `no_decay` take weight_decay = 0. Scalars are f64 and
// rounded to f32 once, element arithmetic is f32. The decay and the step are subtracted together: at the paper's rates
// lr * weight_decay is 2e-9, and p * (1 - 2e-9) alone is p in f32.
// Deterministic: elements do not depend on each other. Not differentiable, so there is no autograd node.
#pragma once
#include <cmath>

#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/element_range.h"
#include "kernels/grad_norm/grad_norm.h"

namespace bonafide::kernels {

struct AdamWStep {
  Span<float> p, m, v;
  Span<const float> g;
  Span<bf16> copy;                    // empty, or [n]: what the next forward pass reads
  Span<const ElementRange> no_decay;  // sorted, disjoint (which the CPU checks)
  Span<const double> norm;            // empty, or [1]: what grad_norm left, read where the step runs: nobody waits for it
  std::int64_t step = 1;
  double lr = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double grad_scale = 1, max_norm = 0;  // max_norm 0: no clipping
};

// The scalars of a step, rounded to f32 once.
struct AdamWConstants {
  float beta1, beta2, rest1, rest2, rate, root, eps, decay;
};
inline AdamWConstants adamw_constants(const AdamWStep& a) {
  const double bias1 = 1 - std::pow(a.beta1, double(a.step)), bias2 = 1 - std::pow(a.beta2, double(a.step));
  return {.beta1 = float(a.beta1),
          .beta2 = float(a.beta2),
          .rest1 = float(1 - a.beta1),
          .rest2 = float(1 - a.beta2),
          .rate = float(a.lr / bias1),
          .root = float(1 / std::sqrt(bias2)),
          .eps = float(a.eps),
          .decay = float(a.lr * a.weight_decay)};
}

constexpr Cost adamw_cost(std::int64_t n, bool with_copy) {
  return {16.0 * double(n), (with_copy ? 14.0 : 12.0) * double(n), 15.0 * double(n)};
}

void check(const AdamWStep&);

BF_PASS_PLAIN(adamw, AdamWStep);

}  // namespace bonafide::kernels
