// kernels/grad_norm/grad_norm.h — the global L2 norm of a flat f32 arena, and the factor that clips it.
//
//   norm = sqrt(sum_i g_i^2)                         g: [n]
//   clip_factor = min(1, max_norm / (norm + 1e-6))   as torch.nn.utils.clip_grad_norm_
//
// Squares and sums are f64. The order of addition is fixed by n alone: pieces of kGradNormPiece elements, inside a
// piece kGradNormLanes interleaved sums, pieces added in order. A NaN or infinity in g makes the norm NaN or infinite,
// so that the caller can skip the step. Not differentiable, so there is no autograd node.
#pragma once
#include "engine/base.h"

namespace bonafide::kernels {

inline constexpr std::int64_t kGradNormPiece = 1 << 14;
inline constexpr int kGradNormLanes = 16;

struct GradNorm {
  Span<const float> g;
  Span<double> norm;       // [1]
  Span<double> workspace;  // grad_norm_workspace(n) doubles, contents irrelevant
};

constexpr std::int64_t grad_norm_workspace(std::int64_t n) { return ceil_div(n, kGradNormPiece); }
constexpr Cost grad_norm_cost(std::int64_t n) { return {4.0 * double(n), 8, 2.0 * double(n)}; }

// What gradients are multiplied by so that their norm is at most max_norm. NaN stays NaN, as in torch.
constexpr double clip_factor(double norm, double max_norm) {
  const double f = max_norm / (norm + 1e-6);
  return f > 1 ? 1 : f;
}

void check(const GradNorm&);

namespace cpu {
void grad_norm(const GradNorm&);
}

}  // namespace bonafide::kernels
