// kernels/layer_norm/cpu.cpp — LayerNorm on the CPU: four rows at a time stay in L1 between their passes.
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

using Four = hn::CappedTag<float, 4>;  // one number for each of four rows
constexpr int kGroup = 4;  // rows that travel together, to share the latency of sums across lanes and of roots

// The sums of the lanes of four vectors. The order of additions within a vector does not depend on its neighbours, so a
// row's result does not depend on the group it is in.
template <class W>
HWY_INLINE hn::Vec<Four> fold(W w, hn::Vec<W> v) {
  if constexpr (hn::MaxLanes(W()) > 4) {
    const hn::Half<W> h;
    return fold(h, hn::Add(hn::LowerHalf(h, v), hn::UpperHalf(h, v)));
  } else {
    (void)w;
    return v;
  }
}
HWY_INLINE hn::Vec<Four> sums_of(const V (&v)[kGroup]) {
  const D d;
  const Four four;
  const auto a = fold(d, v[0]), b = fold(d, v[1]), c = fold(d, v[2]), e = fold(d, v[3]);
  const auto ab = hn::Add(hn::InterleaveLower(four, a, b), hn::InterleaveUpper(four, a, b));
  const auto ce = hn::Add(hn::InterleaveLower(four, c, e), hn::InterleaveUpper(four, c, e));
  return hn::Add(hn::ConcatLowerLower(four, ce, ab), hn::ConcatUpperUpper(four, ce, ab));
}
// Number r of four, in every lane.
HWY_INLINE void spread(hn::Vec<Four> v, V (&out)[kGroup]) {
  HWY_ALIGN float lane[kGroup];
  hn::Store(v, Four(), lane);
  for (int r = 0; r < kGroup; ++r) out[r] = hn::Set(D(), lane[r]);
}

// kRows rows from `r`: 4, or 1 for what is left.
template <int kRows, class T>
HWY_INLINE void fwd_rows(const LayerNormFwd<T>& a, std::int64_t row) {
  const D d;
  const Four four;
  const std::int64_t C = a.C;
  const T* x = a.x.ptr + row * C;
  T* y = a.y.ptr + row * C;
  const auto per_channel = hn::Set(four, 1.0f / float(C));
  V sum[kGroup], squares[kGroup], mean[kGroup], rstd[kGroup];
  for (int r = 0; r < kGroup; ++r) sum[r] = squares[r] = hn::Zero(d);
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR {
    for (int r = 0; r < kRows; ++r) sum[r] = hn::Add(sum[r], part.load(d, x + r * C + c));
  });
  const auto means = hn::Mul(sums_of(sum), per_channel);
  spread(means, mean);
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR {
    for (int r = 0; r < kRows; ++r) {
      const V centred = part.zero_rest(d, hn::Sub(part.load(d, x + r * C + c), mean[r]));
      squares[r] = hn::MulAdd(centred, centred, squares[r]);
    }
  });
  const auto variances = hn::Mul(sums_of(squares), per_channel);
  const auto rstds = hn::Div(hn::Set(four, 1.0f), hn::Sqrt(hn::Add(variances, hn::Set(four, a.eps))));
  spread(rstds, rstd);
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR {
    const V gamma = part.load(d, a.gamma.ptr + c), beta = part.load(d, a.beta.ptr + c);
    for (int r = 0; r < kRows; ++r) {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + r * C + c), mean[r]), rstd[r]);
      part.store(d, hn::MulAdd(xh, gamma, beta), y + r * C + c);
    }
  });
  if constexpr (kRows == kGroup) {
    hn::StoreU(means, four, a.mean.ptr + row);
    hn::StoreU(rstds, four, a.rstd.ptr + row);
  } else {
    a.mean.ptr[row] = hn::GetLane(means);
    a.rstd.ptr[row] = hn::GetLane(rstds);
  }
}
template <class T>
void fwd(const LayerNormFwd<T>& a, std::int64_t begin, std::int64_t end) {
  for (; begin + kGroup <= end; begin += kGroup) fwd_rows<kGroup>(a, begin);
  for (; begin < end; ++begin) fwd_rows<1>(a, begin);
}

