// kernels/hue_saturation_value/hue_saturation_value.h — shift hue, saturation and value of an 8-bit image, in place.
//
// RGB -> HSV of 8 bits (hue in steps of two degrees, 0..179) -> shift -> RGB:
//   h = trunc(mod(h + hue, 180))    s = trunc(clip(s + saturation, 0, 255))    v likewise
// with float shifts. Forward: V = max, S = 255 (max - min) / V, H by the sector of the largest channel, divisions as
// products with reciprocals of 12 fractional bits: OpenCV's cvtColor, bit for bit. Back: the exact quotients,
// truncated, as OpenCV's vector code does with float quotients (its scalar code, which takes the last pixels of a row,
// rounds instead): at most one level apart, where the exact quotient is an integer or the scalar code ran. Pure
// integers apart from the three tables of shifts (f32, one rounded operation each): the same bits everywhere.
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"
#include "kernels/brightness_contrast/brightness_contrast.h"

namespace bonafide::kernels {

enum class ColorOrder : std::uint8_t {
  rgb,  // what the pixels are
  bgr,  // red and blue exchanged before and after: the published pipeline runs an RGB operation on BGR data
};

struct HueSaturationValue {
  Span<std::uint8_t> image;  // [pixels, 3], RGB
  float hue = 0, saturation = 0, value = 0;
  ColorOrder order = ColorOrder::rgb;
};

struct Hsv {
  std::uint8_t h = 0, s = 0, v = 0;
  friend bool operator==(const Hsv&, const Hsv&) = default;
};
struct Rgb {
  std::uint8_t r = 0, g = 0, b = 0;
  friend bool operator==(const Rgb&, const Rgb&) = default;
};
Hsv rgb_to_hsv(Rgb);
Rgb hsv_to_rgb(Hsv);                   // h < 180
ByteTable hue_table(float shift);      // of h in 0..179; the rest of the table is not used
ByteTable clipped_table(float shift);  // of s or v

constexpr Cost hue_saturation_value_cost(std::int64_t pixels) {
  return {3.0 * double(pixels), 3.0 * double(pixels), 0};
}

void check(const HueSaturationValue&);

BF_PASS_PLAIN(hue_saturation_value, HueSaturationValue);

}  // namespace bonafide::kernels
