// kernels/depthwise_conv/cpu.cpp — depthwise 7x7 on the CPU.
//
// A row of the image is cut into tiles of at most 8 columns. For one vector of channels the kernels see dense f32 pixels:
// `pack` copies a region of the NHWC image to the stack, widening bf16 and filling the lanes beyond C with zeros. What
// that costs (a load and a store for 49 multiply-adds) buys inner loops with constant addresses, no masks, no conversions
// and none of the cache conflicts of a power-of-two pixel stride.
//
// Tiles know at compile time on which sides the image ends: taps that fall on the padding are never computed. On the maps
// of the last stages (3 x 3, 2 x 2) these are most of the 49.
#include "kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise_conv/cpu.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h: compiles this file once per instruction set
#include "hwy/highway.h"

#include <algorithm>
#include <utility>

#include "engine/parallel.h"
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "kernels/simd/storage-inl.h"

#ifndef BONAFIDE_KERNELS_DEPTHWISE_CONV_CPU_CPP_
#define BONAFIDE_KERNELS_DEPTHWISE_CONV_CPU_CPP_
namespace bonafide::kernels::depthwise_conv_cpu {

constexpr int kTaps = kDepthwiseSize, kPad = kTaps / 2;
constexpr int kMaxTile = 8;              // columns: 8 accumulators cover the latency of two multiply-adds per cycle
constexpr int kPanelTiles = 8;           // tiles that are packed together
constexpr int kScratchPixels = 1536;     // of one vector each: 96 KiB of stack
constexpr int kImageGroupPixels = 256;   // small images share one pass of the weight gradient, while they fit in L1

// How one image is cut, from its size alone. The last tile is at least 4 wide unless it is the only one: a neighbour
// always has the 3 columns of the other's halo.
struct Cut {
  int H, W;
  int tiles = ceil_div(W, kMaxTile), panels = ceil_div(tiles, kPanelTiles);
  int strip_rows = rows_per_strip(), strips = ceil_div(H, strip_rows);

  int tile_begin(int t) const { return t * (W / tiles) + std::min(t, W % tiles); }
  int per_image() const { return strips * panels; }

 private:
  int rows_per_strip() const {
    const int rows = kScratchPixels / std::min(W, kPanelTiles * kMaxTile + 2 * kPad);
    return H <= rows ? H : rows - 2 * kPad;
  }
};

// Strip s, panel p of an image: the rows and columns of the result, and those that must be read.
struct Region {
  int y0, y1, x0, x1;
  int tile0, tile1;
  int in_y0, in_y1, in_x0, in_x1;

  Region(const Cut& cut, int i) {
    const int s = i / cut.panels, p = i % cut.panels;
    y0 = s * cut.strip_rows, y1 = std::min(cut.H, y0 + cut.strip_rows);
    tile0 = p * kPanelTiles, tile1 = std::min(cut.tiles, tile0 + kPanelTiles);
    x0 = cut.tile_begin(tile0), x1 = cut.tile_begin(tile1);
    in_y0 = std::max(0, y0 - kPad), in_y1 = std::min(cut.H, y1 + kPad);
    in_x0 = std::max(0, x0 - kPad), in_x1 = std::min(cut.W, x1 + kPad);
  }
  int columns() const { return x1 - x0; }
  int in_columns() const { return in_x1 - in_x0; }
};

template <class T>
struct ConvArgs {
  const T* in;
  const float* filter;  // [blocks][50][16]: 49 taps and the bias
  T* out;
  bool add;
  int C;
};
template <class T>
struct WeightArgs {
  const T *dy, *x;
  float* sums;  // [blocks][50][16] of this piece
  std::int64_t images;
  int C;
};

}  // namespace bonafide::kernels::depthwise_conv_cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace bonafide::kernels::depthwise_conv_cpu::HWY_NAMESPACE {
using namespace kernels::HWY_NAMESPACE;

using D = hn::CappedTag<float, kDepthwiseBlock>;
using V = hn::Vec<D>;
constexpr int kLanes = int(hn::MaxLanes(D()));

