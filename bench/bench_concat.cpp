// bench/bench_concat.cpp — the branches of InceptionResnetV1's blocks, 8 faces: what one of them costs to put in its
// place.
#include "bench/report.h"
#include "kernels/concat/concat.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

void shapes(benchmark::internal::Benchmark* b) {  // {rows, C, total}
  for (const auto& s : std::vector<std::vector<std::int64_t>>{
           {8 * 17 * 17, 32, 96}, {8 * 8 * 8, 128, 256}, {8 * 8 * 8, 384, 896}, {8 * 3 * 3, 192, 384}})
    b->Args(s);
  b->ArgNames({"rows", "C", "total"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
void forward(benchmark::State& state) {
  const std::int64_t rows = state.range(0), C = state.range(1), total = state.range(2);
  const auto x = numbers<T>(rows * C);
  std::vector<T> y(std::size_t(rows * total));
  const kernels::ConcatFwd<T> a{.x = x, .y = y, .rows = rows, .C = C, .total = total, .at = total - C};
  kernels::cpu::concat_fwd(a);
  verify("the last y", double(to_f32(y.back())), double(to_f32(x.back())), 0);
  for (auto _ : state) kernels::cpu::concat_fwd(a);
  report(state, kernels::concat_cost<T>(rows, C));
}
template <class T>
void backward(benchmark::State& state) {
  const std::int64_t rows = state.range(0), C = state.range(1), total = state.range(2);
  const auto dy = numbers<T>(rows * total);
  std::vector<T> dx(std::size_t(rows * C));
  const kernels::ConcatBwd<T> a{.dy = dy, .dx = dx, .rows = rows, .C = C, .total = total, .at = total - C};
  kernels::cpu::concat_bwd(a);
  verify("the last dx", double(to_f32(dx.back())), double(to_f32(dy.back())), 0);
  for (auto _ : state) kernels::cpu::concat_bwd(a);
  report(state, kernels::concat_cost<T>(rows, C));
}
BENCHMARK(forward<float>)->Apply(shapes);
BENCHMARK(backward<float>)->Apply(shapes);
BENCHMARK(forward<bf16>)->Apply(shapes);
BENCHMARK(backward<bf16>)->Apply(shapes);

}  // namespace
