// kernels/grad_norm/grad_norm.h — the global L2 norm of a flat f32 arena, and the factor that clips it.
//
//   norm = sqrt(sum_i g_i^2)                         g: [n]
//   clip_factor = min(1, max_norm / (norm + 1e-6))   as torch.nn.utils.clip_grad_norm_
//
// Squares and sums are f64, and a square of an f32 is exact there. The order of addition is fixed by n alone and the same
// on every backend, and so are the bits:
//   a piece of kGradNormPiece elements    32 interleaved sums, folded
//   the pieces                            kGradNormLanes interleaved sums; each 32 of them folded, then what they fold to
// where 32 sums fold by halves: s[j] += s[j + 16], then 8, 4, 2, 1. A NaN or infinity in g makes the norm NaN or infinite,
// so that the step can be skipped. Not differentiable, so there is no autograd node.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

inline constexpr std::int64_t kGradNormPiece = 1 << 12;
inline constexpr int kGradNormLanes = 256;

struct GradNorm {
  Span<const float> g;
  Span<double> norm;       // [1]
  Span<double> workspace;  // grad_norm_workspace(n) doubles, contents irrelevant
};

constexpr std::int64_t grad_norm_workspace(std::int64_t n) { return ceil_div(n, kGradNormPiece); }
constexpr Cost grad_norm_cost(std::int64_t n) { return {4.0 * double(n), 8, 2.0 * double(n)}; }

// What gradients are multiplied by so that their norm is at most max_norm; 0: whatever it is. NaN stays NaN, as in torch.
BF_HD constexpr double clip_factor(double norm, double max_norm) {
  const double f = max_norm > 0 ? max_norm / (norm + 1e-6) : 1;
  return f > 1 ? 1 : f;
}
BF_HD constexpr bool is_finite(double v) { return v - v == 0; }

void check(const GradNorm&);

BF_PASS_PLAIN(grad_norm, GradNorm);

}  // namespace bonafide::kernels
