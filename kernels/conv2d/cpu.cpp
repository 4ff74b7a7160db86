// kernels/conv2d/cpu.cpp — convolutions on the CPU: pieces fixed by the shape, each by one thread.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "engine/parallel.h"
#include "kernels/carver.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/conv_piece.h"
#include "kernels/grad_store.h"
#include "kernels/matmul/column_sums.simt.h"  // how much workspace they need
#include "kernels/matmul/matmul.h"
#include "kernels/partial_sums.h"
#include "kernels/thread_scratch.h"

namespace bonafide::kernels {
namespace {

struct Sums;

ConvFilter filter_of(const Conv2dShape& s) {
  const Window2d& k = s.window;
  return {s.Cin, s.Cout, s.groups, k.kernel_h, k.kernel_w, k.stride_h, k.stride_w};
}

// A piece and where its parts of the arrays begin.
struct Part {
  ConvPiece piece;
  std::int64_t x = 0, y = 0;  // elements of x and dx, of y and dy
};
Part images_of(const Conv2dShape& s, std::int64_t first, std::int64_t images) {
  return {{filter_of(s), images, s.H, s.W, s.out_h(), s.out_w(), s.window.pad_h, s.window.pad_w},
          first * s.H * s.W * s.Cin,
          first * s.out_h() * s.out_w() * s.Cout};
}
// Rows [y0, y0 + rows) of the result of an image, with the rows of the input that they need.
Part band_of(const Conv2dShape& s, std::int64_t image, std::int64_t y0, std::int64_t rows) {
  Part p = images_of(s, image, 1);
  const std::int64_t from = y0 * s.window.stride_h - s.window.pad_h;
  const std::int64_t begin = std::max<std::int64_t>(0, from);
  const std::int64_t end = std::min(s.H, from + (rows - 1) * s.window.stride_h + s.window.kernel_h);
  p.piece.top = begin - from, p.piece.in_h = end - begin, p.piece.out_h = rows;
  p.x += begin * s.W * s.Cin, p.y += y0 * s.out_w() * s.Cout;
  return p;
}
// Every image in `bands` bands of rows.
std::vector<Part> bands_of(const Conv2dShape& s, std::int64_t bands) {
  std::vector<Part> all;
  const std::int64_t rows = ceil_div(s.out_h(), bands);
  for (std::int64_t n = 0; n < s.N; ++n)
    for (std::int64_t y = 0; y < s.out_h(); y += rows) all.push_back(band_of(s, n, y, std::min(rows, s.out_h() - y)));
  return all;
}
// Bands of at least 8 rows, `want` pieces if there are that many. Where the padding is as high as the window, a band
// could lie in it altogether.
std::int64_t bands_for(const Conv2dShape& s, std::int64_t want) {
  if (s.window.pad_h >= s.window.kernel_h) return 1;
  return std::clamp<std::int64_t>(ceil_div(want, s.N), 1, std::max<std::int64_t>(1, s.out_h() / 8));
}

// 4 M products take 40 us in f32 on one AVX-512 core: long against a call (5 us). Small images share a piece; large
// ones are cut into bands where that can be done (not for data gradients, to which neighbouring bands add) and where
// there are less than 32 of them.
std::vector<Part> activation_parts(const Conv2dShape& s, bool bands) {
  constexpr double kProducts = 1 << 22;
  if (s.N == 0) return {};
  const double image = s.products() / double(s.N);
  const auto want = std::int64_t(std::clamp(s.products() / kProducts, 1.0, 32.0));
  if (const std::int64_t n = bands ? bands_for(s, want) : 1; n > 1) return bands_of(s, n);
  std::int64_t together = 1;
  while (together < 64 && 2 * double(together) * image <= kProducts) together *= 2;
  std::vector<Part> all;
  for_runs(s.N, together, [&](std::int64_t first, std::int64_t images) { all.push_back(images_of(s, first, images)); });
  return all;
}

// Parts whose weight gradients are summed apart: of at least 512 pixels, because adding one up costs as much as some
// dozens of pixels do.
std::vector<Part> weight_parts(const Conv2dShape& s) {
  if (s.N == 0) return {};
  const std::int64_t want = std::clamp<std::int64_t>(s.pixels() / 512, 1, 16);
  if (const std::int64_t n = bands_for(s, want); n > 1) return bands_of(s, n);
  const std::int64_t together = ceil_div(s.N, std::min(want, s.N));
  std::vector<Part> all;
  for (std::int64_t n = 0; n < s.N; n += together) all.push_back(images_of(s, n, std::min(together, s.N - n)));
  return all;
}

// How the CPU divides the workspace of a weight gradient.
struct WeightSums {
  Span<float> dw, db;  // [parts, w], [parts, Cout]
  WeightSums(const Conv2dShape& s, std::int64_t parts, Carver& w) {
    dw = w.span(parts * s.w_len()), db = w.span(parts * s.Cout);
  }
};

// Weights in the orders that the parts of a call read, one after another in the workspace.
template <class T>
struct PackedWeights {
  ConvPass pass;
  std::vector<ConvPiece> orders;  // a piece of each
  Carver carver;
  std::vector<Span<T>> memory;

