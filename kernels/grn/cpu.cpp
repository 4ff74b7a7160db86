// kernels/grn/cpu.cpp — GRN on the CPU: one sample is one work item, so that its second pass finds it in the cache.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/grn/cpu.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include <algorithm>
#include <cmath>

#include "engine/parallel.h"
#include "kernels/grn/grn.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::grn_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

// Calls f(part, c, count) for groups of `count` neighbouring vectors of channels: an integral_constant, 4 while they
// last.
template <class F>
HWY_INLINE void for_channel_groups(int C, F&& f) {
  const int lanes = int(hn::Lanes(D()));
  int c = 0;
  for (; c + 4 * lanes <= C; c += 4 * lanes) f(Whole{}, c, std::integral_constant<int, 4>());
  for_vectors(D(), C - c,
              [&](auto part, std::int64_t i) HWY_ATTR { f(part, c + int(i), std::integral_constant<int, 1>()); });
}

// M of one sample.
inline float mean_norm(const float* G, int C, float eps) {
  const D d;
  V sum = hn::Zero(d);
  for_vectors(d, C, [&](auto part, std::int64_t c) HWY_ATTR { sum = hn::Add(sum, part.load(d, G + c)); });
  return hn::GetLane(hn::SumOfLanes(d, sum)) / float(C) + eps;
}

template <class T>
void fwd(const GrnFwd<T>& a, std::int64_t n) {
  const D d;
  const int C = a.C, lanes = int(hn::Lanes(d));
  const T* x = a.x.ptr + n * a.HW * C;
  T* y = a.y.ptr + n * a.HW * C;
  float* G = a.G.ptr + n * C;
  for_channel_groups(C, [&](auto part, int c, auto count) HWY_ATTR {
    constexpr int k = decltype(count)::value;
    V total[k];
    for (int i = 0; i < k; ++i) total[i] = hn::Zero(d);
    for (std::int64_t r0 = 0; r0 < a.HW; r0 += kGrnPieceRows) {
      V sum[k];
      for (int i = 0; i < k; ++i) sum[i] = hn::Zero(d);
      for (std::int64_t r = r0; r < std::min(a.HW, r0 + kGrnPieceRows); ++r)
        for (int i = 0; i < k; ++i) {
          const V v = part.load(d, x + r * C + c + i * lanes);
          sum[i] = hn::MulAdd(v, v, sum[i]);
        }
      for (int i = 0; i < k; ++i) total[i] = hn::Add(total[i], sum[i]);
    }
    for (int i = 0; i < k; ++i) part.store(d, hn::Sqrt(total[i]), G + c + i * lanes);
  });
  const V inverse = hn::Set(d, 1.0f / mean_norm(G, C, a.eps));
  for_channel_groups(C, [&](auto part, int c, auto count) HWY_ATTR {
    constexpr int k = decltype(count)::value;
    V scale[k], beta[k];
    for (int i = 0; i < k; ++i) {
      const int at = c + i * lanes;
      scale[i] = hn::MulAdd(part.load(d, a.gamma.ptr + at), hn::Mul(part.load(d, G + at), inverse), hn::Set(d, 1.0f));
      beta[i] = part.load(d, a.beta.ptr + at);
    }
    for (std::int64_t r = 0; r < a.HW; ++r)
      for (int i = 0; i < k; ++i) {
        const std::int64_t at = r * C + c + i * lanes;
        part.store(d, hn::MulAdd(part.load(d, x + at), scale[i], beta[i]), y + at);
      }
  });
}

