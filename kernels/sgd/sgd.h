// kernels/sgd/sgd.h — one step of SGD with momentum over a flat f32 arena.
//
//   g'     = grad_scale * clip_factor(norm, max_norm) * g + weight_decay * p          p, g, buffer, copy: [n]
//   buffer = first ? g' : momentum * buffer + g'
//   p      = p - lr * buffer
//   copy   = bf16(p)                                 when there is one
// and nothing at all when the gradient's norm is given and not finite.
//
// As torch.optim.SGD (dampening 0, nesterov off): the weight decay is part of the gradient, and on the first step the
// buffer *is* the gradient, whatever it held. Elements inside `no_decay` take weight_decay = 0. Arithmetic is f32.
// Deterministic: elements do not depend on each other. Not differentiable, so there is no autograd node.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/element_range.h"
#include "kernels/grad_norm/grad_norm.h"

namespace bonafide::kernels {

struct SgdStep {
  Span<float> p, buffer;
  Span<const float> g;
  Span<bf16> copy;                    // empty, or [n]
  Span<const ElementRange> no_decay;  // sorted, disjoint (which the CPU checks)
  Span<const double> norm;            // empty, or [1]: what grad_norm left, read where the step runs: nobody waits for it
  bool first = false;
  double lr = 0, momentum = 0, weight_decay = 0;
  double grad_scale = 1, max_norm = 0;  // max_norm 0: no clipping
};

constexpr Cost sgd_cost(std::int64_t n, bool with_copy) {
  return {12.0 * double(n), (with_copy ? 10.0 : 8.0) * double(n), 7.0 * double(n)};
}

void check(const SgdStep&);

BF_PASS_PLAIN(sgd, SgdStep);

}  // namespace bonafide::kernels
