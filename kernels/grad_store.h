// kernels/grad_store.h — a range of a gradient, written or added to, for operations whose elements are independent.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide::kernels {

// d[i] = f(i), or d[i] += f(i), for i in [begin, end). f returns f32. Two plain loops, so that both vectorise.
template <class T, class F>
inline void store_gradient(GradMode mode, Span<T> d, std::int64_t begin, std::int64_t end, F&& f) {
  T* p = d.slice(begin, end - begin).ptr - begin;
  if (mode == GradMode::add)
    for (std::int64_t i = begin; i < end; ++i) p[i] = from_f32<T>(to_f32(p[i]) + f(i));
  else if (mode == GradMode::write)
    for (std::int64_t i = begin; i < end; ++i) p[i] = from_f32<T>(f(i));
}

}  // namespace bonafide::kernels
