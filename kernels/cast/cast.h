// kernels/cast/cast.h — from one storage type to another: y = To(x), to nearest, ties to even. Its own backward pass.
//
// Any number of elements. Deterministic: elements are independent.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "engine/device.h"

namespace bonafide::kernels {

template <class From, class To>
struct Cast {
  Span<const From> x;
  Span<To> y;
  GradMode mode = GradMode::write;  // add: y = To(y + x), for the backward pass
};

template <class From, class To>
constexpr Cost cast_cost(std::int64_t n) {
  return {double(sizeof(From)) * double(n), double(sizeof(To)) * double(n), 0};
}

template <class From, class To>
void check(const Cast<From, To>&);  // throws; called by every backend

// BF_PASS of kernels/backends.h, with two types.
namespace cpu {
template <class From, class To>
void cast(const Cast<From, To>&);
}  // namespace cpu
namespace cuda {
template <class From, class To>
void cast(const Cast<From, To>&, Stream = {});
}  // namespace cuda
template <class From, class To>
void cast(Target target, const Cast<From, To>& a) {
  target.kind == Device::cuda ? cuda::cast(a, target.stream) : cpu::cast(a);
}

}  // namespace bonafide::kernels
