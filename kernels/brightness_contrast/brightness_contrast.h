// kernels/brightness_contrast/brightness_contrast.h — brightness and contrast of an 8-bit image, by a table, in place.
//
//   table[v] = trunc(clip(v * alpha + beta * 255, 0, 255))        image[i] = table[image[i]]
//
// The table is made in f32, each product and sum rounded on its own (no fused multiply-add): the same bits everywhere.
#pragma once
#include <array>

#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

using ByteTable = std::array<std::uint8_t, 256>;

struct BrightnessContrast {
  Span<std::uint8_t> image;   // any shape
  float alpha = 1, beta = 0;  // contrast, and brightness as a share of full scale
};

// What level v becomes. In double the product of two floats and the sum of two floats are exact or innocuously rounded, so
// that the rounding to float afterwards is that of a float operation, and contraction has nothing to change.
BF_HD inline std::uint8_t brightness_contrast_level(int v, float alpha, float beta) {
  const float offset = float(double(beta) * 255);
  const float product = float(double(v) * double(alpha));
  const float sum = float(double(product) + double(offset));
  return std::uint8_t(sum < 0 ? 0.0f : sum > 255 ? 255.0f : sum);
}
ByteTable brightness_contrast_table(float alpha, float beta);
constexpr Cost brightness_contrast_cost(std::int64_t n) { return {double(n), double(n), 0}; }

void check(const BrightnessContrast&);

BF_PASS_PLAIN(brightness_contrast, BrightnessContrast);

}  // namespace bonafide::kernels
