// kernels/hue_saturation_value/cpu.cpp — hue, saturation and value on the CPU.
#include "kernels/hue_saturation_value/hue_saturation_value.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace bonafide::kernels {

void check(const HueSaturationValue& a) {
  BF_CHECK(a.image.size() % 3 == 0, "hue_saturation_value: ", a.image.size(), " bytes are not RGB pixels");
  BF_CHECK(std::isfinite(a.hue) && std::isfinite(a.saturation) && std::isfinite(a.value),
           "hue_saturation_value: shifts ", a.hue, ", ", a.saturation, ", ", a.value);
}

namespace {

// round(scale * 2^12 / i), 0 for i = 0.
constexpr std::array<int, 256> reciprocals(int scale_numerator, int scale_denominator) {
  std::array<int, 256> t{};
  for (int i = 1; i < 256; ++i) {
    const int n = scale_numerator << 12, d = scale_denominator * i;
    t[std::size_t(i)] = (2 * n + d) / (2 * d);
  }
  return t;
}
constexpr auto kSaturation = reciprocals(255, 1), kHue = reciprocals(180, 6);
constexpr int rounded(int v) { return (v + (1 << 11)) >> 12; }

}  // namespace

Hsv rgb_to_hsv(Rgb p) {
  const int r = p.r, g = p.g, b = p.b;
  const int v = std::max({r, g, b}), range = v - std::min({r, g, b});
  const int turn = v == r   ? g - b
                   : v == g ? b - r + 2 * range
                            : r - g + 4 * range;  // in units of range, 6 to the circle
  const int h = rounded(turn * kHue[std::size_t(range)]);
  return {std::uint8_t(h < 0 ? h + 180 : h), std::uint8_t(rounded(range * kSaturation[std::size_t(v)])),
          std::uint8_t(v)};
}

Rgb hsv_to_rgb(Hsv c) {
  const int sector = c.h / 30, f = c.h % 30, s = c.s, v = c.v;
  const auto part = [&](int share) { return std::uint8_t(v * (255 * 30 - s * share) / (255 * 30)); };
  const std::uint8_t full = c.v, least = part(30), falling = part(f), rising = part(30 - f);
  switch (sector) {
    case 0:
      return {full, rising, least};
    case 1:
      return {falling, full, least};
    case 2:
      return {least, full, rising};
    case 3:
      return {least, falling, full};
    case 4:
      return {rising, least, full};
    default:
      return {full, least, falling};
  }
}

ByteTable hue_table(float shift) {
  ByteTable t{};
  for (int h = 0; h < 180; ++h) {
    float m = std::fmod(float(h) + shift, 180.0f);
    if (m < 0) m += 180;
    t[std::size_t(h)] = m >= 180 ? 0 : std::uint8_t(m);  // a tiny negative rounds to 180
  }
  return t;
}

ByteTable clipped_table(float shift) {
  ByteTable t;
  for (int v = 0; v < 256; ++v) t[std::size_t(v)] = std::uint8_t(std::clamp(float(v) + shift, 0.0f, 255.0f));
  return t;
}

namespace cpu {

void hue_saturation_value(const HueSaturationValue& a) {
  check(a);
  const ByteTable hue = hue_table(a.hue), saturation = clipped_table(a.saturation), value = clipped_table(a.value);
  const int red = a.order == ColorOrder::rgb ? 0 : 2, blue = 2 - red;
  for (std::uint8_t* p = a.image.begin(); p != a.image.end(); p += 3) {
    const Hsv c = rgb_to_hsv({p[red], p[1], p[blue]});
    const Rgb o = hsv_to_rgb({hue[c.h], saturation[c.s], value[c.v]});
    p[red] = o.r, p[1] = o.g, p[blue] = o.b;
  }
}

}  // namespace cpu
}  // namespace bonafide::kernels
