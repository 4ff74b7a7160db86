// kernels/gelu/gelu-inl.h — the arithmetic of GELU on one vector, for this operation and for kernels that fuse it.
//
// Both passes need e = exp(-a^2/2), a = |x|, so the normal tail is written with it: Phi(-a) = e g(a), where
// g(a) = erfcx(a / sqrt 2) / 2 is smooth and falls slowly. With s = (1 - 0.3a) / (1 + 0.3a), which maps [0, inf) to
// (-1, 1], a polynomial of degree 8 in s gives g within 6e-8 (relative, minimax fit on a <= 12.5, where e is 1e-34).
// 2^f on [-1/2, 1/2] by degree 5 is within 8e-8. One division and no branch. What is stored as bf16 has 9 bits: for it
// degrees 5 and 3 and the processor's estimate of the quotient do (2e-4).
#if defined(BONAFIDE_KERNELS_GELU_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BONAFIDE_KERNELS_GELU_GELU_INL_H_
#undef BONAFIDE_KERNELS_GELU_GELU_INL_H_
#else
#define BONAFIDE_KERNELS_GELU_GELU_INL_H_
#endif

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
struct NormalTail {
  hn::Vec<D> a;     // |x|, at most 12.5
  hn::Vec<D> e;     // exp(-a^2 / 2)
  hn::Vec<D> tail;  // Phi(-a)
};

template <class D, class V>
HWY_INLINE V polynomial(D, V, V sum) {
  return sum;
}
template <class D, class V, class... Rest>
HWY_INLINE V polynomial(D d, V x, V sum, float c, Rest... rest) {  // Horner, highest coefficient first
  return polynomial(d, x, hn::MulAdd(sum, x, hn::Set(d, c)), rest...);
}

// T: what the result is good for; the operation by itself always asks for float.
template <class T, class D, class V = hn::Vec<D>>
HWY_INLINE NormalTail<D> normal_tail(D d, V x) {
  const hn::Rebind<std::int32_t, D> di;
  const V a = hn::Min(hn::Set(d, 12.5f), hn::Abs(x));  // in this order a NaN in x survives
  const V one = hn::Set(d, 1.0f), k = hn::Set(d, 0.3f);
  const V above = hn::NegMulAdd(k, a, one), below = hn::MulAdd(k, a, one);
  const V u = hn::Mul(hn::Mul(a, a), hn::Set(d, -0.72134752f));  // -a^2/2 in powers of two
  const V n = hn::Round(u), f = hn::Sub(u, n);
  V g, mantissa;
  if constexpr (sizeof(T) == 2 && HWY_TARGET <= HWY_AVX3) {
    const V s = hn::Mul(above, hn::ApproximateReciprocal(below));  // 14 bits
    g = polynomial(d, s, hn::Set(d, -0.00136914424f), 0.0137872891f, 0.0576136231f, 0.125781875f, 0.193244037f,
                   0.110977751f);
    mantissa = polynomial(d, f, hn::Set(d, 0.0551704419f), 0.242610299f, 0.693261086f, 0.999928134f);
  } else {
    const V s = hn::Div(above, below);
    g = polynomial(d, s, hn::Set(d, 0.000149152516f), -0.000120948903f, -0.00148097169f, -0.00031322494f, 0.0147844386f,
                   0.0571563279f, 0.125564945f, 0.193275008f, 0.110985301f);
    mantissa = polynomial(d, f, hn::Set(d, 0.00132764779f), 0.00967554337f, 0.0555071328f, 0.240221197f, 0.693146967f,
                          1.00000007f);
  }
  const V e = hn::BitCast(d, hn::Add(hn::BitCast(di, mantissa), hn::ShiftLeft<23>(hn::ConvertTo(di, n))));
  return {a, e, hn::Mul(g, e)};
}

// x Phi(x) = max(x, 0) - |x| Phi(-|x|)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu(D d, V x, const NormalTail<D>& t) {
  return hn::NegMulAdd(t.a, t.tail, hn::Max(x, hn::Zero(d)));
}
template <class T, class D, class V = hn::Vec<D>>
HWY_INLINE V gelu(D d, V x) {
  return gelu(d, x, normal_tail<T>(d, x));
}

// d/dx x Phi(x) = Phi(x) + x phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_derivative(D d, V x, const NormalTail<D>& t) {
  const V phi_a = hn::Mul(t.a, hn::Mul(t.e, hn::Set(d, 0.39894228f)));  // |x| phi(x), an even function times |x|
  const V up = hn::Sub(phi_a, t.tail);                                  // for x > 0: 1 + up; for x < 0: -up
  return hn::IfThenElse(hn::Gt(x, hn::Zero(d)), hn::Add(hn::Set(d, 1.0f), up), hn::Neg(up));
}
template <class T, class D, class V = hn::Vec<D>>
HWY_INLINE V gelu_derivative(D d, V x) {
  return gelu_derivative(d, x, normal_tail<T>(d, x));
}

}  // namespace bonafide::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
