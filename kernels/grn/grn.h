// kernels/grn/grn.h — Global Response Normalisation (ConvNeXt-V2). Raw API: no Tensor, no autograd.
//
// For each sample, over its HW pixels and C channels:
//
//   forward    G_c = sqrt(sum_hw x^2),  M = mean_C(G) + eps,  N_c = G_c / M
//              y   = gamma_c (x N_c) + beta_c + x
//   backward   S_c = sum_hw dy x,  B_c = sum_hw dy,  A_c = gamma_c S_c
//              dG_c = A_c / M - sum_k(A_k G_k) / (C M^2)
//              dx = dy (1 + gamma_c N_c) + dG_c x / G_c        (the last term is 0 where G_c = 0)
//              dgamma_c = sum_samples S_c N_c,  dbeta_c = sum_samples B_c
//
// x, y, dy, dx: [samples, HW, C] stored as T. gamma, beta, their gradients and G [samples, C] are f32; so is
// arithmetic. Deterministic: a sample's sums run over its pixels in pieces of kGrnPieceRows, in order; parameter
// gradients over the samples in order.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

constexpr std::int64_t kGrnPieceRows = 256;  // pixels summed apart: keeps f32 sums of large maps accurate

template <class T>
struct GrnFwd {
  Span<const T> x;
  Span<const float> gamma, beta;
  Span<T> y;
  Span<float> G;          // [samples, C], for backward
  Span<float> workspace;  // grn_fwd_workspace(samples, HW, C) floats, contents irrelevant; the CPU needs none
  std::int64_t samples = 0, HW = 0;
  int C = 0;
  float eps = 1e-6f;
};
template <class T>
struct GrnBwd {
  Span<const T> dy, x;
  Span<const float> gamma, G;
  Span<T> dx;
  Span<float> dgamma, dbeta;
  GradMode dx_mode = GradMode::write, dgamma_mode = GradMode::write, dbeta_mode = GradMode::write;
  Span<float> workspace;  // grn_bwd_workspace(samples, HW, C) floats, contents irrelevant
  std::int64_t samples = 0, HW = 0;
  int C = 0;
  float eps = 1e-6f;
};

constexpr std::int64_t grn_pieces(std::int64_t HW) { return ceil_div(HW, kGrnPieceRows); }
// Sums of x^2 in pieces, and the factors of x.
constexpr std::int64_t grn_fwd_workspace(std::int64_t samples, std::int64_t HW, int C) {
  return samples * (grn_pieces(HW) + 1) * C;
}
// S and B in pieces, the factors of dy and x, and S N and B. (The CPU uses the last third alone.)
constexpr std::int64_t grn_bwd_workspace(std::int64_t samples, std::int64_t HW, int C) {
  return samples * (grn_pieces(HW) + 2) * 2 * C;
}

// Two passes over a sample, which caches are expected to hold in between: x counts once.
template <class T>
constexpr Cost grn_fwd_cost(std::int64_t samples, std::int64_t HW, int C) {
  const double n = double(samples) * double(HW) * C, g = 4.0 * double(samples) * C;
  return {sizeof(T) * n + 8.0 * C, sizeof(T) * n + g, 4.0 * n};
}
template <class T>
constexpr Cost grn_bwd_cost(std::int64_t samples, std::int64_t HW, int C) {
  const double n = double(samples) * double(HW) * C, g = 4.0 * double(samples) * C;
  return {2.0 * sizeof(T) * n + 3 * g + 4.0 * C, sizeof(T) * n + 2 * g + 8.0 * C, 6.0 * n};
}

template <class T>
void check(const GrnFwd<T>&);  // throws; called by every backend
template <class T>
void check(const GrnBwd<T>&);

BF_PASS(grn_fwd, GrnFwd);
BF_PASS(grn_bwd, GrnBwd);

}  // namespace bonafide::kernels
