// kernels/brightness_contrast/cpu.cpp — brightness and contrast on the CPU.
#include "kernels/brightness_contrast/brightness_contrast.h"

#include <algorithm>
#include <cmath>

namespace bonafide::kernels {

void check(const BrightnessContrast& a) {
  BF_CHECK(std::isfinite(a.alpha) && std::isfinite(a.beta), "brightness_contrast: alpha ", a.alpha, ", beta ", a.beta);
}

ByteTable brightness_contrast_table(float alpha, float beta) {
  ByteTable table;
  // In double the product of two floats and the sum of two floats are exact or innocuously rounded, so that the
  // rounding to float afterwards is that of a float operation, and contraction has nothing to change.
  const float offset = float(double(beta) * 255);
  for (int v = 0; v < 256; ++v) {
    const float product = float(double(v) * double(alpha));
    const float sum = float(double(product) + double(offset));
    table[std::size_t(v)] = std::uint8_t(std::clamp(sum, 0.0f, 255.0f));
  }
  return table;
}

namespace cpu {

void brightness_contrast(const BrightnessContrast& a) {
  check(a);
  const ByteTable table = brightness_contrast_table(a.alpha, a.beta);
  for (std::uint8_t& v : a.image) v = table[v];
}

}  // namespace cpu
}  // namespace bonafide::kernels
