// kernels/ema/ema.h — exponential moving average of a flat f32 arena.
//
//   e = decay * e + (1 - decay) * p                  e, p: [n]
//
// Computed as e + (1 - decay) * (p - e), f32 with 1 - decay rounded once from f64: p = e is then an exact fixed point.
// Deterministic: elements do not depend on each other. Not differentiable, so there is no autograd node.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

struct EmaStep {
  Span<float> e;
  Span<const float> p;
  double decay = 0;  // in [0, 1]
};

constexpr Cost ema_cost(std::int64_t n) { return {8.0 * double(n), 4.0 * double(n), 3.0 * double(n)}; }

void check(const EmaStep&);

BF_PASS_PLAIN(ema, EmaStep);

}  // namespace bonafide::kernels
