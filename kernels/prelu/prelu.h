// kernels/prelu/prelu.h — PReLU: a line of another slope below zero, one for each channel or one for all.
//
//   forward    y = x where x > 0, else slope x
//   backward   dx = dy where x > 0, else slope dy       (slope at 0, as PyTorch)
//              dslope = sum of dy x where x <= 0        over the rows; with one slope over everything
//
// x, y, dy, dx: [rows, C] stored as T; slope, dslope: [C] or [1] f32. Arithmetic is f32; a NaN in x passes.
// Deterministic: elements are independent; dslope is summed within pieces of the rows (kernels/interval.h), then over
// the pieces, then, where there is one slope, over the channels.
#pragma once
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/interval.h"

namespace bonafide::kernels {

template <class T>
struct PreluFwd {
  Span<const T> x;
  Span<const float> slope;
  Span<T> y;
  std::int64_t rows = 0, C = 0;
};
template <class T>
struct PreluBwd {
  Span<const T> dy, x;
  Span<const float> slope;
  Span<T> dx;
  Span<float> dslope;
  GradMode dx_mode = GradMode::write, dslope_mode = GradMode::write;
  Span<float> workspace;  // prelu_bwd_workspace(rows, C) floats, contents irrelevant; none where dslope is skipped
  std::int64_t rows = 0, C = 0;
};

// The sums of the pieces, and those of the channels.
constexpr std::int64_t prelu_bwd_workspace(std::int64_t rows, std::int64_t C) { return (row_pieces(rows) + 1) * C; }

template <class T>
constexpr Cost prelu_fwd_cost(std::int64_t rows, std::int64_t C) {
  const double n = double(rows) * double(C);
  return {sizeof(T) * n + 4.0 * double(C), sizeof(T) * n, n};
}
// Both gradients in one pass: a product each, and a sum.
template <class T>
constexpr Cost prelu_bwd_cost(std::int64_t rows, std::int64_t C) {
  const double n = double(rows) * double(C), parts = 4.0 * double(prelu_bwd_workspace(rows, C));
  return {2.0 * sizeof(T) * n + parts, sizeof(T) * n + parts, 3 * n};
}

template <class T>
void check(const PreluFwd<T>&);  // throws; called by every backend
template <class T>
void check(const PreluBwd<T>&);

BF_PASS(prelu_fwd, PreluFwd);
BF_PASS(prelu_bwd, PreluBwd);

}  // namespace bonafide::kernels
