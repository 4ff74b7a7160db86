// data/faces/align.cpp — see align.h; free of OpenCV.
#include "data/faces/align.h"

#include <cmath>

namespace bonafide {

FaceTemplate arcface_template(int size) {
  constexpr double kPoints[5][2] = {
      {38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}};
  const bool plain = size > 0 && size % 112 == 0;
  if (!plain && (size <= 0 || size % 128 != 0))
    throw Error(str("ArcFace's template is made for multiples of 112 or 128, not for ", size));
  const double ratio = double(size) / (plain ? 112 : 128), right = plain ? 0 : 8 * ratio;
  FaceTemplate t;
  for (std::size_t i = 0; i < t.size(); ++i) t[i] = {float(kPoints[i][0] * ratio + right), float(kPoints[i][1] * ratio)};
  return t;
}

FaceTemplate agfas_template(int size) {
  constexpr double kPoints[5][2] = {{0.3489, 0.2848}, {0.6614, 0.2848}, {0.4996, 0.4963}, {0.3784, 0.7222}, {0.6215, 0.7217}};
  if (size <= 0) throw Error(str("a template of size ", size));
  FaceTemplate t;
  for (std::size_t i = 0; i < t.size(); ++i) t[i] = {float(kPoints[i][0] * size), float(kPoints[i][1] * size)};
  return t;
}

Image warp(const Image& photo, const Similarity& to_output, int height, int width) {
  BF_CHECK(height > 0 && width > 0, "an output of ", height, " x ", width);
  const Similarity back = to_output.inverse();
  Image out(height, width);
  const auto pixel = [&](int y, int x, int c) {
    return y >= 0 && y < photo.height && x >= 0 && x < photo.width ? double(photo.at(y, x)[c]) : 0.0;
  };
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const auto [sx, sy] = back.apply(x, y);
      if (!(sx > -1 && sx < photo.width && sy > -1 && sy < photo.height)) continue;  // also where int could not hold it
      const int x0 = int(std::floor(sx)), y0 = int(std::floor(sy));
      const double right = sx - x0, down = sy - y0;
      for (int c = 0; c < 3; ++c) {
        const double above = (1 - right) * pixel(y0, x0, c) + right * pixel(y0, x0 + 1, c),
                     below = (1 - right) * pixel(y0 + 1, x0, c) + right * pixel(y0 + 1, x0 + 1, c);
        out.at(y, x)[c] = std::uint8_t((1 - down) * above + down * below + 0.5);
      }
    }
  return out;
}

Image align_face(const Image& photo, std::span<const Point> landmarks, const FaceTemplate& where, int size) {
  return warp(photo, fit_similarity(landmarks, where), size, size);
}

}  // namespace bonafide
