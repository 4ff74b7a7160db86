// kernels/convnext_mlp/loops.cpp — see loops.h. Row by row: the sums of a few hundred columns stay in the first-level
// cache, and memory is read in the order in which it lies.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convnext_mlp/loops.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include <algorithm>

#include "kernels/convnext_mlp/loops.h"
#include "kernels/gelu/gelu-inl.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::convnext_mlp_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

// to[i] += v
template <class Part>
HWY_INLINE void accumulate(Part part, hn::Vec<D> v, float* to) {
  const D d;
  part.store(d, hn::Add(part.load(d, to), v), to);
}

template <class T>
HWY_INLINE void each(const GeluSquares<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.squares, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* h = a.h.ptr + r * a.h.stride;
    T* z = a.z.ptr + r * a.z.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto v = gelu(d, part.load(d, h + c));
      part.store(d, v, z + c);
      accumulate(part, hn::Mul(v, v), a.squares + c);
    });
  }
}

template <class T>
HWY_INLINE void each(const ScaleShift<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* z = a.z.ptr + r * a.z.stride;
    T* to = a.a.ptr + r * a.a.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      part.store(d, hn::MulAdd(part.load(d, z + c), part.load(d, a.scale + c), part.load(d, a.shift + c)), to + c);
    });
  }
}

template <class T>
HWY_INLINE void each(const AddScaled<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  const auto s = hn::Set(d, a.s);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T *x = a.x.ptr ? a.x.ptr + r * a.x.stride : nullptr, *t = a.t.ptr + r * a.t.stride;
    T* y = a.y.ptr + r * a.y.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto v = part.load(d, t + c);
      part.store(d, x ? hn::MulAdd(s, v, part.load(d, x + c)) : hn::Mul(s, v), y + c);
    });
  }
}

template <class T>
HWY_INLINE void each(const BwdBeforeSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.da_z, cols, 0.0f);
  std::fill_n(a.da_sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* h = a.h.ptr + r * a.h.stride;
    T *da = a.da.ptr + r * a.da.stride, *zd = a.zd.ptr + r * a.zd.stride, *to = a.a.ptr + r * a.a.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto x = part.load(d, h + c), g = part.load(d, da + c), scale = part.load(d, a.scale + c);
      const auto tail = normal_tail(d, x);
      const auto z = gelu(d, x, tail), derivative = gelu_derivative(d, x, tail);
      part.store(d, hn::MulAdd(z, scale, part.load(d, a.shift + c)), to + c);
      part.store(d, hn::Mul(z, derivative), zd + c);
      part.store(d, hn::Mul(g, hn::Mul(scale, derivative)), da + c);
      part.store(d, hn::MulAdd(g, z, part.load(d, a.da_z + c)), a.da_z + c);
      accumulate(part, g, a.da_sum + c);
    });
  }
}

template <class T>
HWY_INLINE void each(const BwdAfterSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    T* da = a.da.ptr + r * a.da.stride;
    const T* zd = a.zd.ptr + r * a.zd.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto dh = hn::MulAdd(part.load(d, zd + c), part.load(d, a.q + c), part.load(d, da + c));
      part.store(d, dh, da + c);
      accumulate(part, dh, a.sum + c);
    });
  }
}

template <class T>
HWY_INLINE void each(const ColumnSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r)
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      accumulate(part, part.load(d, a.x.ptr + r * a.x.stride + c), a.sum + c);
    });
}

#define BF_LOOP(name)                                                                                  \
  void name##_f32(const name<float>& a, std::int64_t rows, std::int64_t cols) { each(a, rows, cols); } \
  void name##_bf16(const name<bf16>& a, std::int64_t rows, std::int64_t cols) { each(a, rows, cols); }
BF_LOOP(GeluSquares)
BF_LOOP(ScaleShift)
BF_LOOP(AddScaled)
BF_LOOP(BwdBeforeSums)
BF_LOOP(BwdAfterSums)
BF_LOOP(ColumnSums)
#undef BF_LOOP

}  // namespace bonafide::kernels::convnext_mlp_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bonafide::kernels::convnext_mlp_cpu {

#define BF_LOOP(name)                                                          \
  HWY_EXPORT(name##_f32);                                                      \
  HWY_EXPORT(name##_bf16);                                                     \
  template <class T>                                                           \
  void run(const name<T>& a, std::int64_t rows, std::int64_t cols) {           \
    if constexpr (std::is_same_v<T, float>)                                    \
      HWY_DYNAMIC_DISPATCH(name##_f32)(a, rows, cols);                         \
    else                                                                       \
      HWY_DYNAMIC_DISPATCH(name##_bf16)(a, rows, cols);                        \
  }                                                                            \
  template void run(const name<float>&, std::int64_t rows, std::int64_t cols); \
  template void run(const name<bf16>&, std::int64_t rows, std::int64_t cols);
BF_LOOP(GeluSquares)
BF_LOOP(ScaleShift)
BF_LOOP(AddScaled)
BF_LOOP(BwdBeforeSums)
BF_LOOP(BwdAfterSums)
BF_LOOP(ColumnSums)
#undef BF_LOOP

}  // namespace bonafide::kernels::convnext_mlp_cpu
#endif
