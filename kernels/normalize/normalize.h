// kernels/normalize/normalize.h — bytes to network input.
//
//   y = (x / 255 - mean[c]) / std[c]                 x, y: [pixels, 3]
//
// Two divisions and one subtraction in f32, each rounded on its own, then stored as T (float or bf16): the same bits
// everywhere, and with mean 0 and std 1 exactly the published byte / 255. Not differentiable: images need no gradient.
#pragma once
#include <array>

#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct Normalize {
  Span<const std::uint8_t> x;
  Span<T> y;
  std::array<float, 3> mean{0, 0, 0}, std{1, 1, 1};
};

template <class T>
constexpr Cost normalize_cost(std::int64_t pixels) {
  return {3.0 * double(pixels), 3.0 * double(sizeof(T)) * double(pixels), 9.0 * double(pixels)};
}

template <class T>
void check(const Normalize<T>&);

BF_PASS(normalize, Normalize);

}  // namespace bonafide::kernels
