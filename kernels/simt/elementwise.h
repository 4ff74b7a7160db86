// kernels/simt/elementwise.h — kernels whose elements are independent: N neighbours per thread, in one access where the
// arrays allow it.
#pragma once
#include "engine/bf16.h"
#include "kernels/simt/block.h"

namespace bonafide::simt {

inline constexpr int kElementwiseThreads = 256;

// Blocks of a piece of n elements.
template <int N>
constexpr std::int64_t elementwise_blocks(std::int64_t n) {
  return ceil_div<std::int64_t>(n, kElementwiseThreads * N);
}
template <int N>
LaunchShape elementwise_shape(std::int64_t n) {
  return {.grid = {elementwise_blocks<N>(n)}, .block = {kElementwiseThreads}};
}

// Whether N elements may be accessed at once where each of the arrays begins.
template <int N, Block B, class... T>
BF_DEVICE bool all_aligned(B& block, Span<T>... arrays) {
  return (block.template aligned<N>(arrays) && ...);
}

// A number of elements that is known to the compiler.
template <int N>
struct Count {
  static constexpr int value = N;
};

// Calls f(i, count) for the elements that this thread has of n, as thread of block number `b` of their blocks: once,
// with Count<N>, where `vectors` says that i, i + N, ... are aligned, else (and at the end) one by one, with Count<1>.
template <int N, Block B, class F>
BF_DEVICE void for_own_elements(B& block, std::int64_t b, std::int64_t n, bool vectors, F&& f) {
  const std::int64_t first = (b * block.dx() + block.tx()) * N;
  if (vectors && first + N <= n) {
    f(first, Count<N>());
  } else {
    for (std::int64_t i = first; i < n && i < first + N; ++i) f(i, Count<1>());
  }
}
template <int N, Block B, class F>
BF_DEVICE void for_own_elements(B& block, std::int64_t n, bool vectors, F&& f) {
  for_own_elements<N>(block, block.bx(), n, vectors, f);
}

// d[i + k] = f(k), or d[i + k] += f(k), for k in [0, N). f returns f32.
template <int N, Block B, class T, class F>
BF_DEVICE void store_gradient(B& block, GradMode mode, Span<T> d, std::int64_t i, F&& f) {
  if (mode == GradMode::skip) return;
  Vector<T, N> v{};
  if (mode == GradMode::add) v = block.template load_vector<N>(d, i);
  for (int k = 0; k < N; ++k) v[k] = from_f32<T>(mode == GradMode::add ? to_f32(v[k]) + f(k) : f(k));
  block.store_vector(d, i, v);
}

}  // namespace bonafide::simt
