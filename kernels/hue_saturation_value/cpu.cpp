// kernels/hue_saturation_value/cpu.cpp — hue, saturation and value on the CPU.
#include "kernels/hue_saturation_value/hue_saturation_value.h"

#include <array>
#include <cmath>

#include "kernels/hue_saturation_value/arithmetic.h"

namespace bonafide::kernels {

void check(const HueSaturationValue& a) {
  BF_CHECK(a.image.size() % 3 == 0, "hue_saturation_value: ", a.image.size(), " bytes are not RGB pixels");
  BF_CHECK(std::isfinite(a.hue) && std::isfinite(a.saturation) && std::isfinite(a.value),
           "hue_saturation_value: shifts ", a.hue, ", ", a.saturation, ", ", a.value);
}

namespace {

using IntTable = std::array<std::int32_t, 256>;  // 32 bits an entry, so that a loop over pixels can gather

template <class F>
constexpr IntTable table_of(int n, F&& f) {
  IntTable t{};
  for (int i = 0; i < n; ++i) t[std::size_t(i)] = f(i);
  return t;
}
constexpr IntTable kSaturation = table_of(256, hsv::saturation_reciprocal), kHue = table_of(256, hsv::hue_reciprocal);
constexpr IntTable falls(int full_at) {
  return table_of(180, [=](int h) { return hsv::fall(full_at, h); });
}
constexpr IntTable kRedFall = falls(hsv::kRedFull), kGreenFall = falls(hsv::kGreenFull), kBlueFall = falls(hsv::kBlueFull);

inline hsv::Ints forward(int r, int g, int b) {
  return hsv::forward(
      r, g, b, [](int range) { return kHue[std::size_t(range)]; }, [](int v) { return kSaturation[std::size_t(v)]; });
}
using hsv::back;

}  // namespace

Hsv rgb_to_hsv(Rgb p) {
  const hsv::Ints c = forward(p.r, p.g, p.b);
  return {std::uint8_t(c.h), std::uint8_t(c.s), std::uint8_t(c.v)};
}

Rgb hsv_to_rgb(Hsv c) {
  return {back(c.s, c.v, kRedFall[c.h]), back(c.s, c.v, kGreenFall[c.h]), back(c.s, c.v, kBlueFall[c.h])};
}

ByteTable hue_table(float shift) {
  ByteTable t{};
  for (int h = 0; h < 180; ++h) t[std::size_t(h)] = hsv::shifted_hue(h, shift);
  return t;
}

ByteTable clipped_table(float shift) {
  ByteTable t;
  for (int v = 0; v < 256; ++v) t[std::size_t(v)] = hsv::clipped(v, shift);
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
    const hsv::Ints c = forward(p[3 * i + kRed], p[3 * i + 1], p[3 * i + 2 - kRed]);
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
