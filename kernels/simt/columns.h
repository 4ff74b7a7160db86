// kernels/simt/columns.h — blocks that walk down a strip of the columns of a row-major matrix [rows, C]: 16 bytes per
// thread and access where the matrix allows it, sums of columns in an order that the shape alone fixes.
#pragma once
#include "engine/bf16.h"
#include "kernels/simt/block.h"

namespace bonafide::simt {

inline constexpr int kStripLanes = 16, kStripRows = 16;  // threads of a block: across the columns, down the rows
inline constexpr int kStripThreads = kStripLanes * kStripRows;
template <class T>
inline constexpr int kStripColumns = kStripLanes* kWidest<T>;

// A block for each of `pieces` of the rows (its bx) and each strip of the columns (its by).
template <class T>
LaunchShape strip_shape(std::int64_t pieces, std::int64_t C) {
  return {.grid = {pieces, ceil_div<std::int64_t>(C, kStripColumns<T>)}, .block = {kStripLanes, kStripRows}};
}

// The columns of one thread: kWidest<T> neighbours, fewer or none at the right edge.
template <class T>
class OwnColumns {
 public:
  static constexpr int N = kWidest<T>;

  // arrays: [rows, C] of T, all that will be loaded or stored through this.
  template <Block B, class... Arrays>
  BF_DEVICE OwnColumns(B& block, std::int64_t C, const Arrays&... arrays)
      : C_(C),
        first_((std::int64_t(block.by()) * kStripLanes + block.tx()) * N),
        vectors_(C % N == 0 && (block.template aligned<N>(arrays) && ...)) {}
  BF_DEVICE explicit operator bool() const { return first_ < C_; }  // whether there are any
  BF_DEVICE std::int64_t first() const { return first_; }

  // Of columns behind the edge: zeros.
  template <Block B>
  BF_DEVICE Vector<T, N> load(B& block, Span<const T> x, std::int64_t row) const {
    if (vectors_) return block.template load_vector<N>(x, row * C_ + first_);
    Vector<T, N> v{};
    for (int k = 0; k < N; ++k)
      if (first_ + k < C_) v[k] = block.load(x, row * C_ + first_ + k);
    return v;
  }
  template <Block B>
  BF_DEVICE void store(B& block, Span<T> y, std::int64_t row, const Vector<T, N>& v) const {
    if (vectors_) return block.store_vector(y, row * C_ + first_, v);
    for (int k = 0; k < N; ++k)
      if (first_ + k < C_) block.store(y, row * C_ + first_ + k, v[k]);
  }
  // to[k] = parameters[row, first() + k]: what is the same in every row of a piece.
  template <Block B>
  BF_DEVICE void load(B& block, float (&to)[N], Span<const float> parameters, std::int64_t row = 0) const {
    for (int k = 0; k < N; ++k) to[k] = first_ + k < C_ ? block.load(parameters, row * C_ + first_ + k) : 0.0f;
  }

 private:
  std::int64_t C_, first_;
  bool vectors_;
};

// Adds up the own columns of all threads, from the first row of threads on, and calls f(column of the matrix, sum),
// once for each column. All threads of the block must call this; f must not wait. Ends with a barrier: the scratch is
// free for the next sum.
template <class Tag, Block B, int N, class F>
BF_DEVICE void for_strip_sums(B& block, std::int64_t C, const float (&own)[N], F&& f) {
  constexpr int kColumns = kStripLanes * N;
  const auto tile = block.template shared<Tag, float, kStripRows * kColumns>();
  for (int k = 0; k < N; k += 4)
    block.store_vector(tile, block.ty() * kColumns + block.tx() * N + k,
                       Vector<float, 4>{{own[k], own[k + 1], own[k + 2], own[k + 3]}});
  block.sync();
  const int thread = block.ty() * kStripLanes + block.tx();
  const std::int64_t column = std::int64_t(block.by()) * kColumns + thread;
  if (thread < kColumns && column < C) {
    float sum = 0;
    for (int row = 0; row < kStripRows; ++row) sum += block.load(tile, row * kColumns + thread);
    f(column, sum);
  }
  block.sync();
}

}  // namespace bonafide::simt
