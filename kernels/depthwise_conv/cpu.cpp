// kernels/depthwise_conv/cpu.cpp — depthwise 7x7 on the CPU.
//
// A row of the image is cut into tiles of at most 8 columns. For one vector of channels the kernels see dense f32
// pixels: `pack_row` copies a row of the NHWC image to a ring of rows on the stack, widening bf16 and filling the lanes
// beyond C. What that costs (a load and a store for 49 multiply-adds) buys inner loops with constant addresses, no
// masks, no conversions and none of the cache conflicts of a power-of-two pixel stride. The rows of a band and their
// halo stay in L1.
//
// Tiles know at compile time on which sides the image ends: taps that fall on the padding are never computed. On the
// maps of the last stages (3 x 3, 2 x 2) these are most of the 49.
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
constexpr int kMaxTile = 8;       // columns of a tile
constexpr int kPanelTiles = 4;    // tiles that are packed together
constexpr int kBandPixels = 256;  // packed rows and results of a band, one vector each: 16 of the 48 KiB of L1
constexpr int kLeastBand = 4;     // rows of a result, however wide
constexpr int kInPixels = (kLeastBand + 2 * kPad) * (kPanelTiles * kMaxTile + 2 * kPad), kOutPixels = kBandPixels / 2;
constexpr int kMaxRows = kBandPixels;  // input rows of a band
static_assert(kInPixels >= kBandPixels && kOutPixels >= kLeastBand * kPanelTiles * kMaxTile);

// How the columns of an image are cut, from its size alone. The tiles of a row differ by at most one column and are at
// least 4 wide where there are two: a neighbour always has the 3 columns of the other's halo.
struct Cut {
  int H, W;
  int tiles = ceil_div(W, kMaxTile), panels = ceil_div(tiles, kPanelTiles);

  int tile_begin(int t) const { return t * (W / tiles) + std::min(t, W % tiles); }
};

// The tiles that share packed rows: columns [x0, x1) of the result, which need [in_x0, in_x1).
struct Panel {
  int tile0, tile1, x0, x1, in_x0, in_x1;

  Panel(const Cut& cut, int p) {
    tile0 = p * cut.tiles / cut.panels, tile1 = (p + 1) * cut.tiles / cut.panels;
    x0 = cut.tile_begin(tile0), x1 = cut.tile_begin(tile1);
    in_x0 = std::max(0, x0 - kPad), in_x1 = std::min(cut.W, x1 + kPad);
  }
  int columns() const { return x1 - x0; }
  int in_columns() const { return in_x1 - in_x0; }
  // Rows of the result that are computed at a time: all of them, or an even number that leaves room for 6 more to be
  // read.
  int band_rows(int H) const {
    if (2 * H * in_columns() <= kBandPixels) return H;
    return std::max(kLeastBand, (kBandPixels / in_columns() - 2 * kPad) / 4 * 2);
  }
};

template <class T>
struct ConvArgs {
  const T* in;          // the first image
  const float* filter;  // [blocks][50][16]: 49 taps and the bias
  T* out;
  int images, C;  // images: 1 or 2
  bool add;
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
constexpr bool kWide = kLanes == kDepthwiseBlock;  // AVX-512, with its 32 registers: twice the accumulators

// The same n <= lanes / 2 channels of two images, `next` elements apart, in the halves of one vector: with 24 or 40
// channels half of the last vector would be idle.
struct Two {
  std::size_t n;
  std::int64_t next;
  template <class T>
  HWY_INLINE V load(D d, const T* p) const {
    const hn::Half<D> h;
    return hn::Combine(d, half(h, p + next), half(h, p));
  }
  template <class T>
  HWY_INLINE void store(D d, V v, T* p) const {
    const hn::Half<D> h;
    half(h, hn::LowerHalf(v), p);
    half(h, hn::UpperHalf(h, v), p + next);
  }

