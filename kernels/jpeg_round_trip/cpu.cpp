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

// sqrt(2) cos((2 n + 1) k pi / 16) in 13 bits, for frequencies k = 0 2 4 6 (even) and 1 3 5 7 (odd), n = 0..3; the
// other half of a row mirrors it. The factorisation of Loeffler, Ligtenberg and Moschytz (1989), with its twelve
// constants rounded to 13 bits, multiplies out to these integers: four of them are one off the rounded cosine, and
// keeping them so gives libjpeg's bits.
constexpr int kEven[4][4] = {
    {8192, 8192, 8192, 8192}, {10703, 4433, -4433, -10703}, {8192, -8192, -8192, 8192}, {4433, -10704, 10704, -4433}};
constexpr int kOdd[4][4] = {
    {11363, 9633, 6437, 2260}, {9633, -2259, -11362, -6436}, {6437, -11362, 2261, 9633}, {2260, -6436, 9633, -11363}};

using Block = std::int32_t[8][8];

// One-dimensional transforms of the eight columns at once; `shift` removes the constants' bits, rounding half up.
void forward(Block& x, int shift) {
  const int half = 1 << (shift - 1);
  Block y;
  for (int k = 0; k < 4; ++k)
#pragma omp simd
    for (int c = 0; c < 8; ++c) {
      int even = half, odd = half;
      for (int n = 0; n < 4; ++n) {
        even += kEven[k][n] * (x[n][c] + x[7 - n][c]);
        odd += kOdd[k][n] * (x[n][c] - x[7 - n][c]);
      }
      y[2 * k][c] = even >> shift, y[2 * k + 1][c] = odd >> shift;
    }
  std::copy_n(&y[0][0], 64, &x[0][0]);
}
void inverse(Block& x, int shift) {
  const int half = 1 << (shift - 1);
  Block y;
  for (int n = 0; n < 4; ++n)
#pragma omp simd
    for (int c = 0; c < 8; ++c) {
      int even = half, odd = 0;
      for (int k = 0; k < 4; ++k) even += kEven[k][n] * x[2 * k][c], odd += kOdd[k][n] * x[2 * k + 1][c];
      y[n][c] = (even + odd) >> shift, y[7 - n][c] = (even - odd) >> shift;
    }
  std::copy_n(&y[0][0], 64, &x[0][0]);
}
void transpose(Block& x) {
  for (int i = 0; i < 8; ++i)
    for (int j = i + 1; j < 8; ++j) std::swap(x[i][j], x[j][i]);
}

// Nearest multiple of q, halves away from zero; x carries the transform's factor 8. The f32 quotient truncates to the
// integer quotient: it is below 2^15, and the nearest fraction to an integer from below is further away than f32
// rounds.
void quantise(Block& x, const QuantTable& table) {
  for (int v = 0; v < 8; ++v)
#pragma omp simd
    for (int u = 0; u < 8; ++u) {
      const int q = table[std::size_t(8 * v + u)], d = 8 * q, magnitude = x[v][u] < 0 ? -x[v][u] : x[v][u];
      const int level = int(float(magnitude + d / 2) / float(d));
      x[v][u] = (x[v][u] < 0 ? -level : level) * q;
    }
}

// A plane of samples whose sides are multiples of 8; what lies beyond the image repeats its border.
struct Plane {
  int height, width, stride;
  std::vector<std::uint8_t> samples;
  Plane(int h, int w)
      : height(h),
        width(w),
        stride(ceil_div(w, 8) * 8),
        samples(std::size_t(stride) * std::size_t(ceil_div(h, 8) * 8)) {}
  std::uint8_t* row(int y) { return samples.data() + std::ptrdiff_t(y) * stride; }
  const std::uint8_t* row(int y) const { return samples.data() + std::ptrdiff_t(y) * stride; }
  int rows() const { return ceil_div(height, 8) * 8; }
};

void round_trip(Plane& plane, const QuantTable& table) {
  for (int y = 0; y < plane.rows(); y += 8)
    for (int x = 0; x < plane.stride; x += 8) {
      Block b;
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) b[j][i] = plane.row(y + i)[x + j] - 128;
      forward(b, 11);  // along rows, two fractional bits kept
      transpose(b);
      forward(b, 15);
      quantise(b, table);
      inverse(b, 11);
      transpose(b);
      inverse(b, 18);
      for (int i = 0; i < 8; ++i)
        for (int j = 0; j < 8; ++j) plane.row(y + i)[x + j] = std::uint8_t(std::clamp(b[j][i] + 128, 0, 255));
    }
}

