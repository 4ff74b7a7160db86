// kernels/gelu/gelu.h — GELU with the exact (erf) definition. Raw API: no Tensor, no autograd.
//
//   forward    y  = x Phi(x)                   Phi(x) = (1 + erf(x / sqrt 2)) / 2, the normal distribution function
//   backward   dx = dy (Phi(x) + x phi(x))     phi(x) = exp(-x^2 / 2) / sqrt(2 pi)
//
// x, y, dy, dx: any number of elements, stored as T. Arithmetic is f32. |y - exact| <= 3e-7 max(1, |x|) and the same
// for the derivative (tests/host/test_gelu.cpp measures it). +-inf and NaN give what the formula's limits give.
// Deterministic: elements are independent.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct GeluFwd {
  Span<const T> x;
  Span<T> y;
};
template <class T>
struct GeluBwd {
  Span<const T> dy, x;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
};

// Operations of gelu-inl.h, a fused multiply-add counted as two.
template <class T>
constexpr Cost gelu_fwd_cost(std::int64_t n) {
  return {double(sizeof(T)) * double(n), double(sizeof(T)) * double(n), 37.0 * double(n)};
}
template <class T>
constexpr Cost gelu_bwd_cost(std::int64_t n) {
  return {2.0 * double(sizeof(T)) * double(n), double(sizeof(T)) * double(n), 40.0 * double(n)};
}

template <class T>
void check(const GeluFwd<T>&);  // throws; called by every backend
template <class T>
void check(const GeluBwd<T>&);

BF_PASS(gelu_fwd, GeluFwd);
BF_PASS(gelu_bwd, GeluBwd);

}  // namespace bonafide::kernels
