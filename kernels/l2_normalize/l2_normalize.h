// kernels/l2_normalize/l2_normalize.h — rows of unit length.
//
//   forward    y = x / max(|x|, eps)                       x, y [N, D] f32, |x| the Euclidean norm of a row
//   backward   dx = (dy - y (y . dy)) / |x|  where |x| >= eps,  dy / eps elsewhere
//
// Norms and dot products are f64, in an order that D fixes. Deterministic. N = 0 is legal.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

struct L2NormalizeFwd {
  Span<const float> x;
  Span<float> y, norm;  // norm [N], before the clamp: saved for backward
  std::int64_t N = 0, D = 0;
  float eps = 1e-12f;
};
struct L2NormalizeBwd {
  Span<const float> dy, x, norm;
  Span<float> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t N = 0, D = 0;
  float eps = 1e-12f;
};

constexpr Cost l2_normalize_fwd_cost(std::int64_t N, std::int64_t D) {
  const double n = double(N) * double(D);
  return {4 * n, 4 * n + 4.0 * double(N), 3 * n};
}
constexpr Cost l2_normalize_bwd_cost(std::int64_t N, std::int64_t D) {
  const double n = double(N) * double(D);
  return {8 * n + 4.0 * double(N), 4 * n, 5 * n};
}

void check(const L2NormalizeFwd&);  // throws; called by every backend
void check(const L2NormalizeBwd&);

BF_PASS_PLAIN(l2_normalize_fwd, L2NormalizeFwd);
BF_PASS_PLAIN(l2_normalize_bwd, L2NormalizeBwd);

}  // namespace bonafide::kernels
