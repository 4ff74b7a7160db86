// kernels/flip/cpu.cpp — mirror an image on the CPU.
#include "kernels/flip/flip.h"

#include <algorithm>

namespace bonafide::kernels {

void check(const Flip& a) {
  BF_CHECK(a.height >= 0 && a.width >= 0 && a.image.size() == 3LL * a.height * a.width, "flip: ", a.image.size(),
           " bytes for an image of ", a.height, " x ", a.width, " x 3");
}

namespace cpu {

void flip(const Flip& a) {
  check(a);
  for (int y = 0; y < a.height; ++y) {
    std::uint8_t *left = a.image.ptr + 3LL * a.width * y, *right = left + 3LL * (a.width - 1);
    for (; left < right; left += 3, right -= 3) std::swap_ranges(left, left + 3, right);
  }
}

}  // namespace cpu
}  // namespace bonafide::kernels
