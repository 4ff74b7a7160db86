// kernels/brightness_contrast/brightness_contrast.h — brightness and contrast of an 8-bit image, by a table, in place.
//
//   table[v] = trunc(clip(v * alpha + beta * 255, 0, 255))        image[i] = table[image[i]]
//
// The table is made in f32, each product and sum rounded on its own (no fused multiply-add): the same bits everywhere.
#pragma once
#include <array>

#include "engine/base.h"

namespace bonafide::kernels {

using ByteTable = std::array<std::uint8_t, 256>;

struct BrightnessContrast {
  Span<std::uint8_t> image;   // any shape
  float alpha = 1, beta = 0;  // contrast, and brightness as a share of full scale
};

ByteTable brightness_contrast_table(float alpha, float beta);
constexpr Cost brightness_contrast_cost(std::int64_t n) { return {double(n), double(n), 0}; }

void check(const BrightnessContrast&);

namespace cpu {
void brightness_contrast(const BrightnessContrast&);
}

}  // namespace bonafide::kernels
