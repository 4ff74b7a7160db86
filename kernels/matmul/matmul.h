// kernels/matmul/matmul.h — the three matrix products of a linear layer. Raw API: no Tensor, no autograd.
//
//   forward           y  = x W^T + b                  x [rows, in], W [out, in], b [out] or empty, y [rows, out]
//   backward, data    dx = dy W                       dy [rows, out]
//   backward, weight  dW = dy^T x,  db = sum_rows(dy)
//
// x, W, y, dy, dx are stored as T; b, dW and db are f32. Products and sums are f32 (CUDA: unless `products` says tf32).
// W is read in its own layout, so a 1x1 convolution [out, in, 1, 1] and a patchify convolution [out, C, k, k] are
// linear layers with in = C k k. 0 rows are legal: dW and db are then 0.
//
// CPU: sums over rows are taken in partitions of at least 1536 rows, which are added in order. Deterministic: the
// result is cut into tiles, and rows into partitions, fixed by the shape; each tile is one call on one thread. oneDNN's
// own threading would change bits with the number of threads. CUDA: cublaslt_gemm.h; the bias is added by a pass of its
// own, so that y of bf16 is rounded twice. Deterministic.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct LinearFwd {
  Span<const T> x, w;
  Span<const float> b;  // empty: no bias
  Span<T> y;
  std::int64_t rows = 0, in = 0, out = 0;
  F32Products products = F32Products::full;  // on CUDA
};

template <class T>
struct LinearBwdData {
  Span<const T> dy, w;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t rows = 0, in = 0, out = 0;
  F32Products products = F32Products::full;
};

template <class T>
struct LinearBwdWeight {
  Span<const T> dy, x;
  Span<float> dw, db;
  GradMode dw_mode = GradMode::write, db_mode = GradMode::write;
  Span<float> workspace;  // linear_bwd_weight_workspace() floats, contents irrelevant
  std::int64_t rows = 0, in = 0, out = 0;
  F32Products products = F32Products::full;
};

std::int64_t linear_bwd_weight_workspace(Device::Kind where, std::int64_t rows, std::int64_t in, std::int64_t out);

template <class T>
constexpr Cost linear_fwd_cost(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const double m = double(rows), k = double(in), n = double(out), s = double(sizeof(T));
  return {s * (m * k + k * n) + 4 * n, s * m * n, 2 * m * k * n};
}
template <class T>
constexpr Cost linear_bwd_data_cost(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const double m = double(rows), k = double(in), n = double(out), s = double(sizeof(T));
  return {s * (m * n + k * n), s * m * k, 2 * m * k * n};
}
template <class T>
constexpr Cost linear_bwd_weight_cost(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const double m = double(rows), k = double(in), n = double(out), s = double(sizeof(T));
  return {s * (m * k + m * n), 4 * (k * n + n), 2 * m * k * n + m * n};
}

template <class T>
void check(const LinearFwd<T>&);  // throws; called by every backend
template <class T>
void check(const LinearBwdData<T>&);
template <class T>
void check(const LinearBwdWeight<T>&, Device::Kind where);

BF_PASS(linear_fwd, LinearFwd);
BF_PASS(linear_bwd_data, LinearBwdData);
BF_PASS(linear_bwd_weight, LinearBwdWeight);

}  // namespace bonafide::kernels