 private:
  template <class H, class T>
  HWY_INLINE hn::Vec<H> half(H h, const T* p) const {
    return n == hn::MaxLanes(h) ? kernels::HWY_NAMESPACE::load(h, p) : load_n(h, p, n);
  }
  template <class H, class T>
  HWY_INLINE void half(H h, hn::Vec<H> v, T* p) const {
    n == hn::MaxLanes(h) ? kernels::HWY_NAMESPACE::store(h, v, p) : store_n(h, v, p, n);
  }
};

// Columns [x0, x1) of one row of an [H, W, C] image to and from out[columns][lanes].
template <class T, class Part>
HWY_INLINE void pack_row(Part part, const T* row, int C, int x0, int x1, float* out) {
  const D d;
  row += std::int64_t(x0) * C;
  for (int x = x0; x < x1; ++x, row += C, out += kLanes) hn::Store(part.load(d, row), d, out);
}
template <class T, class Part>
HWY_INLINE void unpack_row(Part part, const float* in, int C, int x0, int x1, bool add, T* row) {
  const D d;
  row += std::int64_t(x0) * C;
  for (int x = x0; x < x1; ++x, row += C, in += kLanes) {
    V v = hn::Load(d, in);
    if (add) v = hn::Add(v, part.load(d, row));
    part.store(d, v, row);
  }
}

// Packed rows of one panel of an image, as many as a band needs, in a ring.
template <class T, class Part>
class Rows {
 public:
  Rows(Part part, const T* image, const Cut& cut, const Panel& panel, int C, int capacity, float* memory)
      : part_(part), image_(image), cut_(cut), panel_(panel), C_(C), capacity_(capacity), memory_(memory) {}

  // Afterwards at()[u - first()] is row u, for the rows that results [y0, y1) need. Bands must come in order.
  HWY_INLINE void need(int y0, int y1) {
    first_ = std::max(0, y0 - kPad);
    const int end = std::min(cut_.H, y1 + kPad);
    for (int u = first_; u < end; ++u) {
      float* row = memory_ + (u % capacity_) * pitch();
      if (u >= packed_) pack_row(part_, image_ + std::int64_t(u) * cut_.W * C_, C_, panel_.in_x0, panel_.in_x1, row);
      at_[u - first_] = row;
    }
    packed_ = end;
  }
  int pitch() const { return panel_.in_columns() * kLanes; }
  int first() const { return first_; }
  const float* const* at() const { return at_; }

 private:
  Part part_;
  const T* image_;
  const Cut& cut_;
  const Panel& panel_;
  int C_, capacity_, packed_ = 0, first_ = 0;
  float* memory_;
  const float* at_[kMaxRows];
};

struct ConvTile {
  const float* const* rows;  // rows[u - first]: row u of the input
  const float* filter;
  float* out;                               // the tile's first column in row y0
  int H, y0, y1, first, column, out_pitch;  // column: of the tile within the rows, and pitches, in floats
};
struct WeightTile {
  const float* const* rows;
  const float* dy;  // the tile's first column in row y0
  float* sums;      // [50][16]
  int images, H, y0, y1, first, column, dy_pitch, x_image, dy_image;
};

// kWidth columns with kLeft columns of the image before them and kRight after them (0 or 3).
template <int kWidth, int kLeft, int kRight>
struct Tile {
  // One row of the input times one row of the filter for each of kRows rows of the result.
  template <int kRows>
  static HWY_INLINE void multiply(const float* in, const float* filter, V (&sum)[kRows][kWidth]) {
    const D d;
#pragma GCC unroll 14
    for (int c = -kLeft; c < kWidth + kRight; ++c) {
      const V v = hn::Load(d, in + c * kLanes);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 7
        for (int j = 0; j < kTaps; ++j) {
          const int o = c - j + kPad;
          if (o >= 0 && o < kWidth)
            sum[r][o] = hn::MulAdd(v, hn::LoadU(d, filter + (j - r * kTaps) * kDepthwiseBlock), sum[r][o]);
        }
    }
  }
  // Row u of the input meets row u - y + 3 of the filter for result y, one before that for result y + 1.
  template <int kRows>
  static HWY_INLINE void conv_rows(const ConvTile& t, int y) {
    const D d;
    V sum[kRows][kWidth];
    const V bias = hn::LoadU(d, t.filter + kTaps * kTaps * kDepthwiseBlock);
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int o = 0; o < kWidth; ++o) sum[r][o] = bias;
    const int end = std::min(t.H, y + kPad + 1);
    int u = std::max(0, y - kPad);
    const auto in = [&](int row) { return t.rows[row - t.first] + t.column; };
    const auto filter = [&](int row) { return t.filter + (row - y + kPad) * kTaps * kDepthwiseBlock; };
    if constexpr (kRows == 2) {
      if (u == y - kPad) multiply<1>(in(u), filter(u), reinterpret_cast<V(&)[1][kWidth]>(sum[0])), ++u;
    }
    for (; u < end; ++u) multiply<kRows>(in(u), filter(u), sum);
    if constexpr (kRows == 2) {
      if (u == y + kPad + 1 && u < t.H) multiply<1>(in(u), filter(u - 1), reinterpret_cast<V(&)[1][kWidth]>(sum[1]));
    }
    float* out = t.out + std::int64_t(y - t.y0) * t.out_pitch;
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 8
      for (int o = 0; o < kWidth; ++o) hn::Store(sum[r][o], d, out + r * t.out_pitch + o * kLanes);
  }
  static void conv(const ConvTile& t) {
    int y = t.y0;
    if constexpr (kWide)
      for (; y + 2 <= t.y1; y += 2) conv_rows<2>(t, y);
    for (; y < t.y1; ++y) conv_rows<1>(t, y);
  }

