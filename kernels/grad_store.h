// kernels/grad_store.h — how plain loops store their results: rounded to T; for gradients, written or added to.
#pragma once
#include <type_traits>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide::kernels {

// to = v, rounded to T. bf16 goes through its bits: assigning the struct stops g++ 12 from vectorising the loop.
template <class T>
inline void put(T& to, float v) {
  if constexpr (std::is_same_v<T, bf16>) to.bits = bf16(v).bits;
  else to = v;
}

// d[i] = f(i), or d[i] += f(i), for i in [begin, end). f returns f32. Two plain loops, so that both vectorise.
template <class T, class F>
inline void store_gradient(GradMode mode, Span<T> d, std::int64_t begin, std::int64_t end, F&& f) {
  T* p = d.slice(begin, end - begin).ptr - begin;
  if (mode == GradMode::add)
    for (std::int64_t i = begin; i < end; ++i) put(p[i], to_f32(p[i]) + f(i));
  else if (mode == GradMode::write)
    for (std::int64_t i = begin; i < end; ++i) put(p[i], f(i));
}

}  // namespace bonafide::kernels
