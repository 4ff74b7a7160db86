// kernels/jpeg_round_trip/cpu.cpp — the JPEG round trip on the CPU, plane by plane.
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"

#include <algorithm>
#include <vector>

namespace bonafide::kernels {

void check(const JpegRoundTrip& a) {
  BF_CHECK(a.height >= 0 && a.width >= 0 && a.image.size() == 3LL * a.height * a.width,
           "jpeg_round_trip: ", a.image.size(), " bytes for an image of ", a.height, " x ", a.width, " x 3");
  BF_CHECK(a.quality >= 1 && a.quality <= 100, "jpeg_round_trip: quality ", a.quality, " is not in 1..100");
}
void check_workspace(const JpegRoundTrip& a) {
  const std::int64_t bytes = jpeg_round_trip_workspace(a.height, a.width);
  BF_CHECK(a.workspace.size() >= bytes, "jpeg_round_trip: workspace of ", a.workspace.size(), " bytes, expected ", bytes);
  BF_CHECK(reinterpret_cast<std::uintptr_t>(a.workspace.ptr) % 8 == 0, "jpeg_round_trip: the workspace begins at no multiple of 8");
}

namespace {

constexpr QuantTable kLuma = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,  //
                              14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,  //
                              18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,  //
                              49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr QuantTable kChroma = {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,  //
                                24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,  //
                                99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,  //
                                99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

QuantTable scaled(const QuantTable& base, int quality) {
  const int percent = quality < 50 ? 5000 / quality : 200 - 2 * quality;
  QuantTable t;
  for (std::size_t i = 0; i < 64; ++i) t[i] = std::clamp((base[i] * percent + 50) / 100, 1, 255);
  return t;
}

}  // namespace

QuantTable jpeg_luma_table(int quality) { return scaled(kLuma, quality); }
QuantTable jpeg_chroma_table(int quality) { return scaled(kChroma, quality); }

namespace cpu {
namespace {

using Block = std::int32_t[8][8];

// One-dimensional transforms of the eight columns at once.
void forward(Block& x, int shift) {
  Block y;
  for (int k = 0; k < 4; ++k)
#pragma omp simd
    for (int c = 0; c < 8; ++c) {
      const auto f = jpeg::forward(k, shift, [&](int n) { return x[n][c]; });
      y[2 * k][c] = f.first, y[2 * k + 1][c] = f.second;
    }
  std::copy_n(&y[0][0], 64, &x[0][0]);
}
void inverse(Block& x, int shift) {
  Block y;
  for (int n = 0; n < 4; ++n)
#pragma omp simd
    for (int c = 0; c < 8; ++c) {
      const auto s = jpeg::inverse(n, shift, [&](int k) { return x[k][c]; });
      y[n][c] = s.first, y[7 - n][c] = s.second;
    }
  std::copy_n(&y[0][0], 64, &x[0][0]);
}
void transpose(Block& x) {
  for (int i = 0; i < 8; ++i)
    for (int j = i + 1; j < 8; ++j) std::swap(x[i][j], x[j][i]);
}

void quantise(Block& x, const QuantTable& table) {
  for (int v = 0; v < 8; ++v)
#pragma omp simd
    for (int u = 0; u < 8; ++u) x[v][u] = jpeg::quantised(x[v][u], table[std::size_t(8 * v + u)]);
}

// What lies beyond the image repeats its border.
struct Plane : jpeg::Plane {
  int step;  // stride(), which is not worked out for every row
  std::vector<std::uint8_t> samples;
  explicit Plane(jpeg::Plane p) : jpeg::Plane(p), step(p.stride()), samples(std::size_t(p.size())) {}
  std::uint8_t* row(int y) { return samples.data() + std::ptrdiff_t(y) * step; }
  const std::uint8_t* row(int y) const { return samples.data() + std::ptrdiff_t(y) * step; }
};

void round_trip(Plane& plane, const QuantTable& table) {
  for (int y = 0; y < plane.rows(); y += 8)
    for (int x = 0; x < plane.stride(); x += 8) {
      Block b;
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) b[j][i] = plane.row(y + i)[x + j] - 128;
      forward(b, jpeg::kForwardRows);
      transpose(b);
      forward(b, jpeg::kForwardColumns);
      quantise(b, table);
      inverse(b, jpeg::kInverseColumns);
      transpose(b);
      inverse(b, jpeg::kInverseRows);
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) plane.row(y + i)[x + j] = jpeg::byte(b[j][i] + 128);
    }
}

}  // namespace

void jpeg_round_trip(const JpegRoundTrip& a) {
  check(a);
  const int H = a.height, W = a.width;
  if (H == 0 || W == 0) return;
  Plane luma(jpeg::luma_plane(H, W)), blue(jpeg::chroma_plane(H, W)), red(jpeg::chroma_plane(H, W));
  const int h = blue.height, w = blue.width;

  // To YCbCr; chroma of full width in two row buffers, which repeat the last column as far as the plane's blocks reach.
  const int wide = 2 * blue.stride();
  std::vector<std::uint8_t> full(std::size_t(4 * wide));
  std::uint8_t *cb[2] = {full.data(), full.data() + wide}, *cr[2] = {full.data() + 2 * wide, full.data() + 3 * wide};
  for (int y = 0; y < 2 * h; ++y) {
    const int source = std::min(y, H - 1);
    const std::uint8_t* p = a.image.ptr + 3LL * W * source;
    std::uint8_t *l = luma.row(source), *b = cb[y % 2], *r = cr[y % 2];
#pragma omp simd
    for (int x = 0; x < W; ++x) {
      const int R = p[3 * x], G = p[3 * x + 1], B = p[3 * x + 2];
      l[x] = jpeg::luma(R, G, B), b[x] = jpeg::blue(R, G, B), r[x] = jpeg::red(R, G, B);
    }
    std::fill(l + W, l + luma.stride(), l[W - 1]);
    std::fill(b + W, b + wide, b[W - 1]);
    std::fill(r + W, r + wide, r[W - 1]);
    if (y % 2 == 0) continue;
    std::uint8_t *db = blue.row(y / 2), *dr = red.row(y / 2);
#pragma omp simd
    for (int x = 0; x < blue.stride(); ++x) {
      db[x] = jpeg::halved(cb[0][2 * x], cb[0][2 * x + 1], cb[1][2 * x], cb[1][2 * x + 1], x);
      dr[x] = jpeg::halved(cr[0][2 * x], cr[0][2 * x + 1], cr[1][2 * x], cr[1][2 * x + 1], x);
    }
  }
  for (Plane* plane : {&luma, &blue, &red})
    for (int y = plane->height; y < plane->rows(); ++y)
      std::copy_n(plane->row(plane->height - 1), plane->stride(), plane->row(y));

  round_trip(luma, jpeg_luma_table(a.quality));
  const QuantTable chroma = jpeg_chroma_table(a.quality);
  round_trip(blue, chroma);
  round_trip(red, chroma);

  // Chroma back to full size. Images of up to two chroma columns are doubled plainly, as libjpeg does.
  std::vector<int> sums(static_cast<std::size_t>(w));
  const auto doubled = [&](const Plane& plane, int y, std::uint8_t* out) {
    const std::uint8_t* near = plane.row(y / 2);
    const std::uint8_t* next = plane.row(std::clamp(y % 2 ? y / 2 + 1 : y / 2 - 1, 0, h - 1));
    if (w <= 2) {
      for (int x = 0; x < w; ++x) out[2 * x] = out[2 * x + 1] = near[x];
      return;
    }
    int* s = sums.data();
#pragma omp simd
    for (int x = 0; x < w; ++x) s[x] = 3 * near[x] + next[x];
    out[0] = jpeg::doubled(s[0], s[0], 0);
    out[2 * w - 1] = jpeg::doubled(s[w - 1], s[w - 1], 1);
#pragma omp simd
    for (int x = 0; x < w - 1; ++x) {
      out[2 * x + 1] = jpeg::doubled(s[x], s[x + 1], 1);
      out[2 * x + 2] = jpeg::doubled(s[x + 1], s[x], 0);
    }
  };
  for (int y = 0; y < H; ++y) {
    doubled(blue, y, cb[0]);
    doubled(red, y, cr[0]);
    const std::uint8_t *l = luma.row(y), *b = cb[0], *r = cr[0];
    std::uint8_t* p = a.image.ptr + 3LL * W * y;
#pragma omp simd
    for (int x = 0; x < W; ++x) {
      p[3 * x] = jpeg::to_r(l[x], r[x]);
      p[3 * x + 1] = jpeg::to_g(l[x], b[x], r[x]);
      p[3 * x + 2] = jpeg::to_b(l[x], b[x]);
    }
  }
}

}  // namespace cpu
}  // namespace bonafide::kernels
