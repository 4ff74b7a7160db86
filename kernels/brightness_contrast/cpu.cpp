// kernels/brightness_contrast/cpu.cpp — brightness and contrast on the CPU.
#include "kernels/brightness_contrast/brightness_contrast.h"

#include <cmath>

namespace bonafide::kernels {

void check(const BrightnessContrast& a) {
  BF_CHECK(std::isfinite(a.alpha) && std::isfinite(a.beta), "brightness_contrast: alpha ", a.alpha, ", beta ", a.beta);
}

ByteTable brightness_contrast_table(float alpha, float beta) {
  ByteTable table;
  for (int v = 0; v < 256; ++v) table[std::size_t(v)] = brightness_contrast_level(v, alpha, beta);
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
