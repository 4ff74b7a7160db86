// kernels/matmul/column_sums.simt.h — sums of the columns of a matrix, in two steps: over pieces of the rows, then over
// the pieces. What gradients of biases are made of.
#pragma once
#include "kernels/simt/columns.h"

namespace bonafide::kernels {
namespace simt_bodies {
using namespace simt;

template <class T>
struct ColumnSums {
  Span<const T> x;   // [rows, C]
  Span<float> sums;  // [pieces, C]: of equal pieces of the rows
  bool add = false;  // to what is in sums
  std::int64_t rows = 0, C = 0, pieces = 1;
};
template <class T, class F>
void for_each_array(const ColumnSums<T>& a, F&& f) {
  f("x", a.x), f("sums", a.sums);
}

struct ColumnSumsKernel {
  static constexpr const char* kName = "column_sums";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const ColumnSums<T>& a) {
    return strip_shape<T>(a.pieces, a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const ColumnSums<T>& a) {
    const OwnColumns<T> own(block, a.C, a.x);
    const std::int64_t per = ceil_div(a.rows, a.pieces), begin = block.bx() * per;
    const std::int64_t end = begin + per < a.rows ? begin + per : a.rows;
    float sum[kWidest<T>] = {};
    if (own)
      for (std::int64_t row = begin + block.ty(); row < end; row += kStripRows) {
        const auto v = own.load(block, a.x, row);
        for (int k = 0; k < kWidest<T>; ++k) sum[k] += to_f32(v[k]);
      }
    for_strip_sums<Tile>(block, a.C, sum, [&](std::int64_t c, float s) {
      const std::int64_t at = block.bx() * a.C + c;
      block.store(a.sums, at, a.add ? block.load(a.sums, at) + s : s);
    });
  }
};

// 512 pieces of a strip of 96 columns keep a large GPU busy, and no thread adds up more than a few hundred values.
constexpr std::int64_t column_sum_pieces(std::int64_t rows) {
  const std::int64_t want = ceil_div<std::int64_t>(rows, 256);
  return want < 1 ? 1 : want < 512 ? want : 512;
}
constexpr std::int64_t column_sums_workspace(std::int64_t rows, std::int64_t C) {
  return column_sum_pieces(rows) > 1 ? column_sum_pieces(rows) * C : 0;
}

// sums[C] = (mode add ? sums : 0) + sum over the rows of x [rows, C]. workspace: column_sums_workspace() floats.
template <class Launch, class T>
void column_sums(Launch&& launch, Span<const T> x, std::int64_t rows, std::int64_t C, Span<float> sums, GradMode mode,
                 Span<float> workspace) {
  if (mode == GradMode::skip) return;
  const bool add = mode == GradMode::add;
  const std::int64_t pieces = column_sum_pieces(rows);
  if (pieces == 1) return launch(ColumnSumsKernel(), ColumnSums<T>{x, sums, add, rows, C, 1});
  const Span<float> partial = workspace.slice(0, pieces * C);
  launch(ColumnSumsKernel(), ColumnSums<T>{x, partial, false, rows, C, pieces});
  launch(ColumnSumsKernel(), ColumnSums<float>{partial, sums, add, pieces, C, 1});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
