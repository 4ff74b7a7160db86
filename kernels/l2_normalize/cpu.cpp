// kernels/l2_normalize/cpu.cpp — one work item is one row.
#include <algorithm>
#include <cmath>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/l2_normalize/l2_normalize.h"

namespace bonafide::kernels {
namespace {

void check_extent(const char* what, std::int64_t got, std::int64_t N, std::int64_t D) {
  BF_CHECK(N >= 0 && D >= 0 && got == N * D, "l2_normalize: ", what, " has ", got, " elements, expected [", N, ", ", D,
           "]");
}

}  // namespace

void check(const L2NormalizeFwd& a) {
  check_extent("x", a.x.len, a.N, a.D);
  check_extent("y", a.y.len, a.N, a.D);
  check_extent("norm", a.norm.len, a.N, 1);
  BF_CHECK(a.eps > 0, "l2_normalize: eps ", a.eps);
}
void check(const L2NormalizeBwd& a) {
  check_extent("dy", a.dy.len, a.N, a.D);
  check_extent("x", a.x.len, a.N, a.D);
  check_extent("norm", a.norm.len, a.N, 1);
  if (a.dx_mode != GradMode::skip) check_extent("dx", a.dx.len, a.N, a.D);
}

namespace cpu {

void l2_normalize_fwd(const L2NormalizeFwd& a) {
  check(a);
  parallel_for(a.N, [&](std::int64_t n) {
    const float* x = a.x.ptr + n * a.D;
    float* y = a.y.ptr + n * a.D;
    double square = 0;
    for (std::int64_t i = 0; i < a.D; ++i) square += double(x[i]) * double(x[i]);
    const double norm = std::sqrt(square), scale = 1 / std::max(norm, double(a.eps));
    for (std::int64_t i = 0; i < a.D; ++i) y[i] = float(double(x[i]) * scale);
    a.norm[n] = float(norm);
  });
}

void l2_normalize_bwd(const L2NormalizeBwd& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  parallel_for(a.N, [&](std::int64_t n) {
    const float *x = a.x.ptr + n * a.D, *dy = a.dy.ptr + n * a.D;
    const double norm = a.norm[n];
    const bool clamped = norm < double(a.eps);
    const double scale = 1 / (clamped ? double(a.eps) : norm);
    double along = 0;  // (x . dy) / |x|^2: what of dy points along x
    if (!clamped) {
      for (std::int64_t i = 0; i < a.D; ++i) along += double(x[i]) * double(dy[i]);
      along *= scale * scale;
    }
    store_gradient(a.dx_mode, a.dx.slice(n * a.D, a.D), 0, a.D,
                   [&](std::int64_t i) { return float((double(dy[i]) - along * double(x[i])) * scale); });
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
