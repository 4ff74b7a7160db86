// engine/bf16.h — bfloat16 as storage: the upper half of a float. Arithmetic is always done in f32.
#pragma once
#include <bit>
#include <cstdint>

#include "engine/base.h"

namespace bonafide {

struct bf16 {
  std::uint16_t bits;

  bf16() = default;
  // Round to nearest, ties to even; a NaN stays a (quiet) NaN.
  BF_HD explicit bf16(float f) : bits(round(f)) {}
  BF_HD explicit operator float() const { return widen(bits); }
  friend BF_HD bool operator==(bf16 a, bf16 b) { return a.bits == b.bits; }

 private:
#if defined(__CUDA_ARCH__)
  BF_HD static std::uint32_t as_bits(float f) { return __float_as_uint(f); }
  BF_HD static float as_float(std::uint32_t u) { return __uint_as_float(u); }
#else
  BF_HD static std::uint32_t as_bits(float f) { return std::bit_cast<std::uint32_t>(f); }
  BF_HD static float as_float(std::uint32_t u) { return std::bit_cast<float>(u); }
#endif
  BF_HD static std::uint16_t round(float f) {
    const std::uint32_t u = as_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return std::uint16_t((u >> 16) | 0x40);
    return std::uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  BF_HD static float widen(std::uint16_t b) { return as_float(std::uint32_t(b) << 16); }
};
static_assert(sizeof(bf16) == 2);

// Storage -> arithmetic and back, for code that is written once for float and bf16.
BF_HD inline float to_f32(float v) { return v; }
BF_HD inline float to_f32(bf16 v) { return float(v); }
template <class T>
BF_HD inline T from_f32(float v) {
  return T(v);
}

}  // namespace bonafide