template <int kRows, class T>
HWY_INLINE void bwd_rows(const LayerNormBwd<T>& a, std::int64_t row, float* sums) {
  const D d;
  const std::int64_t C = a.C;
  const bool want_dx = a.dx_mode != GradMode::skip, add = a.dx_mode == GradMode::add;
  const T *dy = a.dy.ptr + row * C, *x = a.x.ptr + row * C;
  V sum_g[kGroup], sum_gx[kGroup], mean[kRows], rstd[kRows];
  for (int r = 0; r < kGroup; ++r) sum_g[r] = sum_gx[r] = hn::Zero(d);
  for (int r = 0; r < kRows; ++r) mean[r] = hn::Set(d, a.mean.ptr[row + r]), rstd[r] = hn::Set(d, a.rstd.ptr[row + r]);
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR {
    const V gamma = part.load(d, a.gamma.ptr + c);
    V dgamma = hn::Zero(d), dbeta = hn::Zero(d);
    if (sums) dgamma = part.load(d, sums + c), dbeta = part.load(d, sums + C + c);
    for (int r = 0; r < kRows; ++r) {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + r * C + c), mean[r]), rstd[r]);
      const V dyr = part.load(d, dy + r * C + c), g = hn::Mul(dyr, gamma);  // both 0 beyond C
      sum_g[r] = hn::Add(sum_g[r], g);
      sum_gx[r] = hn::MulAdd(g, xh, sum_gx[r]);
      dgamma = hn::MulAdd(dyr, xh, dgamma);
      dbeta = hn::Add(dbeta, dyr);
    }
    if (sums) part.store(d, dgamma, sums + c), part.store(d, dbeta, sums + C + c);
  });
  if (!want_dx) return;
  const auto per_channel = hn::Set(Four(), 1.0f / float(C));
  V mean_g[kGroup], mean_gx[kGroup];
  spread(hn::Mul(sums_of(sum_g), per_channel), mean_g);
  spread(hn::Mul(sums_of(sum_gx), per_channel), mean_gx);
  T* dx = a.dx.ptr + row * C;
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR {
    const V gamma = part.load(d, a.gamma.ptr + c);
    for (int r = 0; r < kRows; ++r) {
      const V xh = hn::Mul(hn::Sub(part.load(d, x + r * C + c), mean[r]), rstd[r]);
      const V g = hn::Mul(part.load(d, dy + r * C + c), gamma);
      V v = hn::Mul(rstd[r], hn::NegMulAdd(xh, mean_gx[r], hn::Sub(g, mean_g[r])));
      if (add) v = hn::Add(v, part.load(d, dx + r * C + c));
      part.store(d, v, dx + r * C + c);
    }
  });
}
// Rows [begin, end). dgamma and dbeta of these rows are added to sums[0..C) and sums[C..2C) unless it is null.
template <class T>
void bwd(const LayerNormBwd<T>& a, std::int64_t begin, std::int64_t end, float* sums) {
  for (; begin + kGroup <= end; begin += kGroup) bwd_rows<kGroup>(a, begin, sums);
  for (; begin < end; ++begin) bwd_rows<1>(a, begin, sums);
}

void fwd_f32(const LayerNormFwd<float>& a, std::int64_t begin, std::int64_t end) { fwd(a, begin, end); }
void fwd_bf16(const LayerNormFwd<bf16>& a, std::int64_t begin, std::int64_t end) { fwd(a, begin, end); }
void bwd_f32(const LayerNormBwd<float>& a, std::int64_t begin, std::int64_t end, float* sums) {
  bwd(a, begin, end, sums);
}
void bwd_bf16(const LayerNormBwd<bf16>& a, std::int64_t begin, std::int64_t end, float* sums) {
  bwd(a, begin, end, sums);
}

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
  BF_CHECK(a.gamma.len == a.C && a.beta.len == a.C, "layer_norm: gamma ", a.gamma.len, ", beta ", a.beta.len, ", C ",
           a.C);
  BF_CHECK(a.mean.len == a.rows && a.rstd.len == a.rows, "layer_norm: mean ", a.mean.len, ", rstd ", a.rstd.len,
           ", rows ", a.rows);
}
template <class T>
void check(const LayerNormBwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.C > 0, "layer_norm: rows=", a.rows, " C=", a.C);
  const std::int64_t n = a.rows * a.C;
  BF_CHECK(a.dy.len == n && a.x.len == n, "layer_norm: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ", n);
  BF_CHECK(a.gamma.len == a.C && a.mean.len == a.rows && a.rstd.len == a.rows, "layer_norm: gamma ", a.gamma.len,
           ", C ", a.C, ", mean ", a.mean.len, ", rstd ", a.rstd.len, ", rows ", a.rows);
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == n, "layer_norm: dx has ", a.dx.len, " elements, expected ", n);
  BF_CHECK(a.dgamma_mode == GradMode::skip || a.dgamma.len == a.C, "layer_norm: dgamma ", a.dgamma.len, ", C ", a.C);
  BF_CHECK(a.dbeta_mode == GradMode::skip || a.dbeta.len == a.C, "layer_norm: dbeta ", a.dbeta.len, ", C ", a.C);
  BF_CHECK(a.workspace.len >= layer_norm_bwd_workspace(a.rows, a.C), "layer_norm: workspace of ", a.workspace.len,
           " floats, expected ", layer_norm_bwd_workspace(a.rows, a.C));
}

template void check(const LayerNormFwd<float>&);
template void check(const LayerNormFwd<bf16>&);
template void check(const LayerNormBwd<float>&);
template void check(const LayerNormBwd<bf16>&);

namespace cpu {

constexpr std::int64_t kGrain = 256;  // rows of one work item of the forward pass

template <class T>
void layer_norm_fwd(const LayerNormFwd<T>& a) {
  check(a);
  parallel_ranges(a.rows, kGrain, [&](std::int64_t begin, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(fwd_f32)(a, begin, end);
    else
      HWY_DYNAMIC_DISPATCH(fwd_bf16)(a, begin, end);
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
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(bwd_f32)(a, begin, end, sums);
    else
      HWY_DYNAMIC_DISPATCH(bwd_bf16)(a, begin, end, sums);
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