  // One row of the filter at a time: its accumulators stay in registers over all rows and images. Even and odd columns
  // add to different ones, to cover the latency.
  static void weight(const WeightTile& t) {
    const D d;
    constexpr int kSets = kWide ? 2 : 1;
    for (int i = 0; i < kTaps; ++i) {
      const int ya = std::max(t.y0, kPad - i), yb = std::min(t.y1, t.H + kPad - i);
      if (ya >= yb) continue;
      V sum[kSets][kTaps];
#pragma GCC unroll 2
      for (int s = 0; s < kSets; ++s)
#pragma GCC unroll 7
        for (int j = 0; j < kTaps; ++j) sum[s][j] = hn::Zero(d);
      for (int n = 0; n < t.images; ++n)
        for (int y = ya; y < yb; ++y) {
          const float* x = t.rows[y + i - kPad - t.first] + n * t.x_image + t.column;
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
              if (o >= 0 && o < kWidth) sum[o % kSets][j] = hn::MulAdd(v, g[o], sum[o % kSets][j]);
            }
          }
        }
      float* out = t.sums + i * kTaps * kDepthwiseBlock;
#pragma GCC unroll 7
      for (int j = 0; j < kTaps; ++j, out += kDepthwiseBlock) {
        const V both = kSets == 2 ? hn::Add(sum[0][j], sum[kSets - 1][j]) : sum[0][j];
        hn::StoreU(hn::Add(both, hn::LoadU(d, out)), d, out);
      }
    }
  }
};

// The tile functions for every shape that a Cut can produce.
struct TileFns {
  void (*conv)(const ConvTile&);
  void (*weight)(const WeightTile&);
};
template <int kLeft, int kRight, int... kWidths>
TileFns choose(int width, std::integer_sequence<int, kWidths...>) {
  constexpr int kLeast = kLeft + kRight ? 4 : 1;
  TileFns f{};
  const auto offer = [&]<class TileOfWidth>(int w, TileOfWidth) {
    if (w == width) f = {TileOfWidth::conv, TileOfWidth::weight};
  };
  (offer(kWidths + kLeast, Tile<kWidths + kLeast, kLeft, kRight>()), ...);
  return f;
}
inline TileFns tile_fns(const Cut& cut, int t) {
  const int width = cut.tile_begin(t + 1) - cut.tile_begin(t);
  const auto any = std::make_integer_sequence<int, 8>();         // widths 1 .. 8
  const auto neighbours = std::make_integer_sequence<int, 5>();  // widths 4 .. 8
  const bool first = t == 0, last = t + 1 == cut.tiles;
  if (first && last) return choose<0, 0>(width, any);
  if (first) return choose<0, kPad>(width, neighbours);
  if (last) return choose<kPad, 0>(width, neighbours);
  return choose<kPad, kPad>(width, neighbours);
}

