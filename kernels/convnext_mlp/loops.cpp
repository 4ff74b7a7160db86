// kernels/convnext_mlp/loops.cpp — see loops.h. Row by row: the sums of a few hundred columns stay in the first-level
// cache, and memory is read in the order in which it lies.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convnext_mlp/loops.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include <algorithm>
#include <cstring>

#include "kernels/convnext_mlp/loops.h"
#include "kernels/gelu/gelu-inl.h"
#include "kernels/simd/storage-inl.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::convnext_mlp_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;

// Rounding to bf16 by the processor (AVX512-BF16) is one instruction instead of ten. It takes denormal numbers for zero;
// that is all that differs from store(). `native` says that the processor has it; the compiler is not told, or it would
// use it elsewhere.
template <bool native, class Part, class T>
HWY_INLINE void put(Part part, hn::Vec<D> v, T* to) {
#if HWY_TARGET == HWY_AVX3
  if constexpr (native && sizeof(T) == 2 && std::is_same_v<Part, Whole>) {
    __m256i bits;
    asm("vcvtneps2bf16 %1, %0" : "=v"(bits) : "v"(v.raw));
    std::memcpy(to, &bits, sizeof bits);
    return;
  }
#endif
  part.store(D(), v, to);
}

// to[i] += v
template <class Part>
HWY_INLINE void accumulate(Part part, hn::Vec<D> v, float* to) {
  const D d;
  part.store(d, hn::Add(part.load(d, to), v), to);
}

template <bool native, class T>
HWY_INLINE void each(const GeluSquares<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.squares, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* h = a.h.ptr + r * a.h.stride;
    T* z = a.z.ptr + r * a.z.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto v = gelu<T>(d, part.load(d, h + c));
      put<native>(part, v, z + c);
      accumulate(part, hn::Mul(v, v), a.squares + c);
    });
  }
}

template <bool native, class T>
HWY_INLINE void each(const ScaleShift<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* z = a.z.ptr + r * a.z.stride;
    T* to = a.a.ptr + r * a.a.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      put<native>(part, hn::MulAdd(part.load(d, z + c), part.load(d, a.scale + c), part.load(d, a.shift + c)), to + c);
    });
  }
}

template <bool native, class T>
HWY_INLINE void each(const AddScaled<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  const auto s = hn::Set(d, a.s);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T *x = a.x.ptr ? a.x.ptr + r * a.x.stride : nullptr, *t = a.t.ptr + r * a.t.stride;
    T* y = a.y.ptr + r * a.y.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto v = part.load(d, t + c);
      put<native>(part, x ? hn::MulAdd(s, v, part.load(d, x + c)) : hn::Mul(s, v), y + c);
    });
  }
}

template <bool native, class T>
HWY_INLINE void each(const BwdBeforeSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.da_z, cols, 0.0f);
  std::fill_n(a.da_sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    const T* h = a.h.ptr + r * a.h.stride;
    T *da = a.da.ptr + r * a.da.stride, *zd = a.zd.ptr + r * a.zd.stride, *to = a.a.ptr + r * a.a.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto x = part.load(d, h + c), g = part.load(d, da + c), scale = part.load(d, a.scale + c);
      const auto tail = normal_tail<T>(d, x);
      const auto z = gelu(d, x, tail), derivative = gelu_derivative(d, x, tail);
      put<native>(part, hn::MulAdd(z, scale, part.load(d, a.shift + c)), to + c);
      put<native>(part, hn::Mul(z, derivative), zd + c);
      put<native>(part, hn::Mul(g, hn::Mul(scale, derivative)), da + c);
      part.store(d, hn::MulAdd(g, z, part.load(d, a.da_z + c)), a.da_z + c);
      accumulate(part, g, a.da_sum + c);
    });
  }
}

template <bool native, class T>
HWY_INLINE void each(const BwdAfterSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r) {
    T* da = a.da.ptr + r * a.da.stride;
    const T* zd = a.zd.ptr + r * a.zd.stride;
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      const auto dh = hn::MulAdd(part.load(d, zd + c), part.load(d, a.q + c), part.load(d, da + c));
      put<native>(part, dh, da + c);
      accumulate(part, dh, a.sum + c);
    });
  }
}

template <bool native, class T>
HWY_INLINE void each(const ColumnSums<T>& a, std::int64_t rows, std::int64_t cols) {
  const D d;
  std::fill_n(a.sum, cols, 0.0f);
  for (std::int64_t r = 0; r < rows; ++r)
    for_vectors(d, cols, [&](auto part, std::int64_t c) HWY_ATTR {
      accumulate(part, part.load(d, a.x.ptr + r * a.x.stride + c), a.sum + c);
    });
}

#define BF_LOOP(name)                                                                                         \
  void name##_f32(const name<float>& a, std::int64_t rows, std::int64_t cols) { each<false>(a, rows, cols); } \
  void name##_bf16(const name<bf16>& a, std::int64_t rows, std::int64_t cols) { each<false>(a, rows, cols); } \
  void name##_native_bf16(const name<bf16>& a, std::int64_t rows, std::int64_t cols) { each<true>(a, rows, cols); }
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

bool has_native_bf16() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bf16");
  return has;
#else
  return false;
#endif
}

#define BF_LOOP(name)                                                          \
  HWY_EXPORT(name##_f32);                                                      \
  HWY_EXPORT(name##_bf16);                                                     \
  HWY_EXPORT(name##_native_bf16);                                              \
  template <class T>                                                           \
  void run(const name<T>& a, std::int64_t rows, std::int64_t cols) {           \
    if constexpr (std::is_same_v<T, float>)                                    \
      HWY_DYNAMIC_DISPATCH(name##_f32)(a, rows, cols);                         \
    else if (has_native_bf16())                                                \
      HWY_DYNAMIC_DISPATCH(name##_native_bf16)(a, rows, cols);                 \
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