  PackedWeights(ConvPass of, const std::vector<Part>& parts, Span<float> workspace) : pass(of), carver(workspace) {
    std::vector<const ConvPiece*> seen;  // of so many parts a few are different
    for (const Part& p : parts) {
      if (std::any_of(seen.begin(), seen.end(), [&](const ConvPiece* s) { return *s == p.piece; })) continue;
      seen.push_back(&p.piece);
      if (find(p.piece) < orders.size()) continue;
      orders.push_back(p.piece);
      memory.push_back(carver.span<T>(ceil_div<std::int64_t>(packed_bytes<T>(pass, p.piece), sizeof(T))));
    }
  }
  std::size_t find(const ConvPiece& s) const {
    std::size_t i = 0;
    while (i < orders.size() && !(orders[i] == s) && !same_order<T>(pass, orders[i], s)) ++i;
    return i;
  }
  void fill(const T* w) const {
    for (std::size_t i = 0; i < orders.size(); ++i) pack(pass, orders[i], w, memory[i].ptr);
  }
  const void* of(const ConvPiece& s) const { return memory[find(s)].ptr; }
};

template <class T>
std::int64_t filter_workspace(Device::Kind where, ConvPass pass, const Conv2dShape& s) {
  if (s.linear()) return 0;
  if (where == Device::cuda) return ceil_div<std::int64_t>(s.w_len() * std::int64_t(sizeof(T)), 4);
  return PackedWeights<T>(pass, activation_parts(s, pass == ConvPass::forward), {}).carver.used();
}

void check_shape(const Conv2dShape& s) {
  const Window2d& k = s.window;
  BF_CHECK(s.N >= 0 && s.H > 0 && s.W > 0 && s.Cin > 0 && s.Cout > 0, "conv2d: [", s.N, ", ", s.H, ", ", s.W, ", ",
           s.Cin, "] to ", s.Cout, " channels");
  BF_CHECK(k.kernel_h > 0 && k.kernel_w > 0 && k.stride_h > 0 && k.stride_w > 0 && k.pad_h >= 0 && k.pad_w >= 0 &&
               !k.ceil_mode,
           "conv2d: kernel ", k.kernel_h, " x ", k.kernel_w, ", stride ", k.stride_h, " x ", k.stride_w, ", padding ",
           k.pad_h, " x ", k.pad_w, k.ceil_mode ? ", sizes rounded up" : "");
  BF_CHECK(s.groups > 0 && s.Cin % s.groups == 0 && s.Cout % s.groups == 0, "conv2d: ", s.groups, " groups of ", s.Cin,
           " and ", s.Cout, " channels");
  BF_CHECK(s.out_h() > 0 && s.out_w() > 0, "conv2d: a window of ", k.kernel_h, " x ", k.kernel_w,
           " does not fit an image of ", s.H, " x ", s.W, " with padding ", k.pad_h, " x ", k.pad_w);
}
void check_extent(const char* what, std::int64_t got, std::int64_t want) {
  BF_CHECK(got == want, "conv2d: ", what, " has ", got, " elements, expected ", want);
}
void check_workspace(std::int64_t got, std::int64_t need) {
  BF_CHECK(got >= need, "conv2d: workspace of ", got, " floats, expected ", need);
}

}  // namespace

template <class T>
std::int64_t conv2d_fwd_workspace(Device::Kind where, const Conv2dShape& s) {
  return filter_workspace<T>(where, ConvPass::forward, s);
}
template <class T>
std::int64_t conv2d_bwd_data_workspace(Device::Kind where, const Conv2dShape& s) {
  return filter_workspace<T>(where, ConvPass::data, s);
}
std::int64_t conv2d_bwd_weight_workspace(Device::Kind where, const Conv2dShape& s) {
  if (s.linear()) return linear_bwd_weight_workspace(where, s.pixels(), s.Cin, s.Cout);
  if (where == Device::cuda)
    return conv2d_weight_splits(s) * s.w_len() + simt_bodies::column_sums_workspace(s.pixels(), s.Cout);
  Carver counted;
  WeightSums(s, std::int64_t(weight_parts(s).size()), counted);
  return counted.used();
}
template std::int64_t conv2d_fwd_workspace<float>(Device::Kind, const Conv2dShape&);
template std::int64_t conv2d_fwd_workspace<bf16>(Device::Kind, const Conv2dShape&);
template std::int64_t conv2d_bwd_data_workspace<float>(Device::Kind, const Conv2dShape&);
template std::int64_t conv2d_bwd_data_workspace<bf16>(Device::Kind, const Conv2dShape&);

template <class T>
void check(const Conv2dFwd<T>& a, Device::Kind where) {
  check_shape(a.shape);
  check_extent("x", a.x.len, a.shape.x_len());
  check_extent("w", a.w.len, a.shape.w_len());
  check_extent("y", a.y.len, a.shape.y_len());
  if (a.b) check_extent("b", a.b.len, a.shape.Cout);
  check_workspace(a.workspace.len, conv2d_fwd_workspace<T>(where, a.shape));
}
template <class T>
void check(const Conv2dBwdData<T>& a, Device::Kind where) {
  check_shape(a.shape);
  check_extent("dy", a.dy.len, a.shape.y_len());
  check_extent("w", a.w.len, a.shape.w_len());
  if (a.dx_mode == GradMode::skip) return;
  check_extent("dx", a.dx.len, a.shape.x_len());
  check_workspace(a.workspace.len, conv2d_bwd_data_workspace<T>(where, a.shape));
}
template <class T>
void check(const Conv2dBwdWeight<T>& a, Device::Kind where) {
  check_shape(a.shape);
  check_extent("dy", a.dy.len, a.shape.y_len());
  check_extent("x", a.x.len, a.shape.x_len());
  if (a.dw_mode != GradMode::skip) check_extent("dw", a.dw.len, a.shape.w_len());
  if (a.db_mode != GradMode::skip) check_extent("db", a.db.len, a.shape.Cout);
  if (a.dw_mode != GradMode::skip || a.db_mode != GradMode::skip)
    check_workspace(a.workspace.len, conv2d_bwd_weight_workspace(where, a.shape));
}
template void check(const Conv2dFwd<float>&, Device::Kind);
template void check(const Conv2dFwd<bf16>&, Device::Kind);
template void check(const Conv2dBwdData<float>&, Device::Kind);
template void check(const Conv2dBwdData<bf16>&, Device::Kind);
template void check(const Conv2dBwdWeight<float>&, Device::Kind);
template void check(const Conv2dBwdWeight<bf16>&, Device::Kind);

namespace cpu {

template <class T>
void conv2d_fwd(const Conv2dFwd<T>& a) {
  check(a, Device::cpu);
  const Conv2dShape& s = a.shape;
  if (s.linear())
    return linear_fwd<T>({.x = a.x, .w = a.w, .b = a.b, .y = a.y, .rows = s.pixels(), .in = s.Cin, .out = s.Cout});
  const auto parts = activation_parts(s, true);
  if (parts.empty()) return;
  const PackedWeights<T> weights(ConvPass::forward, parts, a.workspace);
  weights.fill(a.w.ptr);
  parallel_for(std::int64_t(parts.size()), [&](std::int64_t i) {
    const Part& p = parts[std::size_t(i)];
    conv_forward(p.piece, a.x.ptr + p.x, weights.of(p.piece), a.b ? a.b.ptr : nullptr, a.y.ptr + p.y);
  });
}

template <class T>
void conv2d_bwd_data(const Conv2dBwdData<T>& a) {
  check(a, Device::cpu);
  if (a.dx_mode == GradMode::skip) return;
  const Conv2dShape& s = a.shape;
  if (s.linear())
    return linear_bwd_data<T>(
        {.dy = a.dy, .w = a.w, .dx = a.dx, .dx_mode = a.dx_mode, .rows = s.pixels(), .in = s.Cin, .out = s.Cout});
  const auto parts = activation_parts(s, false);
  if (parts.empty()) return;
  const PackedWeights<T> weights(ConvPass::data, parts, a.workspace);
  weights.fill(a.w.ptr);
  const bool add = a.dx_mode == GradMode::add;
  parallel_for(std::int64_t(parts.size()), [&](std::int64_t i) {
    const Part& p = parts[std::size_t(i)];
    const T* dy = a.dy.ptr + p.y;
    T* dx = a.dx.ptr + p.x;
    if constexpr (std::is_same_v<T, float>)
      if (!add) return conv_data(p.piece, dy, weights.of(p.piece), dx);
    const std::int64_t size = p.piece.images * s.H * s.W * s.Cin;
    auto* sums = static_cast<float*>(thread_scratch<Sums>(std::size_t(size) * sizeof(float)));
    conv_data(p.piece, dy, weights.of(p.piece), sums);
    for (std::int64_t j = 0; j < size; ++j) put(dx[j], add ? to_f32(dx[j]) + sums[j] : sums[j]);
  });
}

template <class T>
void conv2d_bwd_weight(const Conv2dBwdWeight<T>& a) {
  check(a, Device::cpu);
  if (a.dw_mode == GradMode::skip && a.db_mode == GradMode::skip) return;
  const Conv2dShape& s = a.shape;
  if (s.linear())
    return linear_bwd_weight<T>({.dy = a.dy,
                                 .x = a.x,
                                 .dw = a.dw,
                                 .db = a.db,
                                 .dw_mode = a.dw_mode,
                                 .db_mode = a.db_mode,
                                 .workspace = a.workspace,
                                 .rows = s.pixels(),
                                 .in = s.Cin,
                                 .out = s.Cout});
  const bool write_dw = a.dw_mode == GradMode::write, write_db = a.db_mode == GradMode::write;
  const auto parts = weight_parts(s);
  if (parts.empty()) {
    if (write_dw) std::fill(a.dw.begin(), a.dw.end(), 0.0f);
    if (write_db) std::fill(a.db.begin(), a.db.end(), 0.0f);
    return;
  }
  const auto count = std::int64_t(parts.size());
  Carver carver(a.workspace);
  const WeightSums sums(s, count, carver);
  parallel_for(count, [&](std::int64_t i) {
    const Part& p = parts[std::size_t(i)];
    const T* dy = a.dy.ptr + p.y;
    if (a.dw_mode != GradMode::skip) conv_weight(p.piece, dy, a.x.ptr + p.x, sums.dw.ptr + i * s.w_len());
    if (a.db_mode != GradMode::skip) column_sums(dy, 0, p.piece.pixels(), s.Cout, s.Cout, sums.db.ptr + i * s.Cout);
  });
  if (a.dw_mode != GradMode::skip) sum_partitions(a.dw, !write_dw, sums.dw.ptr, count);
  if (a.db_mode != GradMode::skip) sum_partitions(a.db, !write_db, sums.db.ptr, count);
}

template void conv2d_fwd(const Conv2dFwd<float>&);
template void conv2d_fwd(const Conv2dFwd<bf16>&);
template void conv2d_bwd_data(const Conv2dBwdData<float>&);
template void conv2d_bwd_data(const Conv2dBwdData<bf16>&);
template void conv2d_bwd_weight(const Conv2dBwdWeight<float>&);
template void conv2d_bwd_weight(const Conv2dBwdWeight<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