// Rows [y0, y1) and columns [x0, x1) of an [H, W, C] image, channels [c, c + lanes), to out[rows][columns][lanes].
template <class T, class Part>
HWY_INLINE void pack(Part part, const T* image, int W, int C, int c, int y0, int y1, int x0, int x1, float* out) {
  const D d;
  for (int y = y0; y < y1; ++y) {
    const T* in = image + (std::int64_t(y) * W + x0) * C + c;
    for (int x = x0; x < x1; ++x, in += C, out += kLanes) hn::Store(part.load(d, in), d, out);
  }
}
// The other way; `add` keeps what is there.
template <class T, class Part>
HWY_INLINE void unpack(Part part, const float* in, int W, int C, int c, const Region& r, bool add, T* image) {
  const D d;
  for (int y = r.y0; y < r.y1; ++y) {
    T* out = image + (std::int64_t(y) * W + r.x0) * C + c;
    for (int x = r.x0; x < r.x1; ++x, out += C, in += kLanes) {
      V v = hn::Load(d, in);
      if (add) v = hn::Add(v, part.load(d, out));
      part.store(d, v, out);
    }
  }
}

struct ConvTile {
  const float* in;   // the tile's first column in row in_y0
  float* out;        // the tile's first column in row y0
  const float* filter;
  int H, y0, y1, in_y0, in_pitch, out_pitch;  // pitches in floats
};
struct WeightTile {
  const float *x, *dy;  // the tile's first column in rows in_y0 and y0
  float* sums;          // [50][16]
  int images, H, y0, y1, in_y0, x_pitch, dy_pitch, x_image, dy_image;
};

// kWidth columns with kLeft columns of the image before them and kRight after them (0 or 3).
template <int kWidth, int kLeft, int kRight>
struct Tile {
  static void conv(const ConvTile& t) {
    const D d;
    for (int y = t.y0; y < t.y1; ++y) {
      V sum[kWidth];
      const V bias = hn::LoadU(d, t.filter + kTaps * kTaps * kDepthwiseBlock);
#pragma GCC unroll 8
      for (int o = 0; o < kWidth; ++o) sum[o] = bias;
      const int i1 = std::min(kTaps, t.H + kPad - y);
      for (int i = std::max(0, kPad - y); i < i1; ++i) {
        const float* in = t.in + std::int64_t(y + i - kPad - t.in_y0) * t.in_pitch;
        const float* filter = t.filter + i * kTaps * kDepthwiseBlock;
#pragma GCC unroll 14
        for (int c = -kLeft; c < kWidth + kRight; ++c) {
          const V v = hn::Load(d, in + c * kLanes);
#pragma GCC unroll 7
          for (int j = 0; j < kTaps; ++j) {
            const int o = c - j + kPad;
            if (o >= 0 && o < kWidth) sum[o] = hn::MulAdd(v, hn::LoadU(d, filter + j * kDepthwiseBlock), sum[o]);
          }
        }
      }
      float* out = t.out + std::int64_t(y - t.y0) * t.out_pitch;
#pragma GCC unroll 8
      for (int o = 0; o < kWidth; ++o) hn::Store(sum[o], d, out + o * kLanes);
    }
  }

  // One row of the filter at a time: its 7 accumulators stay in registers over all rows and images.
  static void weight(const WeightTile& t) {
    const D d;
    for (int i = 0; i < kTaps; ++i) {
      const int ya = std::max(t.y0, kPad - i), yb = std::min(t.y1, t.H + kPad - i);
      if (ya >= yb) continue;
      V sum[kTaps];
#pragma GCC unroll 7
      for (int j = 0; j < kTaps; ++j) sum[j] = hn::Zero(d);
      for (int n = 0; n < t.images; ++n)
        for (int y = ya; y < yb; ++y) {
          const float* x = t.x + n * t.x_image + std::int64_t(y + i - kPad - t.in_y0) * t.x_pitch;
          const float* dy = t.dy + n * t.dy_image + std::int64_t(y - t.y0) * t.dy_pitch;
          V g[kWidth];
#pragma GCC unroll 8
          for (int o = 0; o < kWidth; ++o) g[o] = hn::Load(d, dy + o * kLanes);
#pragma GCC unroll 14
          for (int c = -kLeft; c < kWidth + kRight; ++c) {
            const V v = hn::Load(d, x + c * kLanes);
#pragma GCC unroll 7
            for (int j = 0; j < kTaps; ++j) {
              const int o = c - j + kPad;
              if (o >= 0 && o < kWidth) sum[j] = hn::MulAdd(v, g[o], sum[j]);
            }
          }
        }
      float* out = t.sums + i * kTaps * kDepthwiseBlock;
#pragma GCC unroll 7
      for (int j = 0; j < kTaps; ++j)
        hn::StoreU(hn::Add(sum[j], hn::LoadU(d, out + j * kDepthwiseBlock)), d, out + j * kDepthwiseBlock);
    }
  }
};