template <class T>
void bwd(const GrnBwd<T>& a, std::int64_t n) {
  const D d;
  const int C = a.C, lanes = int(hn::Lanes(d));
  const T *dy = a.dy.ptr + n * a.HW * C, *x = a.x.ptr + n * a.HW * C;
  const float *G = a.G.ptr + n * C, *gamma = a.gamma.ptr;
  float *S = a.workspace.ptr + n * 2 * C, *B = S + C;
  V sum_ag = hn::Zero(d);
  for_channel_groups(C, [&](auto part, int c, auto count) HWY_ATTR {
    constexpr int k = decltype(count)::value;
    V s_total[k], b_total[k];
    for (int i = 0; i < k; ++i) s_total[i] = b_total[i] = hn::Zero(d);
    for (std::int64_t r0 = 0; r0 < a.HW; r0 += kGrnPieceRows) {
      V s[k], b[k];
      for (int i = 0; i < k; ++i) s[i] = b[i] = hn::Zero(d);
      for (std::int64_t r = r0; r < std::min(a.HW, r0 + kGrnPieceRows); ++r)
        for (int i = 0; i < k; ++i) {
          const std::int64_t at = r * C + c + i * lanes;
          const V g = part.load(d, dy + at);
          s[i] = hn::MulAdd(g, part.load(d, x + at), s[i]);
          b[i] = hn::Add(b[i], g);
        }
      for (int i = 0; i < k; ++i) s_total[i] = hn::Add(s_total[i], s[i]), b_total[i] = hn::Add(b_total[i], b[i]);
    }
    for (int i = 0; i < k; ++i) {
      const int at = c + i * lanes;
      part.store(d, s_total[i], S + at);
      part.store(d, b_total[i], B + at);
      sum_ag = hn::MulAdd(hn::Mul(s_total[i], part.load(d, gamma + at)), part.load(d, G + at), sum_ag);
    }
  });
  const float M = mean_norm(G, C, a.eps);
  const V inverse = hn::Set(d, 1.0f / M);
  const V shared = hn::Set(d, hn::GetLane(hn::SumOfLanes(d, sum_ag)) / (float(C) * M * M));
  const bool want_dx = a.dx_mode != GradMode::skip, add = a.dx_mode == GradMode::add;
  T* dx = want_dx ? a.dx.ptr + n * a.HW * C : nullptr;
  for_channel_groups(C, [&](auto part, int c, auto count) HWY_ATTR {
    constexpr int k = decltype(count)::value;
    V of_dy[k], of_x[k];
    for (int i = 0; i < k; ++i) {
      const int at = c + i * lanes;
      const V g = part.load(d, G + at), s = part.load(d, S + at), gm = part.load(d, gamma + at),
              N = hn::Mul(g, inverse);
      of_dy[i] = hn::MulAdd(gm, N, hn::Set(d, 1.0f));
      const V dG = hn::MulSub(hn::Mul(gm, s), inverse, shared);
      of_x[i] = hn::IfThenElseZero(hn::Gt(g, hn::Zero(d)), hn::Div(dG, g));
      part.store(d, hn::Mul(s, N), S + at);
    }
    if (!want_dx) return;
    for (std::int64_t r = 0; r < a.HW; ++r)
      for (int i = 0; i < k; ++i) {
        const std::int64_t at = r * C + c + i * lanes;
        V v = hn::MulAdd(part.load(d, dy + at), of_dy[i], hn::Mul(part.load(d, x + at), of_x[i]));
        if (add) v = hn::Add(v, part.load(d, dx + at));
        part.store(d, v, dx + at);
      }
  });
}

void fwd_f32(const GrnFwd<float>& a, std::int64_t n) { fwd(a, n); }
void fwd_bf16(const GrnFwd<bf16>& a, std::int64_t n) { fwd(a, n); }
void bwd_f32(const GrnBwd<float>& a, std::int64_t n) { bwd(a, n); }
void bwd_bf16(const GrnBwd<bf16>& a, std::int64_t n) { bwd(a, n); }

}  // namespace bonafide::kernels::grn_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bonafide::kernels::grn_cpu {
HWY_EXPORT(fwd_f32);
HWY_EXPORT(fwd_bf16);
HWY_EXPORT(bwd_f32);
HWY_EXPORT(bwd_bf16);
}  // namespace bonafide::kernels::grn_cpu

