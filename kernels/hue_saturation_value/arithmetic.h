// kernels/hue_saturation_value/arithmetic.h — the integers of the conversions and the three shifts, for every backend.
#pragma once
#include <cmath>

#include "engine/base.h"

namespace bonafide::kernels::hsv {

// round(numerator * 2^12 / (denominator * i)), 0 for i = 0.
BF_HD constexpr std::int32_t reciprocal(int numerator, int denominator, int i) {
  const int n = numerator << 12, d = denominator * i;
  return i == 0 ? 0 : (2 * n + d) / (2 * d);
}
BF_HD constexpr std::int32_t saturation_reciprocal(int v) { return reciprocal(255, 1, v); }
BF_HD constexpr std::int32_t hue_reciprocal(int range) { return reciprocal(180, 6, range); }

// How far a channel falls from V towards V (1 - S) at hue h, in thirtieths: red is full around h = 0, green around 60,
// blue around 120.
inline constexpr int kRedFull = 0, kGreenFull = 60, kBlueFull = 120;
BF_HD constexpr int fall(int full_at, int h) {
  const int turn = (h - full_at + 180) % 180, distance = turn < 90 ? turn : 180 - turn;
  return distance <= 30 ? 0 : distance >= 60 ? 30 : distance - 30;
}

// The conversions on plain integers and without branches; the reciprocals come from tables: hue(range), saturation(v).
struct Ints {
  int h, s, v;
};
template <class Hue, class Saturation>
BF_HD inline Ints forward(int r, int g, int b, Hue&& hue, Saturation&& saturation) {
  const auto rounded = [](int v) { return (v + (1 << 11)) >> 12; };
  const int rg = r > g ? r : g, v = rg > b ? rg : b, least_rg = r < g ? r : g,
            range = v - (least_rg < b ? least_rg : b);
  const int from_green = b - r + 2 * range, from_blue = r - g + 4 * range;  // in units of range, 6 to the circle
  const int h = rounded((v == r ? g - b : v == g ? from_green : from_blue) * hue(range));
  return {h < 0 ? h + 180 : h, rounded(range * saturation(v)), v};
}
BF_HD inline std::uint8_t back(int s, int v, int fall) { return std::uint8_t(v * (255 * 30 - s * fall) / (255 * 30)); }

// Hue h (below 180), and saturation or value v, after a shift: one rounded f32 operation, or two that cannot be fused.
BF_HD inline std::uint8_t shifted_hue(int h, float shift) {
  float m = fmodf(float(h) + shift, 180.0f);
  if (m < 0) m += 180;
  return m >= 180 ? std::uint8_t(0) : std::uint8_t(m);  // a tiny negative rounds to 180
}
BF_HD inline std::uint8_t clipped(int v, float shift) {
  const float sum = float(v) + shift;
  return std::uint8_t(sum < 0 ? 0.0f : sum > 255 ? 255.0f : sum);
}

}  // namespace bonafide::kernels::hsv
