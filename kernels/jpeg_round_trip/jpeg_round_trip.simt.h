// kernels/jpeg_round_trip/jpeg_round_trip.simt.h — the JPEG round trip, the bodies of its CUDA kernels: to planes, a thread
// per sample; blocks of 8 x 8 there and back, eight threads each; to pixels, a thread each.
#pragma once
#include "kernels/jpeg_round_trip/arithmetic.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "kernels/simt/block.h"

namespace bonafide::kernels {
namespace simt_bodies {
using namespace simt;

// The workspace holds luma, blue and red, one behind the other.
struct JpegArgs {
  JpegRoundTrip round_trip;
  jpeg::Plane luma, chroma;
  QuantTable luma_table, chroma_table;
};
template <class F>
void for_each_array(const JpegArgs& args, F&& f) {
  f("image", args.round_trip.image), f("workspace", args.round_trip.workspace);
}

inline constexpr int kJpegThreads = 256;
inline LaunchShape jpeg_shape(std::int64_t threads) {
  return {.grid = {ceil_div<std::int64_t>(threads, kJpegThreads)}, .block = {kJpegThreads}};
}
template <Block B>
BF_DEVICE std::int64_t jpeg_thread(B& block) {
  return std::int64_t(block.bx()) * kJpegThreads + block.tx();
}
BF_DEVICE int at_most(int v, int limit) { return v < limit ? v : limit; }

// What lies beyond the image repeats its border; rows of chroma repeat halved ones, columns are halved repeated ones.
struct JpegPlanesKernel {
  static constexpr const char* kName = "jpeg_planes";
  static constexpr int kMaxThreads = kJpegThreads;
  static LaunchShape shape(const JpegArgs& args) { return jpeg_shape(args.luma.size() + args.chroma.size()); }
  template <Block B>
  BF_DEVICE static void run(B& block, const JpegArgs& args) {
    const JpegRoundTrip& a = args.round_trip;
    struct Pixel {
      int r, g, b;
    };
    const auto pixel = [&](int y, int x) {
      const std::int64_t at = 3 * (std::int64_t(at_most(y, a.height - 1)) * a.width + at_most(x, a.width - 1));
      return Pixel{block.load(a.image, at), block.load(a.image, at + 1), block.load(a.image, at + 2)};
    };
    const std::int64_t luma = jpeg_thread(block), chroma = luma - args.luma.size();
    if (chroma < 0) {
      const Pixel p = pixel(int(luma / args.luma.stride()), int(luma % args.luma.stride()));
      block.store(a.workspace, luma, jpeg::luma(p.r, p.g, p.b));
    } else if (chroma < args.chroma.size()) {
      const int y = at_most(int(chroma / args.chroma.stride()), args.chroma.height - 1), x = int(chroma % args.chroma.stride());
      const Pixel p = pixel(2 * y, 2 * x), q = pixel(2 * y, 2 * x + 1), r = pixel(2 * y + 1, 2 * x), s = pixel(2 * y + 1, 2 * x + 1);
      const auto halved = [&](auto f) { return jpeg::halved(f(p), f(q), f(r), f(s), x); };
      const auto blue = [](const Pixel& v) { return jpeg::blue(v.r, v.g, v.b); };
      const auto red = [](const Pixel& v) { return jpeg::red(v.r, v.g, v.b); };
      block.store(a.workspace, luma, halved(blue));
      block.store(a.workspace, luma + args.chroma.size(), halved(red));
    }
  }
};

// Thread i of a block's eight transforms its row i, then column i both ways, then row i back.
struct JpegBlocksKernel {
  static constexpr const char* kName = "jpeg_blocks";
  static constexpr int kMaxThreads = kJpegThreads, kBlocks = kJpegThreads / 8;
  static constexpr int kStep = 9, kTile = 8 * kStep;  // ints from one column of a tile to the next: no bank conflicts
  struct Tiles;
  static LaunchShape shape(const JpegArgs& args) { return jpeg_shape(8 * (args.luma.blocks() + 2 * args.chroma.blocks())); }
  template <Block B>
  BF_DEVICE static void run(B& block, const JpegArgs& args) {
    const Span<std::uint8_t> planes = args.round_trip.workspace;
    const auto tiles = block.template shared<Tiles, std::int32_t, kBlocks * kTile>();  // [block, column, row]
    const int i = block.tx() % 8, tile = block.tx() / 8 * kTile;
    const std::int64_t luma_blocks = args.luma.blocks(), chroma_blocks = args.chroma.blocks(), number = jpeg_thread(block) / 8;
    const bool active = number < luma_blocks + 2 * chroma_blocks, is_luma = number < luma_blocks;

    // Planes lie one behind the other and hold 64 samples a block, so that a plane begins at 64 times its first block.
    const std::int64_t first = is_luma ? 0 : number < luma_blocks + chroma_blocks ? luma_blocks : luma_blocks + chroma_blocks;
    const int stride = is_luma ? args.luma.stride() : args.chroma.stride(), across = stride / 8;
    const std::int64_t own_row = 64 * first + ((number - first) / across * 8 + i) * stride + (number - first) % across * 8;

    int x[8];
    if (active) {
      const auto row = block.template load_vector<8>(planes, own_row);
      for (int n = 0; n < 8; ++n) x[n] = row[n] - 128;
      for (int k = 0; k < 4; ++k) {
        const auto f = jpeg::forward(k, jpeg::kForwardRows, [&](int n) { return x[n]; });
        block.store(tiles, tile + 2 * k * kStep + i, f.first);
        block.store(tiles, tile + (2 * k + 1) * kStep + i, f.second);
      }
    }
    block.sync();
    if (active) {
      for (int n = 0; n < 8; ++n) x[n] = block.load(tiles, tile + i * kStep + n);
      int y[8];
      for (int k = 0; k < 4; ++k) {
        const auto f = jpeg::forward(k, jpeg::kForwardColumns, [&](int n) { return x[n]; });
        y[2 * k] = f.first, y[2 * k + 1] = f.second;
      }
      const QuantTable& table = is_luma ? args.luma_table : args.chroma_table;
      for (int k = 0; k < 8; ++k) y[k] = jpeg::quantised(y[k], table[std::size_t(8 * k + i)]);
      for (int n = 0; n < 4; ++n) {
        const auto s = jpeg::inverse(n, jpeg::kInverseColumns, [&](int k) { return y[k]; });
        block.store(tiles, tile + i * kStep + n, s.first);
        block.store(tiles, tile + i * kStep + 7 - n, s.second);
      }
    }
    block.sync();
    if (active) {
      for (int k = 0; k < 8; ++k) x[k] = block.load(tiles, tile + k * kStep + i);
      Vector<std::uint8_t, 8> row;
      for (int n = 0; n < 4; ++n) {
        const auto s = jpeg::inverse(n, jpeg::kInverseRows, [&](int k) { return x[k]; });
        row[n] = jpeg::byte(s.first + 128), row[7 - n] = jpeg::byte(s.second + 128);
      }
      block.store_vector(planes, own_row, row);
    }
  }
};

struct JpegPixelsKernel {
  static constexpr const char* kName = "jpeg_pixels";
  static constexpr int kMaxThreads = kJpegThreads;
  static LaunchShape shape(const JpegArgs& args) { return jpeg_shape(std::int64_t(args.luma.height) * args.luma.width); }
  template <Block B>
  BF_DEVICE static void run(B& block, const JpegArgs& args) {
    const JpegRoundTrip& a = args.round_trip;
    const std::int64_t thread = jpeg_thread(block);
    if (thread >= std::int64_t(a.height) * a.width) return;
    const int y = int(thread / a.width), x = int(thread % a.width), h = args.chroma.height, w = args.chroma.width;
    // The nearer sample and the next one, both ways, as far as there is one.
    const auto next = [](int i, int n) { return i % 2 ? at_most(i / 2 + 1, n - 1) : i < 2 ? 0 : i / 2 - 1; };
    const int stride = args.chroma.stride(), near_row = y / 2 * stride, next_row = next(y, h) * stride, near = x / 2;
    const auto chroma = [&](std::int64_t plane) -> int {
      const auto sample = [&](int row, int column) { return int(block.load(a.workspace, plane + row + column)); };
      if (w <= 2) return sample(near_row, near);  // as libjpeg does
      const auto rows = [&](int column) { return 3 * sample(near_row, column) + sample(next_row, column); };
      return jpeg::doubled(rows(near), rows(next(x, w)), x);
    };
    const int luma = block.load(a.workspace, std::int64_t(y) * args.luma.stride() + x);
    const int blue = chroma(args.luma.size()), red = chroma(args.luma.size() + args.chroma.size());
    block.store(a.image, 3 * thread, jpeg::to_r(luma, red));
    block.store(a.image, 3 * thread + 1, jpeg::to_g(luma, blue, red));
    block.store(a.image, 3 * thread + 2, jpeg::to_b(luma, blue));
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <class Launch>
void jpeg_round_trip(Launch&& launch, const JpegRoundTrip& a) {
  check(a);
  if (a.height == 0 || a.width == 0) return;
  check_workspace(a);
  const JpegArgs args{a, jpeg::luma_plane(a.height, a.width), jpeg::chroma_plane(a.height, a.width),
                      jpeg_luma_table(a.quality), jpeg_chroma_table(a.quality)};
  launch(JpegPlanesKernel(), args);
  launch(JpegBlocksKernel(), args);
  launch(JpegPixelsKernel(), args);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
