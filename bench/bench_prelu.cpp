// bench/bench_prelu.cpp — PReLU at the sizes of MTCNN: a 640 x 480 photograph in P-Net's largest scale, 64 faces in
// R-Net and O-Net.
#include "bench/report.h"
#include "kernels/prelu/prelu.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

void shapes(benchmark::internal::Benchmark* b) {
  b->Args({383 * 287, 10})->Args({189 * 141, 32})->Args({64 * 22 * 22, 28})->Args({64 * 46 * 46, 32})->Args({64, 256});
  b->ArgNames({"rows", "c"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
void fwd(benchmark::State& state) {
  const std::int64_t rows = state.range(0), C = state.range(1);
  const auto x = numbers<T>(rows * C);
  const std::vector<float> slope(std::size_t(C), 0.25f);
  std::vector<T> y(x.size());
  const kernels::PreluFwd<T> a{.x = x, .slope = slope, .y = y, .rows = rows, .C = C};
  kernels::cpu::prelu_fwd(a);
  const double last = double(to_f32(x.back()));
  verify("the last y", double(to_f32(y.back())), last > 0 ? last : 0.25 * last, 1e-2);
  for (auto _ : state) kernels::cpu::prelu_fwd(a);
  report(state, kernels::prelu_fwd_cost<T>(rows, C));
}
template <class T>
void bwd(benchmark::State& state) {
  const std::int64_t rows = state.range(0), C = state.range(1);
  const auto x = numbers<T>(rows * C), dy = numbers<T>(rows * C, 2);
  const std::vector<float> slope(std::size_t(C), 0.25f);
  std::vector<T> dx(x.size());
  std::vector<float> dslope(slope.size()), work(std::size_t(kernels::prelu_bwd_workspace(rows, C)));
  const kernels::PreluBwd<T> a{
      .dy = dy, .x = x, .slope = slope, .dx = dx, .dslope = dslope, .workspace = work, .rows = rows, .C = C};
  kernels::cpu::prelu_bwd(a);
  double want = 0;
  for (std::size_t i = 0; i < x.size(); i += std::size_t(C))
    want += to_f32(x[i]) > 0 ? 0 : double(to_f32(x[i])) * double(to_f32(dy[i]));
  verify("the first dslope", double(dslope[0]), want, 1e-4 * double(rows));
  for (auto _ : state) kernels::cpu::prelu_bwd(a);
  report(state, kernels::prelu_bwd_cost<T>(rows, C));
}

BENCHMARK(fwd<float>)->Apply(shapes);
BENCHMARK(fwd<bf16>)->Apply(shapes);
BENCHMARK(bwd<float>)->Apply(shapes);
BENCHMARK(bwd<bf16>)->Apply(shapes);

}  // namespace
