// kernels/hue_saturation_value/cpu.cpp — hue, saturation and value on the CPU.
#include "kernels/hue_saturation_value/hue_saturation_value.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace bonafide::kernels {

void check(const HueSaturationValue& a) {
  BF_CHECK(a.image.size() % 3 == 0, "hue_saturation_value: ", a.image.size(), " bytes are not RGB pixels");
  BF_CHECK(std::isfinite(a.hue) && std::isfinite(a.saturation) && std::isfinite(a.value),
           "hue_saturation_value: shifts ", a.hue, ", ", a.saturation, ", ", a.value);
}

namespace {

using IntTable = std::array<std::int32_t, 256>;  // 32 bits an entry, so that a loop over pixels can gather

// round(numerator * 2^12 / (denominator * i)), 0 for i = 0.
constexpr IntTable reciprocals(int numerator, int denominator) {
  IntTable t{};
  for (int i = 1; i < 256; ++i) {
    const int n = numerator << 12, d = denominator * i;
    t[std::size_t(i)] = (2 * n + d) / (2 * d);
  }
  return t;
}
constexpr IntTable kSaturation = reciprocals(255, 1), kHue = reciprocals(180, 6);

// How far each channel falls from V towards V (1 - S) at hue h, in thirtieths: red is full around h = 0, green around
// 60, blue around 120.
constexpr IntTable falls(int full_at) {
  IntTable t{};
  for (int h = 0; h < 180; ++h) {
    const int turn = (h - full_at + 180) % 180, distance = turn < 90 ? turn : 180 - turn;
    t[std::size_t(h)] = distance <= 30 ? 0 : distance >= 60 ? 30 : distance - 30;
  }
  return t;
}
constexpr IntTable kRedFall = falls(0), kGreenFall = falls(60), kBlueFall = falls(120);

// The two conversions on plain integers and without branches: the loop over pixels is vectorised.
struct HsvInts {
  int h, s, v;
};
inline HsvInts forward(int r, int g, int b) {
  const auto rounded = [](int v) { return (v + (1 << 11)) >> 12; };
  const int rg = r > g ? r : g, v = rg > b ? rg : b, least_rg = r < g ? r : g,
            range = v - (least_rg < b ? least_rg : b);
  const int from_green = b - r + 2 * range, from_blue = r - g + 4 * range;  // in units of range, 6 to the circle
  const int h = rounded((v == r ? g - b : v == g ? from_green : from_blue) * kHue[std::size_t(range)]);
  return {h < 0 ? h + 180 : h, rounded(range * kSaturation[std::size_t(v)]), v};
}
inline std::uint8_t back(int s, int v, int fall) { return std::uint8_t(v * (255 * 30 - s * fall) / (255 * 30)); }

}  // namespace

Hsv rgb_to_hsv(Rgb p) {
  const HsvInts c = forward(p.r, p.g, p.b);
  return {std::uint8_t(c.h), std::uint8_t(c.s), std::uint8_t(c.v)};
}

Rgb hsv_to_rgb(Hsv c) {
  return {back(c.s, c.v, kRedFall[c.h]), back(c.s, c.v, kGreenFall[c.h]), back(c.s, c.v, kBlueFall[c.h])};
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
namespace {

template <int kRed>  // where red lies in a pixel, or is taken to
void shift(const HueSaturationValue& a) {
  IntTable saturation, value, red, green, blue;  // the last three: hue before the shift -> fall of the channel after it
  const ByteTable hue = hue_table(a.hue), clipped_s = clipped_table(a.saturation), clipped_v = clipped_table(a.value);
  for (std::size_t i = 0; i < 256; ++i) {
    saturation[i] = clipped_s[i], value[i] = clipped_v[i];
    red[i] = kRedFall[hue[i]], green[i] = kGreenFall[hue[i]], blue[i] = kBlueFall[hue[i]];
  }
  std::uint8_t* p = a.image.ptr;
  const std::int64_t pixels = a.image.size() / 3;
#pragma omp simd
  for (std::int64_t i = 0; i < pixels; ++i) {
    const HsvInts c = forward(p[3 * i + kRed], p[3 * i + 1], p[3 * i + 2 - kRed]);
    const int s = saturation[std::size_t(c.s)], v = value[std::size_t(c.v)];
    p[3 * i + kRed] = back(s, v, red[std::size_t(c.h)]);
    p[3 * i + 1] = back(s, v, green[std::size_t(c.h)]);
    p[3 * i + 2 - kRed] = back(s, v, blue[std::size_t(c.h)]);
  }
}

}  // namespace

void hue_saturation_value(const HueSaturationValue& a) {
  check(a);
  a.order == ColorOrder::rgb ? shift<0>(a) : shift<2>(a);
}

}  // namespace cpu
}  // namespace bonafide::kernels
