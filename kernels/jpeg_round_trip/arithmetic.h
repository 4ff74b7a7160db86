// kernels/jpeg_round_trip/arithmetic.h — the integers of the JPEG round trip, for every backend: colours, the 8-point
// transforms, quantisation, chroma halved and doubled, and where the planes lie.
#pragma once
#include "engine/base.h"

namespace bonafide::kernels::jpeg {

// A plane of samples whose sides are padded to multiples of 8.
struct Plane {
  int height = 0, width = 0;
  BF_HD constexpr int stride() const { return ceil_div(width, 8) * 8; }
  BF_HD constexpr int rows() const { return ceil_div(height, 8) * 8; }
  BF_HD constexpr std::int64_t size() const { return std::int64_t(rows()) * stride(); }
  BF_HD constexpr std::int64_t blocks() const { return size() / 64; }
};
BF_HD constexpr Plane luma_plane(int height, int width) { return {height, width}; }
BF_HD constexpr Plane chroma_plane(int height, int width) { return {ceil_div(height, 2), ceil_div(width, 2)}; }

BF_HD constexpr std::uint8_t byte(int v) { return std::uint8_t(v < 0 ? 0 : v > 255 ? 255 : v); }

// 16-bit fixed point of ITU-R BT.601's matrix (JFIF).
consteval int fixed(double v) { return int(v * 65536 + 0.5); }
BF_HD constexpr std::uint8_t luma(int R, int G, int B) {
  return std::uint8_t((fixed(0.299) * R + fixed(0.587) * G + fixed(0.114) * B + 32768) >> 16);
}
BF_HD constexpr std::uint8_t blue(int R, int G, int B) {
  return std::uint8_t((-fixed(0.168735892) * R - fixed(0.331264108) * G + 32768 * B + (128 << 16) + 32767) >> 16);
}
BF_HD constexpr std::uint8_t red(int R, int G, int B) {
  return std::uint8_t((32768 * R - fixed(0.418687589) * G - fixed(0.081312411) * B + (128 << 16) + 32767) >> 16);
}
BF_HD constexpr std::uint8_t to_r(int luma, int red) { return byte(luma + ((fixed(1.402) * (red - 128) + 32768) >> 16)); }
BF_HD constexpr std::uint8_t to_g(int luma, int blue, int red) {
  return byte(luma + ((-fixed(0.34414) * (blue - 128) - fixed(0.71414) * (red - 128) + 32768) >> 16));
}
BF_HD constexpr std::uint8_t to_b(int luma, int blue) { return byte(luma + ((fixed(1.772) * (blue - 128) + 32768) >> 16)); }

// Column x of a plane at half size: the mean of four; halves go down and up in turn.
BF_HD constexpr std::uint8_t halved(int a, int b, int c, int d, int x) {
  return std::uint8_t((a + b + c + d + 1 + (x & 1)) >> 2);
}
// Column x at full size from 3 * near + next rows, at x / 2 and at its neighbour on x's side (itself at the border): 3/4 of
// the nearer sample and 1/4 of the next, both ways, halves up and down in turn.
BF_HD constexpr std::uint8_t doubled(int near, int next, int x) {
  return std::uint8_t((3 * near + next + (x & 1 ? 7 : 8)) >> 4);
}

// One-dimensional transforms: sqrt(2) cos((2 n + 1) k pi / 16) in 13 bits, for frequencies 2 k (even) and 2 k + 1 (odd),
// n = 0..3; the other half of a row mirrors it. The factorisation of Loeffler, Ligtenberg and Moschytz (1989), with its
// twelve constants rounded to 13 bits, multiplies out to these integers: four of them are one off the rounded cosine, and
// keeping them so gives libjpeg's bits.
BF_HD inline int even_cosine(int k, int n) {
  static constexpr int c[4][4] = {
      {8192, 8192, 8192, 8192}, {10703, 4433, -4433, -10703}, {8192, -8192, -8192, 8192}, {4433, -10704, 10704, -4433}};
  return c[k][n];
}
BF_HD inline int odd_cosine(int k, int n) {
  static constexpr int c[4][4] = {
      {11363, 9633, 6437, 2260}, {9633, -2259, -11362, -6436}, {6437, -11362, 2261, 9633}, {2260, -6436, 9633, -11363}};
  return c[k][n];
}
struct Pair {
  int first, second;
};
// Frequencies 2 k and 2 k + 1 of x(0..7), k < 4; `shift` removes the constants' bits, rounding half up.
template <class X>
BF_HD inline Pair forward(int k, int shift, X&& x) {
  int even = 1 << (shift - 1), odd = even;
  for (int n = 0; n < 4; ++n) {
    even += even_cosine(k, n) * (x(n) + x(7 - n));
    odd += odd_cosine(k, n) * (x(n) - x(7 - n));
  }
  return {even >> shift, odd >> shift};
}
// Samples n and 7 - n of frequencies x(0..7), n < 4.
template <class X>
BF_HD inline Pair inverse(int n, int shift, X&& x) {
  int even = 1 << (shift - 1), odd = 0;
  for (int k = 0; k < 4; ++k) even += even_cosine(k, n) * x(2 * k), odd += odd_cosine(k, n) * x(2 * k + 1);
  return {(even + odd) >> shift, (even - odd) >> shift};
}
// Bits that the four passes remove: along rows (two fractional bits are kept), along columns, and back.
inline constexpr int kForwardRows = 11, kForwardColumns = 15, kInverseColumns = 11, kInverseRows = 18;

// Nearest multiple of q, halves away from zero; x carries the transform's factor 8. The f32 quotient truncates to the
// integer quotient: it is below 2^15, and the nearest fraction to an integer from below is further away than f32
// rounds.
BF_HD inline int quantised(int x, int q) {
  const int d = 8 * q, magnitude = x < 0 ? -x : x;
  const int level = int(float(magnitude + d / 2) / float(d));
  return (x < 0 ? -level : level) * q;
}

}  // namespace bonafide::kernels::jpeg
