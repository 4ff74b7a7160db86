// kernels/convnext_mlp/products.h — the matrix products of a block, tile by tile: what they multiply, and how it is cut.
#pragma once
#include <vector>

#include "engine/parallel.h"
#include "kernels/convnext_mlp/loops.h"
#include "kernels/convnext_mlp/packed.h"

namespace bonafide::kernels::convnext_mlp_cpu {

// Products over fewer rows than this read their weights as they lie: packing them would cost more than it saves.
constexpr std::int64_t kRowsWorthPacking = 3000;
// Tiles that keep a few threads busy by themselves; with fewer, columns are spread over threads as well.
constexpr std::int64_t kManyTiles = 8;

// A [rows, columns] matrix stored chunk of columns by chunk of columns, each of them dense: oneDNN's fast kernels take
// nothing else.
template <class T>
struct Panels {
  T* base;
  std::int64_t rows;
  Rows<T> at(const ColumnChunk& c, std::int64_t row) const { return {base + c.begin * rows + row * c.width, c.width}; }
};

// The right-hand sides of the products of one weight: b [k, n] cut into chunks, of its columns or of its rows.
template <class T>
struct RightHandSides {
  const T* b;
  std::int64_t k, n, b_row, b_col;
  bool cut_columns;
  std::vector<ColumnChunk> chunks;
  std::vector<PackedOperand<T>> own;
  const std::vector<PackedOperand<T>>* packed = nullptr;

  RightHandSides(const T* b_, std::int64_t k_, std::int64_t n_, std::int64_t b_row_, std::int64_t b_col_,
                 bool cut_columns_)
      : b(b_),
        k(k_),
        n(n_),
        b_row(b_row_),
        b_col(b_col_),
        cut_columns(cut_columns_),
        chunks(column_chunks(cut_columns ? n : k)) {}
  void pack() {
    own.resize(chunks.size());
    parallel_for(std::int64_t(chunks.size()), [&](std::int64_t i) {
      const auto& c = chunks[std::size_t(i)];
      own[std::size_t(i)] =
          PackedOperand<T>(start(c), cut_columns ? k : c.width, cut_columns ? c.width : n, b_row, b_col);
    });
    packed = &own;
  }
  const T* start(const ColumnChunk& c) const { return b + c.begin * (cut_columns ? b_col : b_row); }

  // c = (add ? c : 0) + a b_i + bias; a [m, .] and c [m, .] are dense.
  void multiply(std::size_t i, std::int64_t m, const T* a, const float* bias, T* c, bool add = false) const {
    const auto& chunk = chunks[i];
    GemmShape s{.m = m, .n = cut_columns ? chunk.width : n, .k = cut_columns ? k : chunk.width};
    s.a_row = s.k, s.b_row = b_row, s.b_col = b_col, s.c_row = s.n;
    s.bias = bias != nullptr, s.add = add;
    const T* from = start(chunk);
    if (packed && (*packed)[i]) s.packed = true, s.b_row = s.b_col = 0, from = (*packed)[i].data();
    gemm_tile<T, T>(s, a, from, bias ? bias + chunk.begin : nullptr, c);
  }
};

// Items of a product's phase: whole tiles, or tiles times chunks where there are few of them.
struct Items {
  std::int64_t tiles, chunks;
  bool cut() const { return tiles < kManyTiles; }
  std::int64_t count() const { return cut() ? tiles * chunks : tiles; }
  std::int64_t tile(std::int64_t i) const { return cut() ? i / chunks : i; }
  std::size_t first(std::int64_t i) const { return std::size_t(cut() ? i % chunks : 0); }
  std::size_t last(std::int64_t i) const { return std::size_t(cut() ? i % chunks + 1 : chunks); }
};

// W1^T and W2^T as forward reads them.
template <class T>
RightHandSides<T> fwd_w1(const T* w1, std::int64_t C) {
  return {w1, C, 4 * C, 1, C, /*cut_columns=*/true};
}
template <class T>
RightHandSides<T> fwd_w2(const T* w2, std::int64_t C) {
  return {w2, 4 * C, C, 1, 4 * C, /*cut_columns=*/true};
}

}  // namespace bonafide::kernels::convnext_mlp_cpu
