// kernels/residual/residual.h — a branch added to its input, weighted per sample (stochastic depth).
//
//   forward    out = x + scale[n] y          x, y, out [N, S], scale [N] f32 or empty (then one_scale everywhere)
//   backward   dx = dout,  dy = scale[n] dout
//
// A dropped sample has scale 0, a kept one 1 / keep probability. Arithmetic is f32. Deterministic: elements are
// independent. out may be x or y.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct ResidualFwd {
  Span<const T> x, y;
  Span<const float> scale;
  Span<T> out;
  float one_scale = 1;
  std::int64_t N = 0, S = 0;  // S: elements of one sample
};
template <class T>
struct ResidualBwd {
  Span<const T> dout;
  Span<const float> scale;
  Span<T> dx, dy;
  GradMode dx_mode = GradMode::write, dy_mode = GradMode::write;
  float one_scale = 1;
  std::int64_t N = 0, S = 0;
};

template <class T>
constexpr Cost residual_fwd_cost(std::int64_t N, std::int64_t S) {
  const double n = double(N) * double(S), s = double(sizeof(T));
  return {2 * s * n, s * n, 2 * n};
}
template <class T>
constexpr Cost residual_bwd_cost(std::int64_t N, std::int64_t S) {
  const double n = double(N) * double(S), s = double(sizeof(T));
  return {2 * s * n, 2 * s * n, n};
}

template <class T>
void check(const ResidualFwd<T>&);  // throws; called by every backend
template <class T>
void check(const ResidualBwd<T>&);

BF_PASS(residual_fwd, ResidualFwd);
BF_PASS(residual_bwd, ResidualBwd);

}  // namespace bonafide::kernels
