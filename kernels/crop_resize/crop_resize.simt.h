// kernels/crop_resize/crop_resize.simt.h — bilinear resize, the body of its CUDA kernel: a thread per output pixel, the taps
// of a tile made once.
#pragma once
#include "kernels/crop_resize/crop_resize.h"
#include "kernels/simt/block.h"

namespace bonafide::kernels {

template <class F>
void for_each_array(const CropResize& a, F&& f) {
  f("image", a.image), f("out", a.out);
}

namespace simt_bodies {
using namespace simt;

struct CropResizeKernel {
  static constexpr const char* kName = "crop_resize";
  static constexpr int kWide = 32, kHigh = 8, kMaxThreads = kWide * kHigh;  // a tile of the output
  struct Columns;
  struct Rows;
  static LaunchShape shape(const CropResize& a) {
    return {.grid = {ceil_div(a.out_width, kWide), ceil_div(a.out_height, kHigh)}, .block = {kWide, kHigh}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const CropResize& a) {
    const auto columns = block.template shared<Columns, ResizeTap, kWide>();
    const auto rows = block.template shared<Rows, ResizeTap, kHigh>();
    const int tx = block.tx(), ty = block.ty(), left = block.bx() * kWide, top = block.by() * kHigh;
    if (ty == 0) block.store(columns, tx, resize_tap(a.crop.width(), a.out_width, left + tx));
    if (ty == 1 && tx < kHigh) block.store(rows, tx, resize_tap(a.crop.height(), a.out_height, top + tx));
    block.sync();

    const int x = left + tx, y = top + ty;
    if (x >= a.out_width || y >= a.out_height) return;
    const ResizeTap column = block.load(columns, tx), row = block.load(rows, ty);
    const std::int64_t stride = a.stride ? a.stride : 3LL * a.width;
    const std::int64_t origin = a.crop.y1 * stride + 3LL * a.crop.x1;
    for (int c = 0; c < 3; ++c) {
      const auto along_x = [&](int source) {
        const std::int64_t at = origin + source * stride + c;
        return blend_along_x(block.load(a.image, at + 3LL * column.from), block.load(a.image, at + 3LL * column.to), column.weight);
      };
      const std::uint8_t v = blend_along_y(along_x(row.from), along_x(row.to), row.weight);
      block.store(a.out, 3 * (std::int64_t(y) * a.out_width + x) + c, v);
    }
  }
};

// What is launched. Launch: called with a kernel and its arguments.
template <class Launch>
void crop_resize(Launch&& launch, const CropResize& a) {
  check(a);
  launch(CropResizeKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
