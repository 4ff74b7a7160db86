// kernels/prelu/prelu.simt.h — PReLU, the bodies of its CUDA kernels: 16 bytes per thread and access for y and dx; the
// gradient of the slope as sums of columns (kernels/simt/columns.h), in pieces of the rows, then over the pieces, then,
// where there is one slope, over the columns.
#pragma once
#include "kernels/matmul/column_sums.simt.h"
#include "kernels/prelu/prelu.h"
#include "kernels/simt/columns.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const PreluFwd<T>& a, F&& f) {
  f("x", a.x), f("slope", a.slope), f("y", a.y);
}
template <class T, class F>
void for_each_array(const PreluBwd<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("slope", a.slope), f("dx", a.dx), f("dslope", a.dslope), f("workspace", a.workspace);
}

namespace simt_bodies {
using namespace simt;

// to[k]: the slope of element i + k.
template <int N, Block B, class A>
BF_DEVICE void load_slopes(B& block, const A& a, std::int64_t i, float (&to)[N]) {
  std::int64_t c = a.slope.len == 1 ? 0 : i % a.C;
  for (int k = 0; k < N; ++k) {
    to[k] = block.load(a.slope, c);
    if (++c >= a.slope.len) c = 0;
  }
}

struct PreluFwdKernel {
  static constexpr const char* kName = "prelu_fwd";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const PreluFwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PreluFwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    for_own_elements<kWide>(block, a.x.len, all_aligned<kWide>(block, a.x, a.y), [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      float slope[N];
      load_slopes(block, a, i, slope);
      auto v = block.template load_vector<N>(a.x, i);
      for (int k = 0; k < N; ++k) v[k] = to_f32(v[k]) > 0 ? v[k] : from_f32<T>(slope[k] * to_f32(v[k]));
      block.store_vector(a.y, i, v);
    });
  }
};

struct PreluDxKernel {
  static constexpr const char* kName = "prelu_dx";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const PreluBwd<T>& a) {
    return elementwise_shape<kWidest<T>>(a.x.len);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PreluBwd<T>& a) {
    constexpr int kWide = kWidest<T>;
    const bool vectors = all_aligned<kWide>(block, a.dy, a.x, a.dx);
    for_own_elements<kWide>(block, a.x.len, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      float slope[N];
      load_slopes(block, a, i, slope);
      const auto dy = block.template load_vector<N>(a.dy, i), x = block.template load_vector<N>(a.x, i);
      store_gradient<N>(block, a.dx_mode, a.dx, i,
                        [&](int k) { return to_f32(x[k]) > 0 ? to_f32(dy[k]) : slope[k] * to_f32(dy[k]); });
    });
  }
};

// Leaves the sums of piece p in workspace [pieces, C].
struct PreluPiecesKernel {
  static constexpr const char* kName = "prelu_pieces";
  static constexpr int kMaxThreads = kStripThreads;
  struct Tile;
  template <class T>
  static LaunchShape shape(const PreluBwd<T>& a) {
    return strip_shape<T>(row_pieces(a.rows), a.C);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PreluBwd<T>& a) {
    constexpr int N = kWidest<T>;
    const OwnColumns<T> own(block, a.C, a.dy, a.x);
    const Interval piece = row_piece(a.rows, block.bx());
    float sum[N] = {};
    if (own)
      for (std::int64_t row = piece.begin + block.ty(); row < piece.end; row += kStripRows) {
        const auto dy = own.load(block, a.dy, row), x = own.load(block, a.x, row);
        for (int k = 0; k < N; ++k) sum[k] += to_f32(x[k]) > 0 ? 0.0f : to_f32(dy[k]) * to_f32(x[k]);
      }
    for_strip_sums<Tile>(block, a.C, sum,
                         [&](std::int64_t c, float s) { block.store(a.workspace, block.bx() * a.C + c, s); });
  }
};

template <class Launch, class T>
void prelu_fwd(Launch&& launch, const PreluFwd<T>& a) {
  check(a);
  launch(PreluFwdKernel(), a);
}
template <class Launch, class T>
void prelu_bwd(Launch&& launch, const PreluBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(PreluDxKernel(), a);
  if (a.dslope_mode == GradMode::skip) return;
  const bool add = a.dslope_mode == GradMode::add, one = a.slope.len != a.C;
  const std::int64_t pieces = row_pieces(a.rows);
  const Span<float> partial = a.workspace.slice(0, pieces * a.C), total = a.workspace.slice(pieces * a.C, a.C);
  launch(PreluPiecesKernel(), a);
  launch(ColumnSumsKernel(), ColumnSums<float>{partial, one ? total : a.dslope, !one && add, pieces, a.C, 1});
  if (one) launch(ColumnSumsKernel(), ColumnSums<float>{total, a.dslope, add, a.C, 1, 1});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
