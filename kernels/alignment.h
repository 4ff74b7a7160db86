// kernels/alignment.h — how well an address is aligned: CUDA's libraries choose their algorithms by it.
#pragma once
#include <cstdint>

namespace bonafide::kernels {

// The largest power of two that divides the address, but no more than `most`, which is a power of two itself.
inline std::uint32_t alignment_of(const void* p, std::uint32_t most) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | most;
  return std::uint32_t(address & ~(address - 1));
}

}  // namespace bonafide::kernels
