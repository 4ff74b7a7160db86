// bench/bench_gelu.cpp — exact GELU over the hidden layers of ConvNeXt-V2 tiny and atto (224 pixels, batch 8). The same
// formula with std::erf beside it, for the ratio.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "kernels/gelu/gelu.h"

using namespace bonafide;

namespace {

void sizes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t n : {8 * 56 * 56 * 384, 8 * 14 * 14 * 1536, 8 * 56 * 56 * 160, 8 * 7 * 7 * 1280}) b->Arg(n);
  b->Unit(benchmark::kMicrosecond)->UseRealTime();
}

double exact(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

template <class T>
struct Case {
  std::vector<T> x, y, dx;
  explicit Case(std::int64_t n) : x(std::size_t(n)), y(x.size()), dx(x.size()) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(float(i % 601) / 100 - 3);
  }
};

void report(benchmark::State& state, const Cost& c) {
  state.SetBytesProcessed(std::int64_t(c.bytes()) * state.iterations());
  state.counters["flops"] = benchmark::Counter(c.flops, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T>
void fwd(benchmark::State& state) {
  Case<T> c(state.range(0));
  kernels::cpu::gelu_fwd<T>({.x = c.x, .y = c.y});
  for (std::size_t i = 0; i < 601; ++i)
    BF_CHECK(std::abs(to_f32(c.y[i]) - exact(to_f32(c.x[i]))) < (sizeof(T) == 2 ? 1e-2 : 1e-6), "gelu(", to_f32(c.x[i]),
             ") = ", to_f32(c.y[i]));
  for (auto _ : state) kernels::cpu::gelu_fwd<T>({.x = c.x, .y = c.y});
  report(state, kernels::gelu_fwd_cost<T>(state.range(0)));
}
template <class T>
void bwd(benchmark::State& state) {
  Case<T> c(state.range(0));
  const std::vector<T> dy(c.x.size(), T(1.0f));
  kernels::cpu::gelu_bwd<T>({.dy = dy, .x = c.x, .dx = c.dx});
  for (std::size_t i = 0; i < 601; ++i) {
    const double x = to_f32(c.x[i]), slope = (exact(x + 1e-4) - exact(x - 1e-4)) / 2e-4;
    BF_CHECK(std::abs(to_f32(c.dx[i]) - slope) < (sizeof(T) == 2 ? 1e-2 : 1e-5), "gelu'(", x, ") = ", to_f32(c.dx[i]));
  }
  for (auto _ : state) kernels::cpu::gelu_bwd<T>({.dy = dy, .x = c.x, .dx = c.dx});
  report(state, kernels::gelu_bwd_cost<T>(state.range(0)));
}
void fwd_libm(benchmark::State& state) {
  Case<float> c(state.range(0));
  for (auto _ : state) {
#pragma omp parallel for schedule(static)
    for (std::size_t i = 0; i < c.x.size(); ++i) c.y[i] = 0.5f * c.x[i] * (1 + std::erf(c.x[i] * 0.70710678f));
    benchmark::ClobberMemory();
  }
  report(state, kernels::gelu_fwd_cost<float>(state.range(0)));
}

BENCHMARK(fwd<float>)->Apply(sizes);
BENCHMARK(fwd<bf16>)->Apply(sizes);
BENCHMARK(fwd_libm)->Apply(sizes);
BENCHMARK(bwd<float>)->Apply(sizes);
BENCHMARK(bwd<bf16>)->Apply(sizes);

}  // namespace