// The tiles of a panel, with what they must know.
struct PanelTiles {
  struct {
    TileFns fns;
    int in, out;  // first column within packed rows and results, in floats
  } tile[kPanelTiles];
  int count;
  PanelTiles(const Cut& cut, const Panel& panel) : count(panel.tile1 - panel.tile0) {
    for (int i = 0; i < count; ++i) {
      const int x = cut.tile_begin(panel.tile0 + i);
      tile[i] = {tile_fns(cut, panel.tile0 + i), (x - panel.in_x0) * kLanes, (x - panel.x0) * kLanes};
    }
  }
  auto begin() const { return tile; }
  auto end() const { return tile + count; }
};

// Whether the last vector of channels may leave half of itself idle, so that two images can share it (see pack_filter).
template <class Part>
constexpr bool kMayShare = kWide&& std::is_same_v<Part, First>;

// Rows [begin, end) of one panel of one image, or of two in the halves of the vectors; in and out point at the channel.
template <class T, class Part>
HWY_INLINE void conv_image(Part part, const T* in, const float* filter, T* out, bool add, int C, const Cut& cut,
                           const Panel& panel, const PanelTiles& tiles, int begin, int end) {
  alignas(64) float packed[kInPixels * kLanes];
  alignas(64) float result[kOutPixels * kLanes];
  const int band = panel.band_rows(cut.H), pitch = panel.columns() * kLanes;
  Rows rows(part, in, cut, panel, C, std::min(cut.H, band + 2 * kPad), packed);
  for (int y0 = begin; y0 < end; y0 += band) {
    const int y1 = std::min(end, y0 + band);
    rows.need(y0, y1);
    for (const auto& t : tiles)
      t.fns.conv({rows.at(), filter, result + t.out, cut.H, y0, y1, rows.first(), t.in, pitch});
    for (int y = y0; y < y1; ++y)
      unpack_row(part, result + (y - y0) * pitch, C, panel.x0, panel.x1, add, out + std::int64_t(y) * cut.W * C);
  }
}
template <class T>
void conv(const ConvArgs<T>& a, const Cut& cut, const Panel& panel, int begin, int end) {
  const std::int64_t image = std::int64_t(cut.H) * cut.W * a.C;
  const PanelTiles tiles(cut, panel);
  for_vectors(D(), a.C, [&](auto part, std::int64_t c) HWY_ATTR {
    const float* filter = a.filter + c / kDepthwiseBlock * kDepthwiseBlockFloats + c % kDepthwiseBlock;
    if constexpr (kMayShare<decltype(part)>)
      if (part.n <= kLanes / 2 && a.images == 2)
        return conv_image(Two{part.n, image}, a.in + c, filter, a.out + c, a.add, a.C, cut, panel, tiles, begin, end);
    for (int n = 0; n < a.images; ++n)
      conv_image(part, a.in + n * image + c, filter, a.out + n * image + c, a.add, a.C, cut, panel, tiles, begin, end);
  });
}

HWY_INLINE void add_to(V v, float* p) { hn::StoreU(hn::Add(v, hn::LoadU(D(), p)), D(), p); }
HWY_INLINE V sum_of(const float* packed, int pixels) {
  const D d;
  V even = hn::Zero(d), odd = hn::Zero(d);
  for (int i = 0; i + 1 < pixels; i += 2) {
    even = hn::Add(even, hn::Load(d, packed + i * kLanes));
    odd = hn::Add(odd, hn::Load(d, packed + (i + 1) * kLanes));
  }
  return pixels % 2 ? hn::Add(hn::Add(even, odd), hn::Load(d, packed + (pixels - 1) * kLanes)) : hn::Add(even, odd);
}

