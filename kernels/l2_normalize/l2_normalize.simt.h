// kernels/l2_normalize/l2_normalize.simt.h — unit rows, the bodies of the CUDA kernels: a warp per row, sums in f64.
#pragma once
#include <cmath>

#include "kernels/l2_normalize/l2_normalize.h"
#include "kernels/simt/collectives.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const L2NormalizeFwd& a, F&& f) {
  f("x", a.x), f("y", a.y), f("norm", a.norm);
}
template <class F>
void for_each_array(const L2NormalizeBwd& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("norm", a.norm), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

struct L2NormalizeFwdKernel {
  static constexpr const char* kName = "l2_normalize_fwd";
  static constexpr int kRows = 4, kMaxThreads = kRows * kWarp;
  static LaunchShape shape(const L2NormalizeFwd& a) {
    return {.grid = {ceil_div<std::int64_t>(a.N, kRows)}, .block = {kWarp, kRows}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const L2NormalizeFwd& a) {
    const std::int64_t row = std::int64_t(block.bx()) * kRows + block.ty(), base = row * a.D;
    if (row >= a.N) return;  // a warp leaves as a whole, and nothing below waits for the block
    double square = 0;
    for (std::int64_t d = block.tx(); d < a.D; d += kWarp) {
      const double x = block.load(a.x, base + d);
      square += x * x;
    }
    const double norm = std::sqrt(warp_sum(block, square)), scale = 1 / (norm < double(a.eps) ? double(a.eps) : norm);
    for (std::int64_t d = block.tx(); d < a.D; d += kWarp)
      block.store(a.y, base + d, float(double(block.load(a.x, base + d)) * scale));
    if (block.tx() == 0) block.store(a.norm, row, float(norm));
  }
};

struct L2NormalizeBwdKernel {
  static constexpr const char* kName = "l2_normalize_bwd";
  static constexpr int kRows = 4, kMaxThreads = kRows * kWarp;
  static LaunchShape shape(const L2NormalizeBwd& a) {
    return {.grid = {ceil_div<std::int64_t>(a.N, kRows)}, .block = {kWarp, kRows}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const L2NormalizeBwd& a) {
    const std::int64_t row = std::int64_t(block.bx()) * kRows + block.ty(), base = row * a.D;
    if (row >= a.N) return;
    const double norm = block.load(a.norm, row);
    const bool clamped = norm < double(a.eps);
    const double scale = 1 / (clamped ? double(a.eps) : norm);
    double along = 0;  // (x . dy) / |x|^2: what of dy points along x
    for (std::int64_t d = block.tx(); d < a.D; d += kWarp)
      along += double(block.load(a.x, base + d)) * double(block.load(a.dy, base + d));
    along = clamped ? 0 : warp_sum(block, along) * scale * scale;  // one row: all lanes on one side
    for (std::int64_t d = block.tx(); d < a.D; d += kWarp) {
      const double dy = block.load(a.dy, base + d), x = block.load(a.x, base + d);
      store_gradient<1>(block, a.dx_mode, a.dx, base + d, [&](int) { return float((dy - along * x) * scale); });
    }
  }
};

template <class Launch>
void l2_normalize_fwd(Launch&& launch, const L2NormalizeFwd& a) {
  check(a);
  launch(L2NormalizeFwdKernel(), a);
}
template <class Launch>
void l2_normalize_bwd(Launch&& launch, const L2NormalizeBwd& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(L2NormalizeBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
