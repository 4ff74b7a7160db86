// kernels/depthwise_conv/depthwise_conv.h — depthwise 7x7 convolution, stride 1, zero padding 3. No Tensor, no
// autograd.
//
//   forward    y[n,h,w,c]   = b[c] + sum_{i,j} x[n, h+i-3, w+j-3, c] * f[c,i,j]        i, j = 0..6; x is 0 outside
//   data       dx[n,h,w,c]  = sum_{i,j} dy[n, h+3-i, w+3-j, c] * f[c,i,j]
//   weight     df[c,i,j]    = sum_{n,h,w} dy[n,h,w,c] * x[n, h+i-3, w+j-3, c],    db[c] = sum_{n,h,w} dy[n,h,w,c]
//
// x, y, dy, dx: [N, H, W, C], stored as T. f, df: [C, 1, 7, 7] f32, timm's layout; b, db: [C] f32.
// Arithmetic and accumulation are f32; each pass stores every result once, so bf16 results are rounded once.
// Deterministic: forward and data sum in an order that the backend fixes; the weight gradient is summed within pieces of the batch
// that depend on the shape alone, then over the pieces in order. No result depends on the number of threads.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

constexpr int kDepthwiseSize = 7;    // taps along each axis
constexpr int kDepthwiseBlock = 16;  // channels that travel together: one AVX-512 vector, two of AVX2

template <class T>
struct DepthwiseConvFwd {
  Span<const T> x;
  Span<const float> f, b;
  Span<T> y;
  Span<float> workspace;  // depthwise_conv_filter_workspace(C) floats, contents irrelevant
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0;
};
template <class T>
struct DepthwiseConvBwdData {
  Span<const T> dy;
  Span<const float> f;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  Span<float> workspace;  // depthwise_conv_filter_workspace(C)
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0;
};
template <class T>
struct DepthwiseConvBwdWeight {
  Span<const T> dy, x;
  Span<float> df, db;
  GradMode df_mode = GradMode::write, db_mode = GradMode::write;
  Span<float> workspace;  // depthwise_conv_weight_workspace(N, H, W, C)
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0;
};

// 49 taps and the bias of one block of channels, lanes innermost.
constexpr std::int64_t kDepthwiseBlockFloats = (kDepthwiseSize * kDepthwiseSize + 1) * kDepthwiseBlock;
constexpr std::int64_t depthwise_conv_filter_workspace(int C) {
  return ceil_div(C, kDepthwiseBlock) * kDepthwiseBlockFloats;
}
// Pieces of the batch whose weight gradients are summed apart. Part of the result's bits.
constexpr std::int64_t depthwise_conv_pieces(std::int64_t N, int H, int W) {
  const std::int64_t by_work = ceil_div<std::int64_t>(N * H * W, 1024), most = N < 16 ? N : 16;
  return by_work < most ? by_work : most;
}

// How blocks of CUDA threads share the work, from the shape alone; part of the weight gradient's bits. A unit is 32
// channels of some rows (a band), some columns (a tile) and some images (a group).
struct DepthwiseCut {
  static constexpr int kColumns = 7, kChannels = 32, kStrips = 8;  // of a thread, of a warp; warps of a block
  static constexpr int kBlocks = 264;                              // fill 132 multiprocessors twice
  int channel_blocks = 0;
  int strips = 0;  // of 7 columns, in a tile
  int tiles = 0;   // in a row
  int images = 0;  // in a group: as many as the warps of a block have strips for
  int bands = 0, band_rows = 0;
  std::int64_t groups = 0;

  constexpr std::int64_t units() const { return groups * tiles * bands; }
  constexpr int in_columns() const { return strips * kColumns + kDepthwiseSize - 1; }
};
constexpr DepthwiseCut depthwise_conv_cut(std::int64_t N, int H, int W, int C) {
  using D = DepthwiseCut;
  DepthwiseCut cut;
  cut.channel_blocks = ceil_div(C, D::kChannels);
  const int strips = ceil_div(W, D::kColumns);
  cut.strips = strips < D::kStrips ? strips : D::kStrips;
  cut.tiles = ceil_div(strips, cut.strips), cut.images = D::kStrips / cut.strips;
  if (N < cut.images) cut.images = N > 0 ? int(N) : 1;
  cut.groups = ceil_div<std::int64_t>(N, cut.images);
  // Bands cost 6 rows that are read twice: only where there is too little to do without.
  const std::int64_t whole = cut.groups * cut.tiles * cut.channel_blocks, want = whole ? D::kBlocks / whole : 1;
  const int most = ceil_div(H, D::kColumns), bands = want < 1 ? 1 : want < most ? int(want) : most;
  cut.band_rows = ceil_div(most, bands) * D::kColumns, cut.bands = ceil_div(H, cut.band_rows);
  return cut;
}
// Blocks of CUDA threads that sum the weight gradient of the same channels apart.
constexpr std::int64_t depthwise_conv_splits(std::int64_t N, int H, int W, int C) {
  const DepthwiseCut cut = depthwise_conv_cut(N, H, W, C);
  const std::int64_t want = ceil_div(DepthwiseCut::kBlocks, cut.channel_blocks);
  return want < cut.units() ? want : cut.units();
}
constexpr std::int64_t depthwise_conv_weight_workspace(std::int64_t N, int H, int W, int C) {
  const std::int64_t cpu = depthwise_conv_pieces(N, H, W) * depthwise_conv_filter_workspace(C);
  const std::int64_t cuda = depthwise_conv_splits(N, H, W, C) * (kDepthwiseSize * kDepthwiseSize + 1) * C;
  return cpu > cuda ? cpu : cuda;
}

// 98 operations per element for every pass, counting the taps that fall on padding as libraries do.
template <class T>
constexpr Cost depthwise_conv_fwd_cost(std::int64_t N, int H, int W, int C) {
  const double n = double(N) * H * W * C;
  return {sizeof(T) * n + 4.0 * 50 * C, sizeof(T) * n, 98.0 * n};
}
template <class T>
constexpr Cost depthwise_conv_bwd_data_cost(std::int64_t N, int H, int W, int C) {
  const double n = double(N) * H * W * C;
  return {sizeof(T) * n + 4.0 * 49 * C, sizeof(T) * n, 98.0 * n};
}
template <class T>
constexpr Cost depthwise_conv_bwd_weight_cost(std::int64_t N, int H, int W, int C) {
  const double n = double(N) * H * W * C;
  return {2 * sizeof(T) * n, 4.0 * 50 * C, 99.0 * n};
}

template <class T>
void check(const DepthwiseConvFwd<T>&);  // throws; called by every backend
template <class T>
void check(const DepthwiseConvBwdData<T>&);
template <class T>
void check(const DepthwiseConvBwdWeight<T>&);

BF_PASS(depthwise_conv_fwd, DepthwiseConvFwd);
BF_PASS(depthwise_conv_bwd_data, DepthwiseConvBwdData);
BF_PASS(depthwise_conv_bwd_weight, DepthwiseConvBwdWeight);

}  // namespace bonafide::kernels