// `count` images `stride` elements apart (or pairs of them, in the halves of the vectors); x and dy point at the
// channel. Images so small that several fit are packed together, so that the sums stay in registers.
template <class T, class Part>
HWY_INLINE void weight_images(Part part, const T* x, const T* dy, std::int64_t count, std::int64_t stride,
                              const Cut& cut, int C, float* sums) {
  alignas(64) float xs[kInPixels * kLanes];
  alignas(64) float dys[kOutPixels * kLanes];
  const std::int64_t row = std::int64_t(cut.W) * C;
  for (int p = 0; p < cut.panels; ++p) {
    const Panel panel(cut, p);
    const PanelTiles tiles(cut, panel);
    const int band = panel.band_rows(cut.H), dy_pitch = panel.columns() * kLanes;
    const std::int64_t together = cut.panels == 1 && band == cut.H ? std::max(1, kOutPixels / (cut.H * cut.W)) : 1;
    for (std::int64_t n0 = 0; n0 < count; n0 += together) {
      const int images = int(std::min(together, count - n0));
      const T *xn = x + n0 * stride, *dyn = dy + n0 * stride;
      Rows rows(part, xn, cut, panel, C, std::min(cut.H, band + 2 * kPad), xs);
      const int x_image = cut.H * rows.pitch(), dy_image = cut.H * dy_pitch;
      for (int y0 = 0; y0 < cut.H; y0 += band) {
        const int y1 = std::min(cut.H, y0 + band);
        rows.need(y0, y1);
        for (int y = y0; y < y1; ++y) pack_row(part, dyn + y * row, C, panel.x0, panel.x1, dys + (y - y0) * dy_pitch);
        for (int n = 1; n < images; ++n)
          for (int y = 0; y < cut.H; ++y) {
            pack_row(part, xn + n * stride + y * row, C, 0, cut.W, xs + n * x_image + y * rows.pitch());
            pack_row(part, dyn + n * stride + y * row, C, 0, cut.W, dys + n * dy_image + y * dy_pitch);
          }
        add_to(sum_of(dys, images * (y1 - y0) * panel.columns()), sums + kTaps * kTaps * kDepthwiseBlock);
        for (const auto& t : tiles)
          t.fns.weight(
              {rows.at(), dys + t.out, sums, images, cut.H, y0, y1, rows.first(), t.in, dy_pitch, x_image, dy_image});
      }
    }
  }
}
// Channels [c0, c0 + 16) of one piece.
template <class T>
void weight(const WeightArgs<T>& a, const Cut& cut, int c0) {
  const D d;
  const std::int64_t image = std::int64_t(cut.H) * cut.W * a.C;
  for_vectors(d, std::min(a.C - c0, kDepthwiseBlock), [&](auto part, std::int64_t i) HWY_ATTR {
    const T *x = a.x + c0 + i, *dy = a.dy + c0 + i;
    float* sums = a.sums + c0 / kDepthwiseBlock * kDepthwiseBlockFloats + i;
    for (int k = 0; k <= kTaps * kTaps; ++k) hn::StoreU(hn::Zero(d), d, sums + k * kDepthwiseBlock);
    std::int64_t shared = 0;
    if constexpr (kMayShare<decltype(part)>)
      if (part.n <= kLanes / 2) {
        shared = a.images / 2 * 2;
        weight_images(Two{part.n, image}, x, dy, shared / 2, 2 * image, cut, a.C, sums);
      }
    weight_images(part, x + shared * image, dy + shared * image, a.images - shared, image, cut, a.C, sums);
    for (int k = 0; shared && k <= kTaps * kTaps; ++k, sums += kDepthwiseBlock)
      add_to(hn::ConcatUpperUpper(d, hn::Zero(d), hn::LoadU(d, sums)), sums);
  });
}

