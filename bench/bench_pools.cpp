// bench/bench_pools.cpp — max and average pooling at the sizes of MTCNN and InceptionResnetV1, area resizing of a 640 x
// 480 photograph to the scales of MTCNN.
#include <algorithm>

#include "bench/report.h"
#include "kernels/area_resize/area_resize.h"
#include "kernels/avg_pool2d/avg_pool2d.h"
#include "kernels/max_pool2d/max_pool2d.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

// {images, height, width, channels, kernel}; stride 2, rounded up.
void windows(benchmark::internal::Benchmark* b) {
  b->Args({1, 287, 383, 10, 2})
      ->Args({64, 22, 22, 28, 3})
      ->Args({64, 46, 46, 32, 3})
      ->Args({8, 77, 77, 64, 3})
      ->Args({8, 17, 17, 256, 3});
  b->ArgNames({"N", "H", "W", "C", "k"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}
kernels::Pool2d pool(const benchmark::State& s) {
  const int k = int(s.range(4));
  return kernels::pool2d("bench", s.range(0), s.range(1), s.range(2), s.range(3), {k, k, 2, 2, 0, 0, true});
}

template <class T>
struct MaxCase {
  kernels::Pool2d p;
  std::vector<T> x, dy, y, dx;
  std::vector<std::uint8_t> index;
  explicit MaxCase(const benchmark::State& s)
      : p(pool(s)),
        x(numbers<T>(p.inputs())),
        dy(numbers<T>(p.outputs(), 2)),
        y(dy.size()),
        dx(x.size()),
        index(y.size()) {
    forward(true), backward();
    double best = -9;  // of the first window; and every gradient arrives somewhere
    for (int h = 0; h < p.h.kernel; ++h)
      for (int w = 0; w < p.w.kernel; ++w)
        best = std::max(best, double(to_f32(x[std::size_t((h * p.w.in + w) * p.C)])));
    verify("the first maximum", double(to_f32(y[0])), best, 0);
    double given = 0, arrived = 0;
    for (const T d : dy) given += double(to_f32(d));
    for (const T d : dx) arrived += double(to_f32(d));
    verify("the sum of dx", arrived, given, sizeof(T) == 4 ? 1e-2 : 1e-3 * double(dx.size()));
  }
  void forward(bool keep) {
    kernels::cpu::max_pool2d_fwd<T>(
        {.x = x, .y = y, .index = keep ? Span<std::uint8_t>(index) : Span<std::uint8_t>(), .pool = p});
  }
  void backward() { kernels::cpu::max_pool2d_bwd<T>({.dy = dy, .index = index, .dx = dx, .pool = p}); }
};
template <class T, bool kIndex>
void max_pool2d_fwd(benchmark::State& state) {
  MaxCase<T> c(state);
  for (auto _ : state) c.forward(kIndex);
  report(state, kernels::max_pool2d_fwd_cost<T>(c.p, kIndex));
}
template <class T>
void max_pool2d_bwd(benchmark::State& state) {
  MaxCase<T> c(state);
  for (auto _ : state) c.backward();
  report(state, kernels::max_pool2d_bwd_cost<T>(c.p));
}

template <class T>
void avg_pool2d_fwd(benchmark::State& state) {
  const auto p = pool(state);
  const std::vector<T> x(std::size_t(p.inputs()), T(0.5f));
  std::vector<T> y(std::size_t(p.outputs()));
  const kernels::AvgPool2dFwd<T> a{.x = x, .y = y, .pool = p};
  kernels::cpu::avg_pool2d_fwd(a);
  verify("the last mean", double(to_f32(y.back())), 0.5, 1e-6);
  for (auto _ : state) kernels::cpu::avg_pool2d_fwd(a);
  report(state, kernels::avg_pool2d_fwd_cost<T>(p));
}
template <class T>
void avg_pool2d_bwd(benchmark::State& state) {
  const auto p = pool(state);
  const std::vector<T> dy(std::size_t(p.outputs()), T(1.0f));
  std::vector<T> dx(std::size_t(p.inputs()));
  const kernels::AvgPool2dBwd<T> a{.dy = dy, .dx = dx, .pool = p};
  kernels::cpu::avg_pool2d_bwd(a);
  verify("the first dx", double(to_f32(dx[0])), 1.0 / double(p.cells()), 1e-3);
  for (auto _ : state) kernels::cpu::avg_pool2d_bwd(a);
  report(state, kernels::avg_pool2d_bwd_cost<T>(p));
}

// {height, width, channels} of the result.
void scales(benchmark::internal::Benchmark* b) {
  b->Args({289, 385, 3})->Args({205, 273, 3})->Args({37, 49, 3})->Args({7, 7, 3})->Args({240, 320, 64});
  b->ArgNames({"h", "w", "C"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}
template <class T>
void area_resize_fwd(benchmark::State& state) {
  const int h = int(state.range(0)), w = int(state.range(1)), C = int(state.range(2));
  const std::vector<T> x(std::size_t(480 * 640 * C), T(0.5f));
  std::vector<T> y(std::size_t(h * w * C));
  const kernels::AreaResizeFwd<T> a{.x = x, .y = y, .N = 1, .H = 480, .W = 640, .C = C, .OH = h, .OW = w};
  kernels::cpu::area_resize_fwd(a);
  verify("the last mean", double(to_f32(y.back())), 0.5, 1e-6);
  for (auto _ : state) kernels::cpu::area_resize_fwd(a);
  report(state, kernels::area_resize_fwd_cost<T>(1, 480, 640, C, h, w));
}
template <class T>
void area_resize_bwd(benchmark::State& state) {
  const int h = int(state.range(0)), w = int(state.range(1)), C = int(state.range(2));
  const std::vector<T> dy(std::size_t(h * w * C), T(1.0f));
  std::vector<T> dx(std::size_t(480 * 640 * C));
  const kernels::AreaResizeBwd<T> a{.dy = dy, .dx = dx, .N = 1, .H = 480, .W = 640, .C = C, .OH = h, .OW = w};
  kernels::cpu::area_resize_bwd(a);
  double sum = 0;
  for (const T d : dx) sum += double(to_f32(d));
  verify("the sum of dx", sum / double(dy.size()), 1, 5e-3);
  for (auto _ : state) kernels::cpu::area_resize_bwd(a);
  report(state, kernels::area_resize_bwd_cost<T>(1, 480, 640, C, h, w));
}

BENCHMARK(max_pool2d_fwd<float, false>)->Apply(windows);
BENCHMARK(max_pool2d_fwd<float, true>)->Apply(windows);
BENCHMARK(max_pool2d_fwd<bf16, true>)->Apply(windows);
BENCHMARK(max_pool2d_bwd<float>)->Apply(windows);
BENCHMARK(max_pool2d_bwd<bf16>)->Apply(windows);
BENCHMARK(avg_pool2d_fwd<float>)->Apply(windows);
BENCHMARK(avg_pool2d_fwd<bf16>)->Apply(windows);
BENCHMARK(avg_pool2d_bwd<float>)->Apply(windows);
BENCHMARK(avg_pool2d_bwd<bf16>)->Apply(windows);
BENCHMARK(area_resize_fwd<float>)->Apply(scales);
BENCHMARK(area_resize_fwd<bf16>)->Apply(scales);
BENCHMARK(area_resize_bwd<float>)->Apply(scales);
BENCHMARK(area_resize_bwd<bf16>)->Apply(scales);

}  // namespace
