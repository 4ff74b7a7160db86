// kernels/layer_norm/cpu.cpp — LayerNorm on the CPU: a row stays in L1 between its passes; rows are cut into pieces.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/layer_norm/cpu.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include <algorithm>
#include <cmath>

#include "engine/parallel.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::layer_norm_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

HWY_INLINE float sum_of(V v) { return hn::GetLane(hn::SumOfLanes(D(), v)); }

template <class T>
void fwd(const LayerNormFwd<T>& a, std::int64_t begin, std::int64_t end) {
  const D d;
  const float *gamma = a.gamma.ptr, *beta = a.beta.ptr;
  for (std::int64_t r = begin; r < end; ++r) {
    const T* x = a.x.ptr + r * a.C;
    T* y = a.y.ptr + r * a.C;
    V sum = hn::Zero(d), squares = hn::Zero(d);
    for_vectors(d, a.C, [&](auto part, std::int64_t c) HWY_ATTR { sum = hn::Add(sum, part.load(d, x + c)); });
    const float mean = sum_of(sum) / float(a.C);
    const V m = hn::Set(d, mean);
    for_vectors(d, a.C, [&](auto part, std::int64_t c) HWY_ATTR {
      const V centred = part.zero_rest(d, hn::Sub(part.load(d, x + c), m));
      squares = hn::MulAdd(centred, centred, squares);
    });
    const float rstd = 1.0f / std::sqrt(sum_of(squares) / float(a.C) + a.eps);
    const V s = hn::Set(d, rstd);
    for_vectors(d, a.C, [&](auto part, std::int64_t c) HWY_ATTR {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + c), m), s);
      part.store(d, hn::MulAdd(xh, part.load(d, gamma + c), part.load(d, beta + c)), y + c);
    });
    a.mean.ptr[r] = mean;
    a.rstd.ptr[r] = rstd;
  }
}

// Rows [begin, end). dgamma and dbeta of these rows are added to sums[0..C) and sums[C..2C) unless it is null.
template <class T>
void bwd(const LayerNormBwd<T>& a, std::int64_t begin, std::int64_t end, float* sums) {
  const D d;
  const float* gamma = a.gamma.ptr;
  const bool want_dx = a.dx_mode != GradMode::skip, add = a.dx_mode == GradMode::add;
  for (std::int64_t r = begin; r < end; ++r) {
    const T *dy = a.dy.ptr + r * a.C, *x = a.x.ptr + r * a.C;
    const V m = hn::Set(d, a.mean.ptr[r]), s = hn::Set(d, a.rstd.ptr[r]);
    V sum_g = hn::Zero(d), sum_gx = hn::Zero(d);
    for_vectors(d, a.C, [&](auto part, std::int64_t c) HWY_ATTR {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + c), m), s), dyv = part.load(d, dy + c);  // beyond C, dyv is 0
      const V g = hn::Mul(dyv, part.load(d, gamma + c));
      sum_g = hn::Add(sum_g, g);
      sum_gx = hn::MulAdd(g, xh, sum_gx);
      if (sums) {
        part.store(d, hn::MulAdd(dyv, xh, part.load(d, sums + c)), sums + c);
        part.store(d, hn::Add(dyv, part.load(d, sums + a.C + c)), sums + a.C + c);
      }
    });
    if (!want_dx) continue;
    T* dx = a.dx.ptr + r * a.C;
    const V mean_g = hn::Set(d, sum_of(sum_g) / float(a.C)), mean_gx = hn::Set(d, sum_of(sum_gx) / float(a.C));
    for_vectors(d, a.C, [&](auto part, std::int64_t c) HWY_ATTR {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + c), m), s);
      const V g = hn::Mul(part.load(d, dy + c), part.load(d, gamma + c));
      V v = hn::Mul(s, hn::NegMulAdd(xh, mean_gx, hn::Sub(g, mean_g)));
      if (add) v = hn::Add(v, part.load(d, dx + c));
      part.store(d, v, dx + c);
    });
  }
}

void fwd_f32(const LayerNormFwd<float>& a, std::int64_t begin, std::int64_t end) { fwd(a, begin, end); }
void fwd_bf16(const LayerNormFwd<bf16>& a, std::int64_t begin, std::int64_t end) { fwd(a, begin, end); }
void bwd_f32(const LayerNormBwd<float>& a, std::int64_t begin, std::int64_t end, float* sums) { bwd(a, begin, end, sums); }
void bwd_bf16(const LayerNormBwd<bf16>& a, std::int64_t begin, std::int64_t end, float* sums) { bwd(a, begin, end, sums); }

}  // namespace bonafide::kernels::layer_norm_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bonafide::kernels::layer_norm_cpu {
HWY_EXPORT(fwd_f32);
HWY_EXPORT(fwd_bf16);
HWY_EXPORT(bwd_f32);
HWY_EXPORT(bwd_bf16);
}  // namespace bonafide::kernels::layer_norm_cpu