namespace bonafide::kernels {
using namespace grn_cpu;

template <class T>
void check(const GrnFwd<T>& a) {
  BF_CHECK(a.samples >= 0 && a.HW >= 0 && a.C > 0, "grn: samples=", a.samples, " HW=", a.HW, " C=", a.C);
  const std::int64_t n = a.samples * a.HW * a.C;
  BF_CHECK(a.x.len == n && a.y.len == n, "grn: x has ", a.x.len, ", y ", a.y.len, " elements, expected ", n);
  BF_CHECK(a.gamma.len == a.C && a.beta.len == a.C, "grn: gamma ", a.gamma.len, ", beta ", a.beta.len, ", C ", a.C);
  BF_CHECK(a.G.len == a.samples * a.C, "grn: G has ", a.G.len, " elements, expected ", a.samples * a.C);
}
template <class T>
void check(const GrnBwd<T>& a) {
  BF_CHECK(a.samples >= 0 && a.HW >= 0 && a.C > 0, "grn: samples=", a.samples, " HW=", a.HW, " C=", a.C);
  const std::int64_t n = a.samples * a.HW * a.C;
  BF_CHECK(a.dy.len == n && a.x.len == n, "grn: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ", n);
  BF_CHECK(a.gamma.len == a.C, "grn: gamma ", a.gamma.len, ", C ", a.C);
  BF_CHECK(a.G.len == a.samples * a.C, "grn: G has ", a.G.len, " elements, expected ", a.samples * a.C);
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == n, "grn: dx has ", a.dx.len, " elements, expected ", n);
  BF_CHECK(a.dgamma_mode == GradMode::skip || a.dgamma.len == a.C, "grn: dgamma ", a.dgamma.len, ", C ", a.C);
  BF_CHECK(a.dbeta_mode == GradMode::skip || a.dbeta.len == a.C, "grn: dbeta ", a.dbeta.len, ", C ", a.C);
  BF_CHECK(a.workspace.len >= grn_bwd_workspace(a.samples, a.HW, a.C), "grn: workspace of ", a.workspace.len,
           " floats, expected ", grn_bwd_workspace(a.samples, a.HW, a.C));
}
template void check(const GrnFwd<float>&);
template void check(const GrnFwd<bf16>&);
template void check(const GrnBwd<float>&);
template void check(const GrnBwd<bf16>&);

namespace cpu {

template <class T>
void grn_fwd(const GrnFwd<T>& a) {
  check(a);
  parallel_for(a.samples, [&](std::int64_t n) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(fwd_f32)(a, n);
    else
      HWY_DYNAMIC_DISPATCH(fwd_bf16)(a, n);
  });
}

template <class T>
void grn_bwd(const GrnBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip && a.dgamma_mode == GradMode::skip && a.dbeta_mode == GradMode::skip) return;
  parallel_for(a.samples, [&](std::int64_t n) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(bwd_f32)(a, n);
    else
      HWY_DYNAMIC_DISPATCH(bwd_bf16)(a, n);
  });
  const std::int64_t C = a.C;
  const auto reduce = [&](Span<float> out, GradMode mode, std::int64_t offset) {
    if (mode == GradMode::skip) return;
    if (mode == GradMode::write) std::fill_n(out.ptr, C, 0.0f);
    for (std::int64_t n = 0; n < a.samples; ++n)
      for (std::int64_t c = 0; c < C; ++c) out.ptr[c] += a.workspace.ptr[n * 2 * C + offset + c];
  };
  reduce(a.dgamma, a.dgamma_mode, 0);
  reduce(a.dbeta, a.dbeta_mode, C);
}

template void grn_fwd(const GrnFwd<float>&);
template void grn_fwd(const GrnFwd<bf16>&);
template void grn_bwd(const GrnBwd<float>&);
template void grn_bwd(const GrnBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
#endif