void conv_f32(const ConvArgs<float>& a, const Cut& cut, const Panel& p, int begin, int end) {
  conv(a, cut, p, begin, end);
}
void conv_bf16(const ConvArgs<bf16>& a, const Cut& cut, const Panel& p, int begin, int end) {
  conv(a, cut, p, begin, end);
}
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
  BF_CHECK(len == std::int64_t(C) * kTaps * kTaps, "depthwise_conv: the filter has ", len, " elements, expected 49 x ",
           C);
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
  BF_CHECK(a.dy.len == n && a.dx.len == n, "depthwise_conv: dy has ", a.dy.len, ", dx ", a.dx.len,
           " elements, expected ", n);
  check_filter(a.f.len, a.C);
  check_workspace(a.workspace.len, depthwise_conv_filter_workspace(a.C));
}
template <class T>
void check(const DepthwiseConvBwdWeight<T>& a) {
  const auto n = check_shape(a);
  BF_CHECK(a.dy.len == n && a.x.len == n, "depthwise_conv: dy has ", a.dy.len, ", x ", a.x.len, " elements, expected ",
           n);
  if (a.df_mode != GradMode::skip) check_filter(a.df.len, a.C);
  BF_CHECK(a.db_mode == GradMode::skip || a.db.len == a.C, "depthwise_conv: db of ", a.db.len, " for C=", a.C);
  check_workspace(a.workspace.len, depthwise_conv_weight_workspace(a.N, a.H, a.W, a.C));
}
template void check(const DepthwiseConvFwd<float>&);
template void check(const DepthwiseConvFwd<bf16>&);
template void check(const DepthwiseConvBwdData<float>&);
template void check(const DepthwiseConvBwdData<bf16>&);
template void check(const DepthwiseConvBwdWeight<float>&);
template void check(const DepthwiseConvBwdWeight<bf16>&);

namespace cpu {
namespace {

// [C][49] -> [blocks][50][16], the last row of a block its bias. `flip` turns the filter by 180 degrees. A last block
// of at most 8 channels is repeated in its upper half, for a second image.
void pack_filter(Span<const float> f, Span<const float> b, int C, bool flip, Span<float> out) {
  constexpr int k = kTaps * kTaps, kHalf = kDepthwiseBlock / 2;
  for (int l = 0; l < ceil_div(C, kDepthwiseBlock) * kDepthwiseBlock; ++l) {
    float* block = out.ptr + l / kDepthwiseBlock * kDepthwiseBlockFloats + l % kDepthwiseBlock;
    const int tail = C - l / kDepthwiseBlock * kDepthwiseBlock;
    const int c = tail <= kHalf && l % kDepthwiseBlock >= kHalf ? l - kHalf : l;
    for (int i = 0; i < k; ++i)
      block[i * kDepthwiseBlock] = c < C ? f.ptr[std::int64_t(c) * k + (flip ? k - 1 - i : i)] : 0.0f;
    block[k * kDepthwiseBlock] = c < C && b ? b.ptr[c] : 0.0f;
  }
}

// One work item is a panel of two images; where there are few of them, of some of their rows.
template <class T>
void convolve(const T* in, const float* filter, T* out, bool add, std::int64_t N, int H, int W, int C) {
  const Cut cut{H, W};
  const std::int64_t image = std::int64_t(H) * W * C, sets = ceil_div<std::int64_t>(N, 2) * cut.panels;
  const int strips =
      sets >= 16 ? 1 : int(std::min<std::int64_t>(ceil_div(H, 14), 16 / std::max<std::int64_t>(1, sets)));
  parallel_for(sets * strips, [&](std::int64_t item) {
    const int strip = int(item % strips), panel = int(item / strips % cut.panels);
    const std::int64_t n = item / strips / cut.panels * 2;
    const ConvArgs<T> a{in + n * image, filter, out + n * image, int(std::min<std::int64_t>(2, N - n)), C, add};
    const int begin = strip * H / strips, end = (strip + 1) * H / strips;
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(conv_f32)(a, cut, Panel(cut, panel), begin, end);
    else
      HWY_DYNAMIC_DISPATCH(conv_bf16)(a, cut, Panel(cut, panel), begin, end);
  });
}

void write_grad(float& out, float v, GradMode mode) {
  if (mode == GradMode::add)
    out += v;
  else if (mode == GradMode::write)
    out = v;
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
    const WeightArgs<T> w{a.dy.ptr + n0 * image, a.x.ptr + n0 * image, a.workspace.ptr + p * piece_floats, n1 - n0,
                          a.C};
    const int c0 = int(i % blocks) * kDepthwiseBlock;
    if constexpr (std::is_same_v<T, float>)
      HWY_DYNAMIC_DISPATCH(weight_f32)(w, cut, c0);
    else
      HWY_DYNAMIC_DISPATCH(weight_bf16)(w, cut, c0);
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
