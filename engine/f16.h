// engine/f16.h — IEEE half precision, as files store it.
#pragma once
#include <bit>
#include <cstdint>

namespace bonafide {

// Exact; infinities and NaN stay what they are.
inline float half_to_f32(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 1023u;
  if (exponent == 0) return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(float(mantissa) * 0x1p-24f));
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

}  // namespace bonafide
