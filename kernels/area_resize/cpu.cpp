// kernels/area_resize/cpu.cpp — one work item is a row of the result: rows are added up first, a loop over W C
// neighbours that the compiler vectorises however few channels there are, then the columns of the sum.
#include <algorithm>
#include <vector>

#include "engine/parallel.h"
#include "kernels/area_resize/area_resize.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_extents(const A& a, std::int64_t x, std::int64_t y) {
  BF_CHECK(a.N >= 0 && a.H > 0 && a.W > 0 && a.C > 0, "area_resize: expected [N, H, W, C], got [", a.N, ", ", a.H, ", ",
           a.W, ", ", a.C, "]");
  BF_CHECK(a.OH > 0 && a.OW > 0, "area_resize: to ", a.OH, " x ", a.OW, ", expected at least 1 x 1");
  BF_CHECK(std::max({a.H, a.W, a.OH, a.OW}) <= kMaxImageSide && a.C <= kMaxImageChannels, "area_resize: ", a.H, " x ",
           a.W, " to ", a.OH, " x ", a.OW, " of ", a.C, " channels, expected sides up to ", kMaxImageSide, " and ",
           kMaxImageChannels, " channels");
  BF_CHECK(x == a.N * a.H * a.W * a.C, "area_resize: x has ", x, " elements, expected [", a.N, ", ", a.H, ", ", a.W,
           ", ", a.C, "]");
  BF_CHECK(y == a.N * a.OH * a.OW * a.C, "area_resize: y has ", y, " elements, expected [", a.N, ", ", a.OH, ", ", a.OW,
           ", ", a.C, "]");
}

// One row of sums for each thread that may run.
class Scratch {
 public:
  explicit Scratch(std::int64_t n) : n_(n), all_(std::size_t(n * parallel_lanes())) {}
  float* of(int lane) { return all_.data() + lane * n_; }

 private:
  std::int64_t n_;
  std::vector<float> all_;
};

}  // namespace

template <class T>
void check(const AreaResizeFwd<T>& a) {
  check_extents(a, a.x.len, a.y.len);
}
template <class T>
void check(const AreaResizeBwd<T>& a) {
  check_extents(a, a.dx_mode == GradMode::skip ? a.N * a.H * a.W * a.C : a.dx.len, a.dy.len);
}

template void check(const AreaResizeFwd<float>&);
template void check(const AreaResizeFwd<bf16>&);
template void check(const AreaResizeBwd<float>&);
template void check(const AreaResizeBwd<bf16>&);

namespace cpu {

template <class T>
void area_resize_fwd(const AreaResizeFwd<T>& a) {
  check(a);
  const std::int64_t line = std::int64_t(a.W) * a.C;
  Scratch scratch(line);
  parallel_for_lanes(a.N * a.OH, [&](std::int64_t item, int lane) {
    const std::int64_t n = item / a.OH;
    const Cells rows = area_bin(int(item % a.OH), a.H, a.OH);
    float* sums = scratch.of(lane);
    std::fill_n(sums, line, 0.0f);
    for (int h = rows.begin; h < rows.end; ++h) {
      const T* x = a.x.ptr + (n * a.H + h) * line;
      for (std::int64_t i = 0; i < line; ++i) sums[i] += to_f32(x[i]);
    }
    for (int q = 0; q < a.OW; ++q) {
      const Cells columns = area_bin(q, a.W, a.OW);
      const float size = float(rows.size() * columns.size());
      T* y = a.y.ptr + (item * a.OW + q) * a.C;
      for (int c = 0; c < a.C; ++c) {
        float sum = 0;
        for (int w = columns.begin; w < columns.end; ++w) sum += sums[std::int64_t(w) * a.C + c];
        put(y[c], sum / size);
      }
    }
  });
}

template <class T>
void area_resize_bwd(const AreaResizeBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const std::int64_t line = std::int64_t(a.OW) * a.C;
  Scratch scratch(line);
  parallel_for_lanes(a.N * a.H, [&](std::int64_t item, int lane) {
    const std::int64_t n = item / a.H;
    const Cells rows = area_bin(int(item % a.H), a.OH, a.H);
    float* sums = scratch.of(lane);
    std::fill_n(sums, line, 0.0f);
    for (int o = rows.begin; o < rows.end; ++o) {
      const float share = 1.0f / float(area_bin(o, a.H, a.OH).size());
      const T* dy = a.dy.ptr + (n * a.OH + o) * line;
      for (std::int64_t i = 0; i < line; ++i) sums[i] += to_f32(dy[i]) * share;
    }
    for (int q = 0; q < a.OW; ++q) {
      const float share = 1.0f / float(area_bin(q, a.W, a.OW).size());
      for (int c = 0; c < a.C; ++c) sums[std::int64_t(q) * a.C + c] *= share;
    }
    for (int w = 0; w < a.W; ++w) {
      const Cells columns = area_bin(w, a.OW, a.W);
      store_gradient(a.dx_mode, a.dx.slice((item * a.W + w) * a.C, a.C), 0, a.C, [&](std::int64_t c) {
        float sum = 0;
        for (int q = columns.begin; q < columns.end; ++q) sum += sums[std::int64_t(q) * a.C + c];
        return sum;
      });
    }
  });
}

template void area_resize_fwd(const AreaResizeFwd<float>&);
template void area_resize_fwd(const AreaResizeFwd<bf16>&);
template void area_resize_bwd(const AreaResizeBwd<float>&);
template void area_resize_bwd(const AreaResizeBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
