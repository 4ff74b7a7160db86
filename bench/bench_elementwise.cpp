// bench/bench_elementwise.cpp — residual, ReLU, cast and average pool at ConvNeXt-V2 tiny's and atto's sizes, batch 8.
#include <algorithm>

#include "bench/report.h"
#include "kernels/avg_pool/avg_pool.h"
#include "kernels/cast/cast.h"
#include "kernels/relu/relu.h"
#include "kernels/residual/residual.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

void samples(benchmark::internal::Benchmark* b) {  // elements of one of 8 samples: stages 1 and 3 of tiny, 1 of atto
  for (const std::int64_t s : {3136 * 96, 196 * 384, 3136 * 40}) b->Args({8, s});
  b->ArgNames({"N", "S"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
void residual_fwd(benchmark::State& state) {
  const std::int64_t N = state.range(0), S = state.range(1);
  const auto x = numbers<T>(N * S), y = numbers<T>(N * S, 2);
  const std::vector<float> scale(std::size_t(N), 2);
  std::vector<T> out(x.size());
  const kernels::ResidualFwd<T> a{.x = x, .y = y, .scale = scale, .out = out, .N = N, .S = S};
  kernels::cpu::residual_fwd(a);
  verify("the last sum", double(to_f32(out.back())), double(to_f32(x.back())) + 2 * double(to_f32(y.back())), 2e-2);
  for (auto _ : state) kernels::cpu::residual_fwd(a);
  report(state, kernels::residual_fwd_cost<T>(N, S));
}
template <class T>
void residual_bwd(benchmark::State& state) {
  const std::int64_t N = state.range(0), S = state.range(1);
  const auto dout = numbers<T>(N * S);
  const std::vector<float> scale(std::size_t(N), 2);
  std::vector<T> dx(dout.size()), dy(dout.size());
  const kernels::ResidualBwd<T> a{.dout = dout, .scale = scale, .dx = dx, .dy = dy, .N = N, .S = S};
  kernels::cpu::residual_bwd(a);
  verify("the last dy", double(to_f32(dy.back())), 2 * double(to_f32(dout.back())), 0);
  for (auto _ : state) kernels::cpu::residual_bwd(a);
  report(state, kernels::residual_bwd_cost<T>(N, S));
}
template <class T>
void relu(benchmark::State& state) {
  const std::int64_t n = state.range(0) * state.range(1);
  const auto x = numbers<T>(n);
  std::vector<T> y(x.size());
  kernels::cpu::relu_fwd<T>({.x = x, .y = y});
  verify("the last y", double(to_f32(y.back())), std::max(0.0, double(to_f32(x.back()))), 0);
  for (auto _ : state) kernels::cpu::relu_fwd<T>({.x = x, .y = y});
  report(state, kernels::relu_fwd_cost<T>(n));
}
template <class From, class To>
void cast(benchmark::State& state) {
  const std::int64_t n = state.range(0) * state.range(1);
  const auto x = numbers<From>(n);
  std::vector<To> y(x.size());
  kernels::cpu::cast<From, To>({.x = x, .y = y});
  verify("the last y", double(to_f32(y.back())), double(to_f32(x.back())), 0);
  for (auto _ : state) kernels::cpu::cast<From, To>({.x = x, .y = y});
  report(state, kernels::cast_cost<From, To>(n));
}
template <class T>
void avg_pool(benchmark::State& state) {
  const std::int64_t N = state.range(0), P = state.range(1), C = state.range(2);
  const std::vector<T> x(std::size_t(N * P * C), T(0.5f));
  std::vector<float> y(std::size_t(N * C));
  const kernels::AvgPoolFwd<T> a{.x = x, .y = y, .N = N, .P = P, .C = C};
  kernels::cpu::avg_pool_fwd(a);
  verify("the last mean", double(y.back()), 0.5, 0);
  for (auto _ : state) kernels::cpu::avg_pool_fwd(a);
  report(state, kernels::avg_pool_fwd_cost<T>(N, P, C));
}
void pools(benchmark::internal::Benchmark* b) {
  b->Args({8, 49, 768})->Args({8, 49, 320})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

BENCHMARK(residual_fwd<float>)->Apply(samples);
BENCHMARK(residual_fwd<bf16>)->Apply(samples);
BENCHMARK(residual_bwd<float>)->Apply(samples);
BENCHMARK(residual_bwd<bf16>)->Apply(samples);
BENCHMARK(relu<float>)->Apply(samples);
BENCHMARK(relu<bf16>)->Apply(samples);
BENCHMARK(cast<float, bf16>)->Apply(samples);
BENCHMARK(cast<bf16, float>)->Apply(samples);
BENCHMARK(avg_pool<float>)->Apply(pools);
BENCHMARK(avg_pool<bf16>)->Apply(pools);

}  // namespace
