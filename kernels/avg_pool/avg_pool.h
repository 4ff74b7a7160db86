// kernels/avg_pool/avg_pool.h — the mean over all pixels of an image.
//
//   forward    y[n, c] = mean_p x[n, p, c]          x [N, P, C] stored as T (P = H W pixels), y [N, C] f32
//   backward   dx[n, p, c] = dy[n, c] / P
//
// Sums are f64 in pixel order, so a large mean costs no digits. Deterministic. P = 0 is an error, N = 0 is legal.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct AvgPoolFwd {
  Span<const T> x;
  Span<float> y;
  std::int64_t N = 0, P = 0, C = 0;
};
template <class T>
struct AvgPoolBwd {
  Span<const float> dy;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t N = 0, P = 0, C = 0;
};

template <class T>
constexpr Cost avg_pool_fwd_cost(std::int64_t N, std::int64_t P, std::int64_t C) {
  const double n = double(N) * double(C), p = double(P);
  return {double(sizeof(T)) * n * p, 4 * n, n * (p + 1)};
}
template <class T>
constexpr Cost avg_pool_bwd_cost(std::int64_t N, std::int64_t P, std::int64_t C) {
  const double n = double(N) * double(C), p = double(P);
  return {4 * n, double(sizeof(T)) * n * p, n};
}

template <class T>
void check(const AvgPoolFwd<T>&);  // throws; called by every backend
template <class T>
void check(const AvgPoolBwd<T>&);

BF_PASS(avg_pool_fwd, AvgPoolFwd);
BF_PASS(avg_pool_bwd, AvgPoolBwd);

}  // namespace bonafide::kernels
