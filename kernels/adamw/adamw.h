// kernels/adamw/adamw.h — one AdamW step over a flat f32 arena (decoupled weight decay; Loshchilov and Hutter, 2019).
//
//   g' = grad_scale * g                              p, g, m, v, copy: [n]
//   m  = beta1 * m + (1 - beta1) * g'
//   v  = beta2 * v + (1 - beta2) * g'^2
//   p  = p - lr * weight_decay * p - lr * (m / (1 - beta1^step)) / (sqrt(v / (1 - beta2^step)) + eps)
//   copy = bf16(p)                                   when there is one
//
// Step counts from 1; m and v start at zero. Elements inside `no_decay` take weight_decay = 0. Scalars are f64 and
// rounded to f32 once, element arithmetic is f32. The decay and the step are subtracted together: at the paper's rates
// lr * weight_decay is 2e-9, and p * (1 - 2e-9) alone is p in f32.
// Deterministic: elements do not depend on each other. Not differentiable, so there is no autograd node.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/element_range.h"

namespace bonafide::kernels {

struct AdamWStep {
  Span<float> p, m, v;
  Span<const float> g;
  Span<bf16> copy;                    // empty, or [n]: what the next forward pass reads
  Span<const ElementRange> no_decay;  // sorted, disjoint
  std::int64_t step = 1;
  double lr = 0, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double grad_scale = 1;  // from gradient clipping
};

constexpr Cost adamw_cost(std::int64_t n, bool with_copy) {
  return {16.0 * double(n), (with_copy ? 14.0 : 12.0) * double(n), 15.0 * double(n)};
}

void check(const AdamWStep&);

namespace cpu {
void adamw(const AdamWStep&);
}

}  // namespace bonafide::kernels
