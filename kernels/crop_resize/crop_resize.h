// kernels/crop_resize/crop_resize.h — a rectangle of an 8-bit RGB image, resized bilinearly.
//
// Output pixel i of n lies at (i + 1/2) * size / n - 1/2 of the rectangle (pixel centres at halves, no antialiasing,
// the border repeated). Weights are integers of 11 bits, w1 = round(2048 * fraction), w0 = 2048 - w1; then
//   row(x) = (w0 * a + w1 * b) >> 4                              along x, 15 bits
//   out    = ((w0 * row0 >> 16) + (w1 * row1 >> 16) + 2) >> 2    along y
// which is OpenCV's INTER_LINEAR for 8-bit images (tests/images compares the bits). Nothing outside the rectangle is
// read. Pure integers once the taps are made, and the taps take one correctly rounded division each: the same bits
// everywhere.
#pragma once
#include <cmath>

#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

struct Rect {
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // pixels, x2 and y2 exclusive
  constexpr int width() const { return x2 - x1; }
  constexpr int height() const { return y2 - y1; }
  friend bool operator==(const Rect&, const Rect&) = default;
};

struct CropResize {
  Span<const std::uint8_t> image;  // rows of `width` RGB pixels, `stride` bytes apart
  int height = 0, width = 0;
  std::int64_t stride = 0;  // 0: dense, 3 * width
  Rect crop;
  Span<std::uint8_t> out;  // [out_height, out_width, 3]
  int out_height = 0, out_width = 0;
};

// Output pixel = (2048 - weight) / 2048 of input pixel `from` and weight / 2048 of input pixel `to`.
struct ResizeTap {
  std::int32_t from = 0, to = 0, weight = 0;
};
BF_HD inline ResizeTap resize_tap(int size, int out_size, int i) {
  // One division of two exact integers, then exact steps: no compiler may change a bit. float as in OpenCV.
  const float at = float(double((2LL * i + 1) * size - out_size) / double(2LL * out_size)), whole = floorf(at);
  const int from = int(whole), last = size - 1;
  return {from < 0 ? 0 : from < last ? from : last, from + 1 < last ? from + 1 : last, std::int32_t(lrintf((at - whole) * 2048))};
}
BF_HD constexpr std::int16_t blend_along_x(int a, int b, int weight) {
  return std::int16_t((a * 2048 + (b - a) * weight) >> 4);
}
BF_HD constexpr std::uint8_t blend_along_y(int a, int b, int weight) {
  return std::uint8_t((((2048 - weight) * a >> 16) + (weight * b >> 16) + 2) >> 2);
}
void resize_taps(int size, int out_size, Span<ResizeTap> taps);  // taps: [out_size]

// Every pixel of the rectangle is read at most once, every output pixel written once.
constexpr Cost crop_resize_cost(const Rect& crop, int out_height, int out_width) {
  const double in = 3.0 * crop.width() * crop.height(), out = 3.0 * out_height * out_width;
  return {in, out, 3 * (3.0 * out_width * (crop.height() < 2 * out_height ? crop.height() : 2 * out_height)) + 5 * out};
}

void check(const CropResize&);

BF_PASS_PLAIN(crop_resize, CropResize);

}  // namespace bonafide::kernels