// The tile functions for every shape that a Cut can produce.
using ConvFn = void (*)(const ConvTile&);
using WeightFn = void (*)(const WeightTile&);
struct TileFns {
  ConvFn conv;
  WeightFn weight;
};
template <int kLeft, int kRight, int... kWidths>
TileFns choose(int width, std::integer_sequence<int, kWidths...>) {
  TileFns f{};
  ((kWidths + 1 == width ? void(f = {Tile<kWidths + 1, kLeft, kRight>::conv, Tile<kWidths + 1, kLeft, kRight>::weight})
                         : void()),
   ...);
  return f;
}
TileFns tile_fns(const Cut& cut, int t) {
  const int width = cut.tile_begin(t + 1) - cut.tile_begin(t);
  const auto widths = std::make_integer_sequence<int, kMaxTile>();
  const bool first = t == 0, last = t + 1 == cut.tiles;
  if (first && last) return choose<0, 0>(width, widths);
  if (first) return choose<0, kPad>(width, widths);
  if (last) return choose<kPad, 0>(width, widths);
  return choose<kPad, kPad>(width, widths);
}

template <class T>
void conv(const ConvArgs<T>& a, const Cut& cut, const Region& r) {
  alignas(64) float in[kScratchPixels * kLanes];
  alignas(64) float out[kScratchPixels * kLanes];
  for_vectors(D(), a.C, [&](auto part, std::int64_t c64) HWY_ATTR {
    const int c = int(c64);
    pack(part, a.in, cut.W, a.C, c, r.in_y0, r.in_y1, r.in_x0, r.in_x1, in);
    const float* filter = a.filter + c / kDepthwiseBlock * kDepthwiseBlockFloats + c % kDepthwiseBlock;
    for (int t = r.tile0; t < r.tile1; ++t) {
      const int x = cut.tile_begin(t);
      tile_fns(cut, t).conv({in + (x - r.in_x0) * kLanes, out + (x - r.x0) * kLanes, filter, cut.H, r.y0, r.y1, r.in_y0,
                             r.in_columns() * kLanes, r.columns() * kLanes});
    }
    unpack(part, out, cut.W, a.C, c, r, a.add, a.out);
  });
}

template <class T, class Part>
HWY_INLINE void weight_block(Part part, const WeightArgs<T>& a, const Cut& cut, int c) {
  const D d;
  alignas(64) float xs[kScratchPixels * kLanes];
  alignas(64) float dys[kScratchPixels * kLanes];
  float* sums = a.sums + c / kDepthwiseBlock * kDepthwiseBlockFloats + c % kDepthwiseBlock;
  for (int k = 0; k <= kTaps * kTaps; ++k) hn::StoreU(hn::Zero(d), d, sums + k * kDepthwiseBlock);
  float* bias_sum = sums + kTaps * kTaps * kDepthwiseBlock;
  const std::int64_t pixels = std::int64_t(cut.H) * cut.W;
  const std::int64_t group = cut.per_image() > 1 ? 1 : std::max<std::int64_t>(1, kImageGroupPixels / pixels);
  for (std::int64_t n0 = 0; n0 < a.images; n0 += group) {
    const int images = int(std::min(group, a.images - n0));
    for (int i = 0; i < cut.per_image(); ++i) {
      const Region r(cut, i);
      const int x_image = (r.in_y1 - r.in_y0) * r.in_columns() * kLanes, dy_image = (r.y1 - r.y0) * r.columns() * kLanes;
      for (int n = 0; n < images; ++n) {
        const std::int64_t at = (n0 + n) * pixels * a.C;
        pack(part, a.x + at, cut.W, a.C, c, r.in_y0, r.in_y1, r.in_x0, r.in_x1, xs + n * x_image);
        pack(part, a.dy + at, cut.W, a.C, c, r.y0, r.y1, r.x0, r.x1, dys + n * dy_image);
      }
      V sum = hn::Zero(d);
      for (int p = 0; p < images * dy_image; p += kLanes) sum = hn::Add(sum, hn::Load(d, dys + p));
      hn::StoreU(hn::Add(sum, hn::LoadU(d, bias_sum)), d, bias_sum);
      for (int t = r.tile0; t < r.tile1; ++t) {
        const int x = cut.tile_begin(t);
        tile_fns(cut, t).weight({xs + (x - r.in_x0) * kLanes, dys + (x - r.x0) * kLanes, sums, images, cut.H, r.y0, r.y1,
                                 r.in_y0, r.in_columns() * kLanes, r.columns() * kLanes, x_image, dy_image});
      }
    }
  }
}
// Channels [c0, c0 + 16) of one piece.
template <class T>
void weight(const WeightArgs<T>& a, const Cut& cut, int c0) {
  const int end = std::min(a.C, c0 + kDepthwiseBlock);
  for_vectors(D(), end - c0, [&](auto part, std::int64_t c) HWY_ATTR { weight_block(part, a, cut, c0 + int(c)); });
}

