// kernels/convnext_mlp/convnext_mlp.h — all of a ConvNeXt-V2 block behind its depthwise convolution, as one operation
// that never moves a [N, HW, 4C] tensor through memory more often than it must. Raw API: no Tensor, no autograd.
//
//   n = LayerNorm(u),  h = n W1^T + b1,  z = GELU(h),  a = GRN(z),  y = x + s_n (a W2^T + b2)
//
// The formulas are those of layer_norm.h, matmul.h, gelu.h, grn.h and residual.h. u, x, y, dy, du: [N, HW, C] stored as
// T; h [N, HW, 4C] likewise; W1 [4C, C], W2 [C, 4C] as T; vectors, statistics and parameter gradients f32. Forward
// keeps h, G = sqrt(sum_hw z^2) [N, 4C] and LayerNorm's mean and rstd [N HW] if it is given room for them; backward
// computes n, z and a again. dx = dy, the caller's.
//
// CPU: work is cut into tiles of at most kConvNeXtTileRows pixels and groups of samples whose z stay in the last-level
// cache until their sums over the sample are known. Tiles, groups and the order of every sum depend on the shape only,
// not on the number of threads. CUDA: products by cuBLASLt, one kernel between two of them (convnext_mlp.simt.h). Sums
// in pieces fixed by the shape.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

constexpr std::int64_t kConvNeXtTileRows = 224;

struct ConvNeXtMlpShape {
  std::int64_t N = 0, HW = 0, C = 0;
  std::int64_t rows() const { return N * HW; }
  std::int64_t hidden() const { return 4 * C; }
};

template <class T>
struct ConvNeXtMlpParameters {
  Span<const float> norm_gamma, norm_beta;  // [C]
  Span<const T> w1;
  Span<const float> b1;                   // [4C]
  Span<const float> grn_gamma, grn_beta;  // [4C]
  Span<const T> w2;
  Span<const float> b2;  // [C]
};

// The two matrices in the order in which the forward products read them. Made once where weights stand still
// (inference); holds no reference to them.
template <class T>
class ConvNeXtMlpPacked;

template <class T>
struct ConvNeXtMlpFwd {
  ConvNeXtMlpShape shape;
  Span<const T> u, x;
  Span<const float> scale;  // s [N], or empty: 1
  ConvNeXtMlpParameters<T> p;
  const ConvNeXtMlpPacked<T>* packed = nullptr;  // of p.w1 and p.w2, or null; CUDA has no use for it
  Span<T> y;
  Span<T> h;  // for backward, in an order of its own; or all four empty
  Span<float> mean, rstd, G;
  Span<float> workspace;                     // convnext_mlp_fwd_workspace() floats, contents irrelevant
  float eps = 1e-6f;                         // LayerNorm's and GRN's
  F32Products products = F32Products::full;  // on CUDA
};

template <class T>
struct ConvNeXtMlpBwd {
  ConvNeXtMlpShape shape;
  Span<const T> dy, u, h;
  Span<const float> scale, mean, rstd, G;
  ConvNeXtMlpParameters<T> p;
  Span<T> du;  // written
  Span<float> dnorm_gamma, dnorm_beta, dw1, db1, dgrn_gamma, dgrn_beta, dw2, db2;
  GradMode dnorm_gamma_mode = GradMode::write, dnorm_beta_mode = GradMode::write, dw1_mode = GradMode::write,
           db1_mode = GradMode::write, dgrn_gamma_mode = GradMode::write, dgrn_beta_mode = GradMode::write,
           dw2_mode = GradMode::write, db2_mode = GradMode::write;
  Span<float> workspace;  // convnext_mlp_bwd_workspace() floats, contents irrelevant
  float eps = 1e-6f;
  F32Products products = F32Products::full;
};

// On the CPU, scratch of every thread is part of it: asked for and used with the same number of threads.
template <class T>
std::int64_t convnext_mlp_fwd_workspace(Device::Kind where, const ConvNeXtMlpShape&, bool keeps_h);
template <class T>
std::int64_t convnext_mlp_bwd_workspace(Device::Kind where, const ConvNeXtMlpShape&);

// Each tensor counted once, the work of the single operations.
template <class T>
constexpr Cost convnext_mlp_fwd_cost(const ConvNeXtMlpShape& s) {
  const double e = double(s.N * s.HW * s.C), c = double(s.C);
  return {sizeof(T) * (2 * e + 8 * c * c), sizeof(T) * 5 * e, e * (16 * c + 8 + 4 * (37 + 4) + 2)};
}
template <class T>
constexpr Cost convnext_mlp_bwd_cost(const ConvNeXtMlpShape& s) {
  const double e = double(s.N * s.HW * s.C), c = double(s.C);
  return {sizeof(T) * (6 * e + 8 * c * c), sizeof(T) * e + 32 * c * c, e * (32 * c + 14 + 4 * (50 + 6))};
}

template <class T>
void check(const ConvNeXtMlpFwd<T>&, Device::Kind where);  // throws; called by every backend
template <class T>
void check(const ConvNeXtMlpBwd<T>&, Device::Kind where);

BF_PASS(convnext_mlp_fwd, ConvNeXtMlpFwd);
BF_PASS(convnext_mlp_bwd, ConvNeXtMlpBwd);

}  // namespace bonafide::kernels
