// data/faces/triangle_resize.cpp
#include "data/faces/triangle_resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace bonafide {
namespace {

constexpr int kBits = 22;  // 8 of a value, 2 for sums beyond 255, 32 in all

struct Taps {  // of one value: pixels [first, first + weights.size())
  int first = 0;
  std::vector<std::int32_t> weights;
};

std::vector<Taps> taps(int in, int out) {
  const double scale = double(in) / out, reach = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<std::size_t>(out));
  for (int i = 0; i < out; ++i) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, int(centre - reach + 0.5)), last = std::min(in, int(centre + reach + 0.5));
    std::vector<double> w;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      w.push_back(std::max(0.0, 1 - std::abs((x - centre + 0.5) / reach)));
      sum += w.back();
    }
    Taps& t = all[std::size_t(i)];
    t.first = first;
    for (const double v : w) t.weights.push_back(std::int32_t(v / sum * (1 << kBits) + 0.5));
  }
  return all;
}

std::uint8_t rounded(std::int32_t sum) { return std::uint8_t(std::clamp(sum >> kBits, 0, 255)); }

Image columns(const Image& image, int width) {
  const std::vector<Taps> all = taps(image.width, width);
  Image out = Image::uninitialized(image.height, width);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x) {
      const Taps& t = all[std::size_t(x)];
      std::int32_t sum[3] = {1 << (kBits - 1), 1 << (kBits - 1), 1 << (kBits - 1)};
      const std::uint8_t* p = image.at(y, t.first);
      for (const std::int32_t w : t.weights)
        for (int c = 0; c < 3; ++c) sum[c] += w * *p++;
      for (int c = 0; c < 3; ++c) out.at(y, x)[c] = rounded(sum[c]);
    }
  return out;
}

Image rows(const Image& image, int height) {
  const std::vector<Taps> all = taps(image.height, height);
  Image out = Image::uninitialized(height, image.width);
  const std::size_t line = std::size_t(image.width) * 3;
  std::vector<std::int32_t> sums(line);
  for (int y = 0; y < height; ++y) {
    const Taps& t = all[std::size_t(y)];
    std::fill(sums.begin(), sums.end(), 1 << (kBits - 1));
    for (std::size_t k = 0; k < t.weights.size(); ++k) {
      const std::uint8_t* p = image.at(t.first + int(k), 0);
      for (std::size_t i = 0; i < line; ++i) sums[i] += t.weights[k] * p[i];
    }
    std::transform(sums.begin(), sums.end(), out.at(y, 0), rounded);
  }
  return out;
}

}  // namespace

Image triangle_resize(const Image& image, int height, int width) {
  BF_CHECK(!image.empty() && height > 0 && width > 0, "resizing ", image.height, " x ", image.width, " to ", height, " x ", width);
  const Image wide = image.width == width ? image : columns(image, width);
  return wide.height == height ? wide : rows(wide, height);
}

}  // namespace bonafide
