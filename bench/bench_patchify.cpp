// bench/bench_patchify.cpp — the stem's and the downsampling layers' patches, batch 8 at 224 pixels.
#include "bench/report.h"
#include "kernels/patchify/patchify.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

void shapes(benchmark::internal::Benchmark* b) {  // {N, H and W, C, k}
  for (const auto& s : std::vector<std::vector<std::int64_t>>{{8, 224, 3, 4},
                                                              {8, 56, 96, 2},
                                                              {8, 28, 192, 2},
                                                              {8, 14, 384, 2},
                                                              {8, 56, 40, 2},
                                                              {8, 28, 80, 2},
                                                              {8, 14, 160, 2}})
    b->Args(s);
  b->ArgNames({"N", "H", "C", "k"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
void forward(benchmark::State& state) {
  const std::int64_t N = state.range(0), H = state.range(1), C = state.range(2), k = state.range(3), n = N * H * H * C;
  const auto x = numbers<T>(n);
  std::vector<T> y(x.size());
  const kernels::PatchifyFwd<T> a{.x = x, .y = y, .N = N, .H = H, .W = H, .C = C, .k = k};
  kernels::cpu::patchify_fwd(a);
  verify("the last y", double(to_f32(y.back())), double(to_f32(x.back())), 0);
  verify("the second y", double(to_f32(y[1])), double(to_f32(x[std::size_t(C)])), 0);
  for (auto _ : state) kernels::cpu::patchify_fwd(a);
  report(state, kernels::patchify_cost<T>(N, H, H, C, k));
}
template <class T>
void backward(benchmark::State& state) {
  const std::int64_t N = state.range(0), H = state.range(1), C = state.range(2), k = state.range(3), n = N * H * H * C;
  const auto dy = numbers<T>(n);
  std::vector<T> dx(dy.size());
  const kernels::PatchifyBwd<T> a{.dy = dy, .dx = dx, .N = N, .H = H, .W = H, .C = C, .k = k};
  kernels::cpu::patchify_bwd(a);
  verify("the second pixel", double(to_f32(dx[std::size_t(C)])), double(to_f32(dy[1])), 0);
  for (auto _ : state) kernels::cpu::patchify_bwd(a);
  report(state, kernels::patchify_cost<T>(N, H, H, C, k));
}
BENCHMARK(forward<float>)->Apply(shapes);
BENCHMARK(backward<float>)->Apply(shapes);
BENCHMARK(forward<bf16>)->Apply(shapes);
BENCHMARK(backward<bf16>)->Apply(shapes);

}  // namespace
