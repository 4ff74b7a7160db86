// kernels/concat/concat.simt.h — concatenation, the body of its CUDA kernel: a thread owns 16 bytes of a row of the
// part, one access where the arrays allow it.
#pragma once
#include "kernels/concat/concat.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

// to[r, to_at + c] = from[r, from_at + c], or += .
template <class T>
struct CopyColumns {
  Span<const T> from;
  Span<T> to;
  GradMode mode = GradMode::write;
  std::int64_t rows = 0, C = 0, from_row = 0, from_at = 0, to_row = 0, to_at = 0;
};
template <class T, class F>
void for_each_array(const CopyColumns<T>& a, F&& f) {
  f("from", a.from), f("to", a.to);
}

namespace simt_bodies {
using namespace simt;

// Threads are dealt the rows' vectors one after another, whatever the width of a row. One of the two rows is C wide.
struct CopyColumnsKernel {
  static constexpr const char* kName = "copy_columns";
  static constexpr int kMaxThreads = kElementwiseThreads;
  template <class T>
  static LaunchShape shape(const CopyColumns<T>& a) {
    return {.grid = {ceil_div<std::int64_t>(a.rows * ceil_div<std::int64_t>(a.C, kWidest<T>), kMaxThreads)},
            .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const CopyColumns<T>& a) {
    constexpr int N = kWidest<T>;
    const std::int64_t i = std::int64_t(block.bx()) * kMaxThreads + block.tx(), across = ceil_div<std::int64_t>(a.C, N);
    const std::int64_t row = i / across, c = i % across * N;
    if (row >= a.rows) return;
    const std::int64_t from = row * a.from_row + a.from_at + c, to = row * a.to_row + a.to_at + c;
    const bool vectors = (a.from_row | a.from_at | a.to_row | a.to_at) % N == 0 && all_aligned<N>(block, a.from, a.to);
    if (vectors) {
      const auto v = block.template load_vector<N>(a.from, from);
      store_gradient<N>(block, a.mode, a.to, to, [&](int k) { return to_f32(v[k]); });
    } else {
      for (int k = 0; k < N && c + k < a.C; ++k) {
        const float v = to_f32(block.load(a.from, from + k));
        store_gradient<1>(block, a.mode, a.to, to + k, [&](int) { return v; });
      }
    }
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch, class T>
void concat_fwd(Launch&& launch, const ConcatFwd<T>& a) {
  check(a);
  launch(CopyColumnsKernel(),
         CopyColumns<T>{
             .from = a.x, .to = a.y, .rows = a.rows, .C = a.C, .from_row = a.C, .to_row = a.total, .to_at = a.at});
}
template <class Launch, class T>
void concat_bwd(Launch&& launch, const ConcatBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  launch(CopyColumnsKernel(), CopyColumns<T>{.from = a.dy,
                                             .to = a.dx,
                                             .mode = a.dx_mode,
                                             .rows = a.rows,
                                             .C = a.C,
                                             .from_row = a.total,
                                             .from_at = a.at,
                                             .to_row = a.C});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
