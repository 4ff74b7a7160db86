// kernels/relu/relu.h — y = max(x, 0).
//
//   backward   dx = dy where x > 0, else 0 (also at x = 0); a NaN in x passes in both directions
//
// Any number of elements, stored as T. Deterministic: elements are independent. y may be x.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct ReluFwd {
  Span<const T> x;
  Span<T> y;
};
template <class T>
struct ReluBwd {
  Span<const T> dy, x;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
};

template <class T>
constexpr Cost relu_fwd_cost(std::int64_t n) {
  const double s = double(sizeof(T)) * double(n);
  return {s, s, double(n)};
}
template <class T>
constexpr Cost relu_bwd_cost(std::int64_t n) {
  const double s = double(sizeof(T)) * double(n);
  return {2 * s, s, double(n)};
}

template <class T>
void check(const ReluFwd<T>&);  // throws; called by every backend
template <class T>
void check(const ReluBwd<T>&);

BF_PASS(relu_fwd, ReluFwd);
BF_PASS(relu_bwd, ReluBwd);

}  // namespace bonafide::kernels
