// kernels/depthwise_conv/depthwise_conv.simt.h — depthwise 7x7, the bodies of its CUDA kernels.
//
// A lane is a channel, a warp a strip of 7 columns of one image, which it walks down with a window of 7 rows in registers:
// the 7 rows of the result that a row of the input adds to (forward, data gradient), or the 7 rows of dy that a row of x
// meets (weight gradient). So each row of the input is read once, 13 values for 343 multiply-adds. The window turns by the
// row modulo 7: seven rows are one period of the program, which makes all of it registers. For the same seven rows the
// block copies its part of the image to shared memory: up to 8 strips of one image, or all strips of several small ones.
#pragma once
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "kernels/simt/block.h"

namespace bonafide::kernels {

// Forward, and with the filter turned by 180 degrees and no bias the data gradient.
template <class T>
struct DepthwiseConvRows {
  Span<const T> in;
  Span<const float> f, b;  // b: none for the data gradient
  Span<T> out;
  bool turned = false, add = false;
  std::int64_t N = 0;
  int H = 0, W = 0, C = 0;
  DepthwiseCut cut;
};
template <class T>
struct DepthwiseConvWeightSums {
  Span<const T> dy, x;
  Span<float> partials;  // [splits, 50, C]: 49 taps and the bias
  std::int64_t N = 0, splits = 0;
  int H = 0, W = 0, C = 0;
  DepthwiseCut cut;
};
struct DepthwiseConvWeightEnd {
  Span<const float> partials;
  Span<float> df, db;
  GradMode df_mode = GradMode::write, db_mode = GradMode::write;
  std::int64_t splits = 0;
  int C = 0;
};

template <class T, class F>
void for_each_array(const DepthwiseConvRows<T>& a, F&& f) {
  f("in", a.in), f("f", a.f), f("b", a.b), f("out", a.out);
}
template <class T, class F>
void for_each_array(const DepthwiseConvWeightSums<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("partials", a.partials);
}
template <class F>
void for_each_array(const DepthwiseConvWeightEnd& a, F&& f) {
  f("partials", a.partials), f("df", a.df), f("db", a.db);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kDwTaps = kDepthwiseSize, kDwPad = kDwTaps / 2, kDwColumns = DepthwiseCut::kColumns;
inline constexpr int kDwChannels = DepthwiseCut::kChannels, kDwFilter = kDwTaps * kDwTaps, kDwSums = kDwFilter + 1;
inline constexpr int kDwThreads = kWarp * DepthwiseCut::kStrips;
static_assert(kDwChannels == kWarp && kDwColumns == kDwTaps);

// Columns of all images of a block, side by side with and without the padding, at most: a pitch that is known to the
// compiler costs no registers.
inline constexpr int kDwInPitch = DepthwiseCut::kStrips * (kDwColumns + kDwTaps - 1), kDwPitch = DepthwiseCut::kStrips * kDwColumns;

// Where a block is: unit `unit` of a cut.
struct DepthwisePlace {
  std::int64_t image;  // the first
  int images;          // that there are
  int y0, y1;          // rows of the result (weight gradient: of dy)
  int x;               // first column of the result

  template <class A>
  BF_DEVICE DepthwisePlace(const A& a, std::int64_t unit) {
    const DepthwiseCut& cut = a.cut;
    const int band = int(unit % cut.bands), tile = int(unit / cut.bands % cut.tiles);
    image = unit / cut.bands / cut.tiles * cut.images;
    images = a.N - image < cut.images ? int(a.N - image) : cut.images;
    y0 = band * cut.band_rows, y1 = y0 + cut.band_rows < a.H ? y0 + cut.band_rows : a.H;
    x = tile * cut.strips * kDwColumns;
  }
};

// Seven rows of a block's part of an array, in shared memory: [7][kPitch][32 channels], the columns of one image after
// those of the other; zero outside of the image. N: elements of an access to the array. kBurst: rows that are loaded
// together, before the first is stored.
template <class T, int N, int kPitch, int kBurst>
struct DepthwiseStage {
  static constexpr std::int64_t kElements = std::int64_t(kDwTaps) * kPitch * kDwChannels;
  static constexpr std::int64_t kBytes = kElements * std::int64_t(sizeof(T));
  Span<T> at;

  static BF_HD constexpr int offset(int row, int column) { return (row * kPitch + column) * kDwChannels; }

  // Rows [row0, row0 + 7) and `columns` columns from x0 on; rows outside of [row_begin, row_end) become 0.
  template <Block B, class A>
  BF_DEVICE void copy(B& block, Span<const T> from, const A& a, const DepthwisePlace& place, int row0, int row_begin,
                      int row_end, int x0, int columns) const {
    constexpr int kParts = kDwChannels / N;
    const int threads = block.dx() * block.dy(), c0 = block.by() * kDwChannels;
    for (int i = block.ty() * kWarp + block.tx(); i < a.cut.images * columns * kParts; i += threads) {
      const int c = i % kParts * N, to = i / kParts, x = x0 + to % columns, image = to / columns;
      const bool inside = c0 + c < a.C && x >= 0 && x < a.W && image < place.images;
      const std::int64_t line = std::int64_t(a.W) * a.C;
      const std::int64_t first = ((place.image + image) * a.H + row0) * line + std::int64_t(x) * a.C + c0 + c;
      BF_UNROLL
      for (int k0 = 0; k0 < kDwTaps; k0 += kBurst) {
        simt::Vector<T, N> v[kBurst];
        BF_UNROLL
        for (int k = 0; k < kBurst; ++k) {
          const int row = row0 + k0 + k;
          if (inside && k0 + k < kDwTaps && row >= row_begin && row < row_end)
            v[k] = block.template load_vector<N>(from, first + (k0 + k) * line);
          else
            for (int q = 0; q < N; ++q) v[k][q] = from_f32<T>(0.0f);
        }
        BF_UNROLL
        for (int k = 0; k < kBurst; ++k)
          if (k0 + k < kDwTaps) block.store_vector(at, offset(k0 + k, to) + c, v[k]);
      }
    }
  }
};

// N: elements of an access to x, 1 or as many as 16 bytes hold.
template <int N>
struct DepthwiseConvRowsKernel {
  static constexpr const char* kName = "depthwise_conv_rows";
  static constexpr int kMaxThreads = kDwThreads, kMinBlocks = 2;
  struct Filter;
  template <class T>
  using Stage = DepthwiseStage<T, N, kDwInPitch, 7>;
  template <class T>
  static LaunchShape shape(const DepthwiseConvRows<T>& a) {
    return {.grid = {a.cut.units(), a.cut.channel_blocks},
            .block = {kWarp, a.cut.strips * a.cut.images},
            .dynamic_shared_bytes = int(Stage<T>::kBytes)};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const DepthwiseConvRows<T>& a) {
    const Stage<T> rows{block.template dynamic_shared<T>(0, Stage<T>::kElements)};
    const DepthwisePlace place(a, block.bx());
    const int c = block.by() * kDwChannels + block.tx(), in_columns = a.cut.in_columns();

    // The filters of 32 channels lie together in memory; 49 is odd, so that the lanes read from 32 banks.
    const auto filters = block.template shared<Filter, float, kDwChannels * kDwFilter>();
    const std::int64_t first_tap = std::int64_t(block.by()) * kDwChannels * kDwFilter;
    for (int i = block.ty() * kWarp + block.tx(); i < kDwChannels * kDwFilter; i += block.dx() * block.dy())
      block.store(filters, i, first_tap + i < a.f.len ? block.load(a.f, first_tap + i) : 0.0f);
    const float bias = a.b.len > 0 && c < a.C ? block.load(a.b, c) : 0.0f;

    float sum[kDwTaps][kDwColumns];  // [row of the result modulo 7]
    BF_UNROLL
    for (int r = 0; r < kDwTaps; ++r) {
      BF_UNROLL
      for (int j = 0; j < kDwColumns; ++j) sum[r][j] = bias;
    }
    // The warp's own image and strip.
    const int image = block.ty() / a.cut.strips, strip = block.ty() % a.cut.strips, x = place.x + strip * kDwColumns;
    const int own = Stage<T>::offset(0, image * in_columns + strip * kDwColumns) + block.tx();
    const int stored = c < a.C && image < place.images ? a.W - x : 0;  // columns, if there are not more than 7
    const int in_end = place.y1 + kDwPad < a.H ? place.y1 + kDwPad : a.H;
    const std::int64_t out = ((place.image + image) * a.H * a.W + x) * a.C + c;  // of row 0

    BF_UNROLL_NOT
    for (int row0 = place.y0 - kDwPad; row0 < place.y1 + kDwPad; row0 += kDwTaps) {
      block.sync();  // the seven rows before have been read
      rows.copy(block, a.in, a, place, row0, 0, in_end, place.x - kDwPad, in_columns);
      block.sync();
      float w[kDwFilter];  // read anew, so that the copy has these registers
      BF_UNROLL
      for (int i = 0; i < kDwFilter; ++i)
        w[i] = block.load(filters, block.tx() * kDwFilter + (a.turned ? kDwFilter - 1 - i : i));
      BF_UNROLL
      for (int k = 0; k < kDwTaps; ++k) {
        const int row = row0 + k;
        if (row >= 0 && row < in_end) {
          BF_UNROLL
          for (int p = 0; p < kDwColumns + kDwTaps - 1; ++p) {
            const float in = to_f32(block.load(rows.at, own + Stage<T>::offset(k, p)));
            BF_UNROLL
            for (int i = 0; i < kDwTaps; ++i) {
              BF_UNROLL
              for (int j = 0; j < kDwColumns; ++j) {
                const int l = p - j;
                float& s = sum[(k - i + kDwTaps) % kDwTaps][j];
                if (l >= 0 && l < kDwTaps) s = in * w[i * kDwTaps + l] + s;
              }
            }
          }
        }
        // The row that saw its seventh input row is finished; its place is the next one's.
        float(&done)[kDwColumns] = sum[(k + 1) % kDwTaps];
        const int y = row - kDwPad;
        if (y >= place.y0 && y < place.y1) {
          std::int64_t to = out + std::int64_t(y) * a.W * a.C;
          BF_UNROLL
          for (int j = 0; j < kDwColumns; ++j, to += a.C)
            if (j < stored) block.store(a.out, to, from_f32<T>(a.add ? to_f32(block.load(a.out, to)) + done[j] : done[j]));
        }
        BF_UNROLL
        for (int j = 0; j < kDwColumns; ++j) done[j] = bias;
      }
    }
  }
};

// blockIdx.x: a split of the units, which it takes in order.
template <int N>
struct DepthwiseConvWeightKernel {
  static constexpr const char* kName = "depthwise_conv_weight";
  static constexpr int kMaxThreads = kDwThreads, kMinBlocks = 2;
  template <class T>
  using X = DepthwiseStage<T, N, kDwInPitch, 2>;
  template <class T>
  using Dy = DepthwiseStage<T, N, kDwPitch, 2>;
  template <class T>
  static LaunchShape shape(const DepthwiseConvWeightSums<T>& a) {
    const int warps = a.cut.strips * a.cut.images;
    const std::int64_t rows = X<T>::kBytes + Dy<T>::kBytes, sums = std::int64_t(warps) * kDwSums * kWarp * 4;
    return {.grid = {a.splits, a.cut.channel_blocks},
            .block = {kWarp, warps},
            .dynamic_shared_bytes = int(rows > sums ? rows : sums)};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const DepthwiseConvWeightSums<T>& a) {
    const X<T> x{block.template dynamic_shared<T>(0, X<T>::kElements)};
    const Dy<T> dy{block.template dynamic_shared<T>(X<T>::kBytes, Dy<T>::kElements)};
    const int columns = a.cut.strips * kDwColumns, in_columns = a.cut.in_columns();
    const int image = block.ty() / a.cut.strips, strip = block.ty() % a.cut.strips;
    const int own_x = X<T>::offset(0, image * in_columns + strip * kDwColumns) + block.tx();
    const int own_dy = Dy<T>::offset(0, image * columns + strip * kDwColumns) + block.tx();

    float sum[kDwTaps][kDwTaps], sum_dy = 0;
    BF_UNROLL
    for (int i = 0; i < kDwTaps; ++i) {
      BF_UNROLL
      for (int l = 0; l < kDwTaps; ++l) sum[i][l] = 0;
    }
    const std::int64_t units = a.cut.units(), split = block.bx();
    for (std::int64_t unit = split * units / a.splits; unit < (split + 1) * units / a.splits; ++unit) {
      const DepthwisePlace place(a, unit);
      const int in_end = place.y1 + kDwPad < a.H ? place.y1 + kDwPad : a.H;
      float g[kDwTaps][kDwColumns];  // [row of dy modulo 7], 0 outside of the band
      BF_UNROLL
      for (int r = 0; r < kDwTaps; ++r) {
        BF_UNROLL
        for (int j = 0; j < kDwColumns; ++j) g[r][j] = 0;
      }
      BF_UNROLL_NOT
      for (int row0 = place.y0 - kDwPad; row0 < place.y1 + kDwPad; row0 += kDwTaps) {
        block.sync();  // the seven rows before have been read
        x.copy(block, a.x, a, place, row0, 0, in_end, place.x - kDwPad, in_columns);
        dy.copy(block, a.dy, a, place, row0 + kDwPad, place.y0, place.y1, place.x, columns);
        block.sync();
        BF_UNROLL
        for (int k = 0; k < kDwTaps; ++k) {
          BF_UNROLL
          for (int j = 0; j < kDwColumns; ++j) {
            g[k][j] = to_f32(block.load(dy.at, own_dy + Dy<T>::offset(k, j)));
            sum_dy += g[k][j];
          }
          const int row = row0 + k;
          if (row >= 0 && row < in_end) {
            BF_UNROLL
            for (int p = 0; p < kDwColumns + kDwTaps - 1; ++p) {
              const float in = to_f32(block.load(x.at, own_x + X<T>::offset(k, p)));
              BF_UNROLL
              for (int i = 0; i < kDwTaps; ++i) {
                BF_UNROLL
                for (int j = 0; j < kDwColumns; ++j) {
                  const int l = p - j;
                  if (l >= 0 && l < kDwTaps) sum[i][l] = in * g[(k - i + kDwTaps) % kDwTaps][j] + sum[i][l];
                }
              }
            }
          }
        }
      }
    }

    const int warps = block.dy();
    const auto sums = block.template dynamic_shared<float>(0, std::int64_t(warps) * kDwSums * kWarp);  // [warps, 50, 32]
    block.sync();
    BF_UNROLL
    for (int i = 0; i < kDwFilter; ++i)
      block.store(sums, (block.ty() * kDwSums + i) * kWarp + block.tx(), sum[i / kDwTaps][i % kDwTaps]);
    block.store(sums, (block.ty() * kDwSums + kDwFilter) * kWarp + block.tx(), sum_dy);
    block.sync();
    const int c = block.by() * kDwChannels + block.tx();
    if (c < a.C)
      for (int i = block.ty(); i < kDwSums; i += warps) {
        float total = 0;
        for (int w = 0; w < warps; ++w) total += block.load(sums, (w * kDwSums + i) * kWarp + block.tx());
        block.store(a.partials, (split * kDwSums + i) * a.C + c, total);
      }
  }
};

// A lane per channel, blockIdx.y a tap; warps take turns with the splits, then the warps in order.
struct DepthwiseConvWeightEndKernel {
  static constexpr const char* kName = "depthwise_conv_weight_end";
  static constexpr int kWarps = 8, kMaxThreads = kWarp * kWarps;
  struct Tile;
  static LaunchShape shape(const DepthwiseConvWeightEnd& a) {
    return {.grid = {ceil_div(a.C, kWarp), kDwSums}, .block = {kWarp, kWarps}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const DepthwiseConvWeightEnd& a) {
    const int tap = block.by(), c = block.bx() * kWarp + block.tx();
    float own = 0;
    if (c < a.C)
      for (std::int64_t s = block.ty(); s < a.splits; s += kWarps) own += block.load(a.partials, (s * kDwSums + tap) * a.C + c);
    const auto tile = block.template shared<Tile, float, kWarps * kWarp>();
    block.store(tile, block.ty() * kWarp + block.tx(), own);
    block.sync();
    if (block.ty() == 0 && c < a.C) {
      float sum = 0;
      for (int w = 0; w < kWarps; ++w) sum += block.load(tile, w * kWarp + block.tx());
      const bool bias = tap == kDwFilter;
      const GradMode mode = bias ? a.db_mode : a.df_mode;
      const Span<float> gradient = bias ? a.db : a.df;
      const std::int64_t at = bias ? c : std::int64_t(c) * kDwFilter + tap;
      if (mode != GradMode::skip)
        block.store(gradient, at, mode == GradMode::add ? block.load(gradient, at) + sum : sum);
    }
  }
};

// Launches Kernel<N> for 16 bytes an access where the arrays allow it, else Kernel<1>: the results are the same.
template <template <int> class Kernel, class T, class Launch, class A, class... Arrays>
void launch_depthwise(Launch&& launch, const A& a, const Arrays&... arrays) {
  if (a.C % kWidest<T> == 0 && (simt::aligned<kWidest<T>>(arrays) && ...))
    launch(Kernel<kWidest<T>>(), a);
  else
    launch(Kernel<1>(), a);
}

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch, class T>
void depthwise_conv_fwd(Launch&& launch, const DepthwiseConvFwd<T>& a) {
  check(a);
  const DepthwiseConvRows<T> rows{.in = a.x, .f = a.f, .b = a.b, .out = a.y, .N = a.N, .H = a.H, .W = a.W, .C = a.C,
                                  .cut = depthwise_conv_cut(a.N, a.H, a.W, a.C)};
  launch_depthwise<DepthwiseConvRowsKernel, T>(launch, rows, a.x);
}
template <class Launch, class T>
void depthwise_conv_bwd_data(Launch&& launch, const DepthwiseConvBwdData<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const DepthwiseConvRows<T> rows{.in = a.dy, .f = a.f, .out = a.dx, .turned = true, .add = a.dx_mode == GradMode::add,
                                  .N = a.N, .H = a.H, .W = a.W, .C = a.C,
                                  .cut = depthwise_conv_cut(a.N, a.H, a.W, a.C)};
  launch_depthwise<DepthwiseConvRowsKernel, T>(launch, rows, a.dy);
}
template <class Launch, class T>
void depthwise_conv_bwd_weight(Launch&& launch, const DepthwiseConvBwdWeight<T>& a) {
  check(a);
  if (a.df_mode == GradMode::skip && a.db_mode == GradMode::skip) return;
  const std::int64_t splits = depthwise_conv_splits(a.N, a.H, a.W, a.C);
  const auto partials = a.workspace.slice(0, splits * kDwSums * a.C);
  const DepthwiseConvWeightSums<T> sums{.dy = a.dy, .x = a.x, .partials = partials, .N = a.N, .splits = splits, .H = a.H,
                                        .W = a.W, .C = a.C, .cut = depthwise_conv_cut(a.N, a.H, a.W, a.C)};
  launch_depthwise<DepthwiseConvWeightKernel, T>(launch, sums, a.dy, a.x);
  launch(DepthwiseConvWeightEndKernel(),
         DepthwiseConvWeightEnd{partials, a.df, a.db, a.df_mode, a.db_mode, splits, a.C});
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
