// kernels/flip/flip.h — mirror an 8-bit RGB image left to right, in place.
//
//   image[y, x] <-> image[y, width - 1 - x]          image: [height, width, 3]
#pragma once
#include "engine/base.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

struct Flip {
  Span<std::uint8_t> image;  // [height, width, 3]
  int height = 0, width = 0;
};

constexpr Cost flip_cost(int height, int width) { return {3.0 * height * width, 3.0 * height * width, 0}; }

void check(const Flip&);

BF_PASS_PLAIN(flip, Flip);

}  // namespace bonafide::kernels
