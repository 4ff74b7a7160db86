// kernels/batch_norm/batch_norm.h — batch normalisation: each channel over all rows. Raw API: no Tensor, no autograd.
//
//   training   mean, var: of the rows, var = mean_rows((x - mean)^2);  rstd = 1 / sqrt(var + eps)
//              running_mean = (1 - momentum) running_mean + momentum mean
//              running_var  = (1 - momentum) running_var + momentum var rows / (rows - 1)
//   inference  mean = running_mean,  rstd = 1 / sqrt(running_var + eps)
//   forward    y  = (x - mean) * rstd * gamma + beta
//   backward   xh = (x - mean) * rstd,  dgamma = sum_rows(dy * xh),  dbeta = sum_rows(dy)
//              training    dx = gamma * rstd * (dy - dbeta / rows - xh * dgamma / rows)
//              inference   dx = gamma * rstd * dy
//
// As PyTorch, whose momentum is the weight of the new value. Training wants at least 2 rows. x, y, dy, dx: [rows, C]
// stored as T (NHWC pixels); all others [C], f32. Arithmetic is f32. Means and sums of squares are taken over a few
// rows at a time, relative to row 0, and merged (Chan, Golub, LeVeque 1979): one pass over x, and a mean of 300 costs
// no digits. Deterministic: sums run within pieces of the rows (kernels/interval.h), then over the pieces in order.
#pragma once
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/interval.h"

namespace bonafide::kernels {

template <class T>
struct BatchNormFwd {
  Span<const T> x;
  Span<const float> gamma, beta;
  Span<T> y;
  Span<float> running_mean, running_var;  // read in inference, updated in training
  Span<float> mean, rstd;                 // what y was made with, for backward
  Span<float> workspace;  // batch_norm_fwd_workspace(rows, C) floats, contents irrelevant; none in inference
  std::int64_t rows = 0, C = 0;
  float eps = 1e-5f, momentum = 0.1f;
  bool training = false;
};
template <class T>
struct BatchNormBwd {
  Span<const T> dy, x;
  Span<const float> gamma, mean, rstd;
  Span<T> dx;
  Span<float> dgamma, dbeta;
  GradMode dx_mode = GradMode::write, dgamma_mode = GradMode::write, dbeta_mode = GradMode::write;
  Span<float> workspace;  // batch_norm_bwd_workspace(rows, C) floats, contents irrelevant
  std::int64_t rows = 0, C = 0;
  bool training = false;  // as in the forward pass
};

// [pieces, 2, C]: means relative to row 0, and sums of squares about them.
constexpr std::int64_t batch_norm_fwd_workspace(std::int64_t rows, std::int64_t C) { return row_pieces(rows) * 2 * C; }
// [pieces + 1, 2, C]: sums of dy xh and of dy, those of all rows last.
constexpr std::int64_t batch_norm_bwd_workspace(std::int64_t rows, std::int64_t C) {
  return (row_pieces(rows) + 1) * 2 * C;
}

// Whether a backward pass needs the sums over the rows.
template <class T>
constexpr bool batch_norm_needs_sums(const BatchNormBwd<T>& a) {
  return a.dgamma_mode != GradMode::skip || a.dbeta_mode != GradMode::skip ||
         (a.training && a.dx_mode != GradMode::skip);
}

// y: subtract, multiply-add. Statistics, a second read of x: sum; subtract, square-add.
template <class T>
constexpr Cost batch_norm_fwd_cost(std::int64_t rows, std::int64_t C, bool training) {
  const double n = double(rows) * double(C), c = double(C),
               part = training ? 4.0 * double(batch_norm_fwd_workspace(rows, C)) : 0.0;
  return {(training ? 2.0 : 1.0) * sizeof(T) * n + 16 * c + part, sizeof(T) * n + (training ? 16 : 8) * c + part,
          (training ? 7.0 : 3.0) * n};
}
// Sums: xh (2), two sums (3). dx: in training xh (2) and 4 more, in inference one product.
template <class T>
constexpr Cost batch_norm_bwd_cost(std::int64_t rows, std::int64_t C, bool training) {
  const double n = double(rows) * double(C), c = double(C), part = 4.0 * double(batch_norm_bwd_workspace(rows, C));
  return {(training ? 4.0 : 3.0) * sizeof(T) * n + 12 * c + part, sizeof(T) * n + 8 * c + part,
          (training ? 11.0 : 6.0) * n};
}

template <class T>
void check(const BatchNormFwd<T>&);  // throws; called by every backend
template <class T>
void check(const BatchNormBwd<T>&);

BF_PASS(batch_norm_fwd, BatchNormFwd);
BF_PASS(batch_norm_bwd, BatchNormBwd);

}  // namespace bonafide::kernels
