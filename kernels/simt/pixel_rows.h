// kernels/simt/pixel_rows.h — kernels whose result is an image [N, H, W, C] and whose threads gather: blockIdx.x is a
// row of its pixels, blockIdx.y a part of the row; a thread owns neighbouring channels of a pixel.
#pragma once
#include "kernels/simt/elementwise.h"

namespace bonafide::simt {

template <int N>
LaunchShape pixel_rows_shape(std::int64_t images, int H, int W, int C) {
  return {.grid = {images * H, elementwise_blocks<N>(std::int64_t(W) * C)}, .block = {kElementwiseThreads}};
}

struct PixelAt {
  int n, h, w, c;
};

// Calls f(where, i, count) for the elements i, i + 1, ... of this thread: once, with Count<N>, where `vectors` says
// that pixels are aligned wherever they are whole vectors, else one by one, with Count<1>.
template <int N, Block B, class F>
BF_DEVICE void for_own_pixels(B& block, int H, int W, int C, bool vectors, F&& f) {
  const int n = block.bx() / H, h = block.bx() % H, row = W * C;
  for_own_elements<N>(block, block.by(), row, vectors && C % N == 0, [&](std::int64_t i, auto count) {
    const int w = int(i) / C;
    f(PixelAt{n, h, w, int(i) - w * C}, std::int64_t(block.bx()) * row + i, count);
  });
}

}  // namespace bonafide::simt
