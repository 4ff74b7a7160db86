// kernels/layer_norm/layer_norm.h — LayerNorm over the last axis. Raw API: no Tensor, no autograd.
//
//   forward    y  = (x - mean) * rstd * gamma + beta          mean, rstd over the C values of a row; eps inside the root
//   backward   g  = dy * gamma,  xh = (x - mean) * rstd
//              dx = rstd * (g - mean_C(g) - xh * mean_C(g * xh))
//              dgamma = sum_rows(dy * xh),  dbeta = sum_rows(dy)
//
// x, y, dy, dx: [rows, C] stored as T (NHWC pixels). gamma, beta, their gradients, mean, rstd: f32. Arithmetic is f32.
// The variance takes two passes: E[x^2] - E[x]^2 loses all digits once |mean| >> std. Deterministic: rows are
// independent; parameter gradients are summed within pieces of the rows that depend on `rows` alone, then over the
// pieces.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct LayerNormFwd {
  Span<const T> x;
  Span<const float> gamma, beta;
  Span<T> y;
  Span<float> mean, rstd;  // [rows], for backward
  std::int64_t rows = 0;
  int C = 0;
  float eps = 1e-6f;
};
template <class T>
struct LayerNormBwd {
  Span<const T> dy, x;
  Span<const float> gamma, mean, rstd;
  Span<T> dx;
  Span<float> dgamma, dbeta;
  GradMode dx_mode = GradMode::write, dgamma_mode = GradMode::write, dbeta_mode = GradMode::write;
  Span<float> workspace;  // layer_norm_bwd_workspace(rows, C) floats, contents irrelevant
  std::int64_t rows = 0;
  int C = 0;
};

// Pieces of the rows whose parameter gradients are summed apart. Part of the result's bits.
constexpr std::int64_t layer_norm_pieces(std::int64_t rows) {
  const std::int64_t want = ceil_div<std::int64_t>(rows, 128);
  return want < 64 ? want : 64;
}
constexpr std::int64_t layer_norm_bwd_workspace(std::int64_t rows, int C) { return layer_norm_pieces(rows) * 2 * C; }

// Per element: sum; subtract, square-add; subtract, scale, multiply-add.
template <class T>
constexpr Cost layer_norm_fwd_cost(std::int64_t rows, int C) {
  const double n = double(rows) * C;
  return {sizeof(T) * n + 8.0 * C, sizeof(T) * n + 8.0 * double(rows), 8.0 * n};
}
// Per element: xh (2), g, two sums (3), dx (5), two parameter sums (3).
template <class T>
constexpr Cost layer_norm_bwd_cost(std::int64_t rows, int C) {
  const double n = double(rows) * C, part = double(layer_norm_bwd_workspace(rows, C));
  return {2.0 * sizeof(T) * n + 8.0 * double(rows) + 4.0 * C + 4.0 * part, sizeof(T) * n + 4.0 * part + 8.0 * C,
          14.0 * n};
}

template <class T>
void check(const LayerNormFwd<T>&);  // throws; called by every backend
template <class T>
void check(const LayerNormBwd<T>&);

BF_PASS(layer_norm_fwd, LayerNormFwd);
BF_PASS(layer_norm_bwd, LayerNormBwd);

}  // namespace bonafide::kernels