void conv_f32(const ConvArgs<float>& a, const Cut& cut, const Region& r) { conv(a, cut, r); }
void conv_bf16(const ConvArgs<bf16>& a, const Cut& cut, const Region& r) { conv(a, cut, r); }
void weight_f32(const WeightArgs<float>& a, const Cut& cut, int c0) { weight(a, cut, c0); }
void weight_bf16(const WeightArgs<bf16>& a, const Cut& cut, int c0) { weight(a, cut, c0); }

}  // namespace bonafide::kernels::depthwise_conv_cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace bonafide::kernels::depthwise_conv_cpu {
HWY_EXPORT(conv_f32);
HWY_EXPORT(conv_bf16);
HWY_EXPORT(weight_f32);
HWY_EXPORT(weight_bf16);
}  // namespace bonafide::kernels::depthwise_conv_cpu

namespace bonafide::kernels {
using namespace depthwise_conv_cpu;

namespace {

template <class A>
std::int64_t check_shape(const A& a) {
  BF_CHECK(a.N >= 0 && a.H > 0 && a.W > 0 && a.C > 0, "depthwise_conv: N=", a.N, " H=", a.H, " W=", a.W, " C=", a.C);
  return a.N * a.H * a.W * a.C;
}
void check_filter(std::int64_t len, int C) {
  BF_CHECK(len == std::int64_t(C) * kTaps * kTaps, "depthwise_conv: the filter has ", len, " elements, expected 49 x ", C);
}
void check_workspace(std::int64_t len, std::int64_t want) {
  BF_CHECK(len >= want, "depthwise_conv: workspace of ", len, " floats, expected ", want);
}

}  // namespace

template <class T>
void check(const DepthwiseConvFwd<T>& a) {
  const auto n = check_shape(a);
  BF_CHECK(a.x.len == n && a.y.len == n, "depthwise_conv: x has ", a.x.len, ", y ", a.y.len, " elements, expected ", n);
  check_filter(a.f.len, a.C);
  BF_CHECK(a.b.len == a.C, "depthwise_conv: bias of ", a.b.len, " for C=", a.C);
  check_workspace(a.workspace.len, depthwise_conv_filter_workspace(a.C));
}
template <class T>
void check(const DepthwiseConvBwdData<T>& a) {
  const auto n = check_shape(a);
  if (a.dx_mode == GradMode::skip) return;
  BF_CHECK(a.dy.len == n && a.dx.len == n, "depthwise_conv: dy has ", a.dy.len, ", dx ", a.dx.len, " elements, expected ", n);
  check_filter(a.f.len, a.C);
  check_workspace(a.workspace.len, depthwise_conv_filter_workspace(a.C));
}
template <class T>
void check(const DepthwiseConvBwdWeight<T>& a) {
  const auto n = check_shape(a);
  BF_CHECK(a.dy.len == n && a.x.len == n, "depthwise_conv: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ", n);
  if (a.df_mode != GradMode::skip) check_filter(a.df.len, a.C);
  BF_CHECK(a.db_mode == GradMode::skip || a.db.len == a.C, "depthwise_conv: db of ", a.db.len, " for C=", a.C);
  check_workspace(a.workspace.len, depthwise_conv_weight_workspace(a.N, a.H, a.W, a.C));
}

namespace cpu {
namespace {

// [C][49] -> [blocks][50][16], the last row of a block its bias. `flip` turns the filter by 180 degrees.
void pack_filter(Span<const float> f, Span<const float> b, int C, bool flip, Span<float> out) {
  constexpr int k = kTaps * kTaps;
  for (int c = 0; c < ceil_div(C, kDepthwiseBlock) * kDepthwiseBlock; ++c) {
    float* block = out.ptr + c / kDepthwiseBlock * kDepthwiseBlockFloats + c % kDepthwiseBlock;
    for (int i = 0; i < k; ++i)
      block[i * kDepthwiseBlock] = c < C ? f.ptr[std::int64_t(c) * k + (flip ? k - 1 - i : i)] : 0.0f;
    block[k * kDepthwiseBlock] = c < C && b ? b.ptr[c] : 0.0f;
  }
}

template <class T>
void convolve(const T* in, const float* filter, T* out, bool add, std::int64_t N, int H, int W, int C) {
  const Cut cut{H, W};
  const std::int64_t image = std::int64_t(H) * W * C;
  parallel_for(N * cut.per_image(), [&](std::int64_t i) {
    const std::int64_t n = i / cut.per_image();
    const ConvArgs<T> a{in + n * image, filter, out + n * image, add, C};
    const Region region(cut, int(i % cut.per_image()));
    if constexpr (std::is_same_v<T, float>) HWY_DYNAMIC_DISPATCH(conv_f32)(a, cut, region);
    else HWY_DYNAMIC_DISPATCH(conv_bf16)(a, cut, region);
  });
}

void write_grad(float& out, float v, GradMode mode) {
  if (mode == GradMode::add) out += v;
  else if (mode == GradMode::write) out = v;
}

}  // namespace

template <class T>
void depthwise_conv_fwd(const DepthwiseConvFwd<T>& a) {
  check(a);
  pack_filter(a.f, a.b, a.C, false, a.workspace);
  convolve(a.x.ptr, a.workspace.ptr, a.y.ptr, false, a.N, a.H, a.W, a.C);
}

template <class T>
void depthwise_conv_bwd_data(const DepthwiseConvBwdData<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  pack_filter(a.f, {}, a.C, true, a.workspace);
  convolve(a.dy.ptr, a.workspace.ptr, a.dx.ptr, a.dx_mode == GradMode::add, a.N, a.H, a.W, a.C);
}

template <class T>
void depthwise_conv_bwd_weight(const DepthwiseConvBwdWeight<T>& a) {
  check(a);
  if (a.df_mode == GradMode::skip && a.db_mode == GradMode::skip) return;
  const Cut cut{a.H, a.W};
  const std::int64_t pieces = depthwise_conv_pieces(a.N, a.H, a.W), blocks = ceil_div(a.C, kDepthwiseBlock);
  const std::int64_t image = std::int64_t(a.H) * a.W * a.C, piece_floats = depthwise_conv_filter_workspace(a.C);
  parallel_for(pieces * blocks, [&](std::int64_t i) {
    const std::int64_t p = i / blocks, n0 = p * a.N / pieces, n1 = (p + 1) * a.N / pieces;
    const WeightArgs<T> w{a.dy.ptr + n0 * image, a.x.ptr + n0 * image, a.workspace.ptr + p * piece_floats, n1 - n0, a.C};
    const int c0 = int(i % blocks) * kDepthwiseBlock;
    if constexpr (std::is_same_v<T, float>) HWY_DYNAMIC_DISPATCH(weight_f32)(w, cut, c0);
    else HWY_DYNAMIC_DISPATCH(weight_bf16)(w, cut, c0);
  });
  parallel_for(blocks, [&](std::int64_t block) {
    float sums[kDepthwiseBlockFloats] = {};
    for (std::int64_t p = 0; p < pieces; ++p) {
      const float* piece = a.workspace.ptr + p * piece_floats + block * kDepthwiseBlockFloats;
      for (int k = 0; k < kDepthwiseBlockFloats; ++k) sums[k] += piece[k];
    }
    const int c0 = int(block) * kDepthwiseBlock;
    for (int c = c0; c < std::min(a.C, c0 + kDepthwiseBlock); ++c) {
      constexpr int k = kTaps * kTaps;
      if (a.df_mode != GradMode::skip)
        for (int i = 0; i < k; ++i)
          write_grad(a.df.ptr[std::int64_t(c) * k + i], sums[i * kDepthwiseBlock + c - c0], a.df_mode);
      if (a.db_mode != GradMode::skip) write_grad(a.db.ptr[c], sums[k * kDepthwiseBlock + c - c0], a.db_mode);
    }
  });
}

template void depthwise_conv_fwd(const DepthwiseConvFwd<float>&);
template void depthwise_conv_fwd(const DepthwiseConvFwd<bf16>&);
template void depthwise_conv_bwd_data(const DepthwiseConvBwdData<float>&);
template void depthwise_conv_bwd_data(const DepthwiseConvBwdData<bf16>&);
template void depthwise_conv_bwd_weight(const DepthwiseConvBwdWeight<float>&);
template void depthwise_conv_bwd_weight(const DepthwiseConvBwdWeight<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
#endif