// 16-bit fixed point of ITU-R BT.601's matrix (JFIF).
consteval int fixed(double v) { return int(v * 65536 + 0.5); }

}  // namespace

void jpeg_round_trip(const JpegRoundTrip& a) {
  check(a);
  const int H = a.height, W = a.width, h = ceil_div(H, 2), w = ceil_div(W, 2);
  if (H == 0 || W == 0) return;
  Plane luma(H, W), blue(h, w), red(h, w);

  // To YCbCr; chroma of full width in two row buffers, which repeat the last column as far as the plane's blocks reach.
  const int wide = 2 * blue.stride;
  std::vector<std::uint8_t> full(std::size_t(4 * wide));
  std::uint8_t *cb[2] = {full.data(), full.data() + wide}, *cr[2] = {full.data() + 2 * wide, full.data() + 3 * wide};
  for (int y = 0; y < 2 * h; ++y) {
    const int source = std::min(y, H - 1);
    const std::uint8_t* p = a.image.ptr + 3LL * W * source;
    std::uint8_t *l = luma.row(source), *b = cb[y % 2], *r = cr[y % 2];
#pragma omp simd
    for (int x = 0; x < W; ++x) {
      const int R = p[3 * x], G = p[3 * x + 1], B = p[3 * x + 2];
      l[x] = std::uint8_t((fixed(0.299) * R + fixed(0.587) * G + fixed(0.114) * B + 32768) >> 16);
      b[x] = std::uint8_t((-fixed(0.168735892) * R - fixed(0.331264108) * G + 32768 * B + (128 << 16) + 32767) >> 16);
      r[x] = std::uint8_t((32768 * R - fixed(0.418687589) * G - fixed(0.081312411) * B + (128 << 16) + 32767) >> 16);
    }
    std::fill(l + W, l + luma.stride, l[W - 1]);
    std::fill(b + W, b + wide, b[W - 1]);
    std::fill(r + W, r + wide, r[W - 1]);
    if (y % 2 == 0) continue;
    std::uint8_t *db = blue.row(y / 2), *dr = red.row(y / 2);
#pragma omp simd
    for (int x = 0; x < blue.stride; ++x) {  // mean of four; halves go down and up in turn
      const int bias = 1 + (x & 1);
      db[x] = std::uint8_t((cb[0][2 * x] + cb[0][2 * x + 1] + cb[1][2 * x] + cb[1][2 * x + 1] + bias) >> 2);
      dr[x] = std::uint8_t((cr[0][2 * x] + cr[0][2 * x + 1] + cr[1][2 * x] + cr[1][2 * x + 1] + bias) >> 2);
    }
  }
  for (Plane* plane : {&luma, &blue, &red})
    for (int y = plane->height; y < plane->rows(); ++y)
      std::copy_n(plane->row(plane->height - 1), plane->stride, plane->row(y));

  round_trip(luma, jpeg_luma_table(a.quality));
  const QuantTable chroma = jpeg_chroma_table(a.quality);
  round_trip(blue, chroma);
  round_trip(red, chroma);

  // Chroma back to full size: 3/4 of the nearer sample and 1/4 of the next, both ways, halves up and down in turn.
  // Images of up to two chroma columns are doubled plainly, as libjpeg does.
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
    out[0] = std::uint8_t((4 * s[0] + 8) >> 4);
    out[2 * w - 1] = std::uint8_t((4 * s[w - 1] + 7) >> 4);
#pragma omp simd
    for (int x = 0; x < w - 1; ++x) {
      out[2 * x + 1] = std::uint8_t((3 * s[x] + s[x + 1] + 7) >> 4);
      out[2 * x + 2] = std::uint8_t((3 * s[x + 1] + s[x] + 8) >> 4);
    }
  };
  for (int y = 0; y < H; ++y) {
    doubled(blue, y, cb[0]);
    doubled(red, y, cr[0]);
    const std::uint8_t *l = luma.row(y), *b = cb[0], *r = cr[0];
    std::uint8_t* p = a.image.ptr + 3LL * W * y;
    const auto byte = [](int v) { return std::uint8_t(v < 0 ? 0 : v > 255 ? 255 : v); };
#pragma omp simd
    for (int x = 0; x < W; ++x) {
      const int B = b[x] - 128, R = r[x] - 128;
      p[3 * x] = byte(l[x] + ((fixed(1.402) * R + 32768) >> 16));
      p[3 * x + 1] = byte(l[x] + ((-fixed(0.34414) * B - fixed(0.71414) * R + 32768) >> 16));
      p[3 * x + 2] = byte(l[x] + ((fixed(1.772) * B + 32768) >> 16));
    }
  }
}

}  // namespace cpu
}  // namespace bonafide::kernels
