// kernels/simd/storage-inl.h — vector loads and stores that widen and round, so that a kernel is written once for float
// and bf16; and the loop over channels that treats the last, incomplete vector like the others.
//
// Included once per instruction set (Highway's foreach_target), hence the toggled guard.
#if defined(BONAFIDE_KERNELS_SIMD_STORAGE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BONAFIDE_KERNELS_SIMD_STORAGE_INL_H_
#undef BONAFIDE_KERNELS_SIMD_STORAGE_INL_H_
#else
#define BONAFIDE_KERNELS_SIMD_STORAGE_INL_H_
#endif

#include <cstring>

#include "engine/bf16.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
using VecOf = hn::Vec<D>;

template <class D>
HWY_INLINE VecOf<D> widen(D d, hn::Vec<hn::Rebind<std::uint16_t, D>> bits) {
  const hn::Rebind<std::uint32_t, D> du;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(du, bits)));
}
// Round to nearest, ties to even; a NaN stays a quiet NaN: the same bits as bf16(float).
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<std::uint16_t, D>> narrow(D, VecOf<D> v) {
  const hn::Rebind<std::uint32_t, D> du;
  const hn::Rebind<std::int32_t, D> di;
  const hn::Rebind<std::uint16_t, D> du16;
  const auto u = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(u), hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(u, hn::Add(odd, hn::Set(du, 0x7fffu))));
  const auto quiet = hn::Or(hn::ShiftRight<16>(u), hn::Set(du, 0x40u));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(v));
  return hn::DemoteTo(du16, hn::BitCast(di, hn::IfThenElse(is_nan, quiet, rounded)));
}

template <class D>
HWY_INLINE VecOf<D> load(D d, const float* p) {
  return hn::LoadU(d, p);
}
template <class D>
HWY_INLINE VecOf<D> load(D d, const bf16* p) {
  return widen(d, hn::LoadU(hn::Rebind<std::uint16_t, D>(), reinterpret_cast<const std::uint16_t*>(p)));
}
template <class D>
HWY_INLINE void store(D d, VecOf<D> v, float* p) {
  hn::StoreU(v, d, p);
}
template <class D>
HWY_INLINE void store(D d, VecOf<D> v, bf16* p) {
  hn::StoreU(narrow(d, v), hn::Rebind<std::uint16_t, D>(), reinterpret_cast<std::uint16_t*>(p));
}

// The first n lanes only, n < Lanes(d): the other lanes read as zero and are not written. 16-bit masked loads of AVX2
// read the whole vector, so bf16 goes through the stack.
template <class D>
HWY_INLINE VecOf<D> load_n(D d, const float* p, std::size_t n) {
  return hn::MaskedLoad(hn::FirstN(d, n), d, p);
}
template <class D>
HWY_INLINE VecOf<D> load_n(D d, const bf16* p, std::size_t n) {
  HWY_ALIGN bf16 lanes[hn::MaxLanes(D())] = {};
  std::memcpy(lanes, p, n * sizeof(bf16));
  return load(d, lanes);
}
template <class D>
HWY_INLINE void store_n(D d, VecOf<D> v, float* p, std::size_t n) {
  hn::BlendedStore(v, hn::FirstN(d, n), d, p);
}
template <class D>
HWY_INLINE void store_n(D d, VecOf<D> v, bf16* p, std::size_t n) {
  HWY_ALIGN bf16 lanes[hn::MaxLanes(D())];
  store(d, v, lanes);
  std::memcpy(p, lanes, n * sizeof(bf16));
}

// How much of a vector lies inside the row. Kernels are generic in it: Whole costs nothing.
struct Whole {
  template <class D, class T>
  HWY_INLINE VecOf<D> load(D d, const T* p) const {
    return HWY_NAMESPACE::load(d, p);
  }
  template <class D, class T>
  HWY_INLINE void store(D d, VecOf<D> v, T* p) const {
    HWY_NAMESPACE::store(d, v, p);
  }
  template <class D>
  HWY_INLINE VecOf<D> zero_rest(D, VecOf<D> v) const {
    return v;
  }
};
struct First {
  std::size_t n;
  template <class D, class T>
  HWY_INLINE VecOf<D> load(D d, const T* p) const {
    return load_n(d, p, n);
  }
  template <class D, class T>
  HWY_INLINE void store(D d, VecOf<D> v, T* p) const {
    store_n(d, v, p, n);
  }
  template <class D>
  HWY_INLINE VecOf<D> zero_rest(D d, VecOf<D> v) const {
    return hn::IfThenElseZero(hn::FirstN(d, n), v);
  }
};

// Calls f(part, i) for i = 0, lanes, 2 lanes, ... below n; `part` is Whole, and First for what is left at the end.
template <class D, class F>
HWY_INLINE void for_vectors(D d, std::int64_t n, F&& f) {
  const auto lanes = std::int64_t(hn::Lanes(d));
  std::int64_t i = 0;
  for (; i + lanes <= n; i += lanes) f(Whole{}, i);
  if (i < n) f(First{std::size_t(n - i)}, i);
}

}  // namespace bonafide::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