namespace bonafide::kernels {
using namespace layer_norm_cpu;

template <class T>
void check(const LayerNormFwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.C > 0, "layer_norm: rows=", a.rows, " C=", a.C);
  const std::int64_t n = a.rows * a.C;
  BF_CHECK(a.x.len == n && a.y.len == n, "layer_norm: x has ", a.x.len, ", y ", a.y.len, " elements, expected ", n);
  BF_CHECK(a.gamma.len == a.C && a.beta.len == a.C, "layer_norm: gamma ", a.gamma.len, ", beta ", a.beta.len, ", C ", a.C);
  BF_CHECK(a.mean.len == a.rows && a.rstd.len == a.rows, "layer_norm: mean ", a.mean.len, ", rstd ", a.rstd.len, ", rows ",
           a.rows);
}
template <class T>
void check(const LayerNormBwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.C > 0, "layer_norm: rows=", a.rows, " C=", a.C);
  const std::int64_t n = a.rows * a.C;
  BF_CHECK(a.dy.len == n && a.x.len == n, "layer_norm: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ", n);
  BF_CHECK(a.gamma.len == a.C && a.mean.len == a.rows && a.rstd.len == a.rows, "layer_norm: gamma ", a.gamma.len, ", C ",
           a.C, ", mean ", a.mean.len, ", rstd ", a.rstd.len, ", rows ", a.rows);
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == n, "layer_norm: dx has ", a.dx.len, " elements, expected ", n);
  BF_CHECK(a.dgamma_mode == GradMode::skip || a.dgamma.len == a.C, "layer_norm: dgamma ", a.dgamma.len, ", C ", a.C);
  BF_CHECK(a.dbeta_mode == GradMode::skip || a.dbeta.len == a.C, "layer_norm: dbeta ", a.dbeta.len, ", C ", a.C);
  BF_CHECK(a.workspace.len >= layer_norm_bwd_workspace(a.rows, a.C), "layer_norm: workspace of ", a.workspace.len,
           " floats, expected ", layer_norm_bwd_workspace(a.rows, a.C));
}

namespace cpu {

constexpr std::int64_t kGrain = 256;  // rows of one work item of the forward pass

template <class T>
void layer_norm_fwd(const LayerNormFwd<T>& a) {
  check(a);
  parallel_ranges(a.rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>) HWY_DYNAMIC_DISPATCH(fwd_f32)(a, begin, end);
    else HWY_DYNAMIC_DISPATCH(fwd_bf16)(a, begin, end);
  });
}

template <class T>
void layer_norm_bwd(const LayerNormBwd<T>& a) {
  check(a);
  const bool params = a.dgamma_mode != GradMode::skip || a.dbeta_mode != GradMode::skip;
  if (a.dx_mode == GradMode::skip && !params) return;
  const std::int64_t pieces = layer_norm_pieces(a.rows), C = a.C;
  parallel_for(pieces, [&](std::int64_t p) {
    const std::int64_t begin = p * a.rows / pieces, end = (p + 1) * a.rows / pieces;
    float* sums = params ? a.workspace.ptr + p * 2 * C : nullptr;
    if (params) std::fill_n(sums, 2 * C, 0.0f);
    if constexpr (std::is_same_v<T, float>) HWY_DYNAMIC_DISPATCH(bwd_f32)(a, begin, end, sums);
    else HWY_DYNAMIC_DISPATCH(bwd_bf16)(a, begin, end, sums);
  });
  const auto reduce = [&](Span<float> out, GradMode mode, std::int64_t offset) {
    if (mode == GradMode::skip) return;
    if (mode == GradMode::write) std::fill_n(out.ptr, C, 0.0f);
    for (std::int64_t p = 0; p < pieces; ++p)
      for (std::int64_t c = 0; c < C; ++c) out.ptr[c] += a.workspace.ptr[p * 2 * C + offset + c];
  };
  reduce(a.dgamma, a.dgamma_mode, 0);
  reduce(a.dbeta, a.dbeta_mode, C);
}

template void layer_norm_fwd(const LayerNormFwd<float>&);
template void layer_norm_fwd(const LayerNormFwd<bf16>&);
template void layer_norm_bwd(const LayerNormBwd<float>&);
template void layer_norm_bwd(const LayerNormBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
#endif
