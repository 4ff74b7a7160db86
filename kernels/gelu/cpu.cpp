// kernels/gelu/cpu.cpp — GELU on the CPU: 16 or 8 elements at a time, ranges of fixed length over the threads.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gelu/cpu.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include "engine/parallel.h"
#include "kernels/gelu/gelu-inl.h"
#include "kernels/gelu/gelu.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::gelu_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

template <class T>
void fwd(const T* x, T* y, std::int64_t n) {
  const D d;
  for_vectors(d, n, [&](auto part, std::int64_t i) HWY_ATTR { part.store(d, gelu<float>(d, part.load(d, x + i)), y + i); });
}
template <class T>
void bwd(const T* dy, const T* x, T* dx, bool add, std::int64_t n) {
  const D d;
  for_vectors(d, n, [&](auto part, std::int64_t i) HWY_ATTR {
    auto v = hn::Mul(part.load(d, dy + i), gelu_derivative<float>(d, part.load(d, x + i)));
    if (add) v = hn::Add(v, part.load(d, dx + i));
    part.store(d, v, dx + i);
  });
}

void fwd_f32(const float* x, float* y, std::int64_t n) { fwd(x, y, n); }
void fwd_bf16(const bf16* x, bf16* y, std::int64_t n) { fwd(x, y, n); }
void bwd_f32(const float* dy, const float* x, float* dx, bool add, std::int64_t n) { bwd(dy, x, dx, add, n); }
void bwd_bf16(const bf16* dy, const bf16* x, bf16* dx, bool add, std::int64_t n) { bwd(dy, x, dx, add, n); }

}  // namespace bonafide::kernels::gelu_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bonafide::kernels::gelu_cpu {
HWY_EXPORT(fwd_f32);
HWY_EXPORT(fwd_bf16);
HWY_EXPORT(bwd_f32);
HWY_EXPORT(bwd_bf16);
}  // namespace bonafide::kernels::gelu_cpu

namespace bonafide::kernels {
using namespace gelu_cpu;

template <class T>
void check(const GeluFwd<T>& a) {
  BF_CHECK(a.y.len == a.x.len, "gelu: y has ", a.y.len, " elements, x has ", a.x.len);
}
template <class T>
void check(const GeluBwd<T>& a) {
  BF_CHECK(a.dy.len == a.x.len, "gelu: dy has ", a.dy.len, " elements, x has ", a.x.len);
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == a.x.len, "gelu: dx has ", a.dx.len, " elements, x has ", a.x.len);
}

template void check(const GeluFwd<float>&);
template void check(const GeluFwd<bf16>&);
template void check(const GeluBwd<float>&);
template void check(const GeluBwd<bf16>&);

namespace cpu {

constexpr std::int64_t kGrain = 1 << 14;  // elements of one work item: a few microseconds

template <class T>
void gelu_fwd(const GeluFwd<T>& a) {
  check(a);
  parallel_ranges(a.x.len, kGrain, [&](std::int64_t i, std::int64_t end) {
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(fwd_f32)(a.x.ptr + i, a.y.ptr + i, end - i);
    else
      HWY_DYNAMIC_DISPATCH(fwd_bf16)(a.x.ptr + i, a.y.ptr + i, end - i);
  });
}
template <class T>
void gelu_bwd(const GeluBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const bool add = a.dx_mode == GradMode::add;
  parallel_ranges(a.x.len, kGrain, [&](std::int64_t i, std::int64_t end) {
    const T *dy = a.dy.ptr + i, *x = a.x.ptr + i;
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(bwd_f32)(dy, x, a.dx.ptr + i, add, end - i);
    else
      HWY_DYNAMIC_DISPATCH(bwd_bf16)(dy, x, a.dx.ptr + i, add, end - i);
  });
}

template void gelu_fwd(const GeluFwd<float>&);
template void gelu_fwd(const GeluFwd<bf16>&);
template void gelu_bwd(const GeluBwd<float>&);
template void gelu_bwd(const GeluBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
#endif
