// bench/bench_optimizer.cpp — AdamW, SGD, EMA and the gradient norm over arenas of ConvNeXt-V2 atto's and tiny's size.
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "kernels/adamw/adamw.h"
#include "kernels/ema/ema.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/sgd/sgd.h"

using namespace bonafide;

namespace {

struct Arena {
  std::vector<float> p, g, m, v;
  std::vector<bf16> copy;
  explicit Arena(std::int64_t n)
      : p(std::size_t(n), 1), g(p), m(std::size_t(n), 0), v(m), copy(std::size_t(n), bf16(0)) {
    for (std::size_t i = 0; i < g.size(); ++i) g[i] = float(i % 17) - 8;
  }
};

void report(benchmark::State& state, const Cost& c) {
  state.SetBytesProcessed(std::int64_t(c.bytes()) * state.iterations());
  state.counters["flops"] = benchmark::Counter(c.flops, benchmark::Counter::kIsIterationInvariantRate);
}
void sizes(benchmark::internal::Benchmark* b) {
  b->Arg(3'390'000)->Arg(27'870'000)->Unit(benchmark::kMillisecond)->UseRealTime();
}

void adamw(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  Arena a(n);
  kernels::AdamWStep s{.p = a.p, .m = a.m, .v = a.v, .g = a.g, .copy = a.copy, .lr = 1e-3, .weight_decay = 1e-2};
  kernels::cpu::adamw(s);
  BF_CHECK(std::abs(a.p[0] - (1 - 1e-5 + 1e-3)) < 1e-6, "adamw's first step is ", a.p[0]);  // g[0] = -8
  for (auto _ : state) {
    ++s.step;
    kernels::cpu::adamw(s);
  }
  report(state, kernels::adamw_cost(n, true));
}
BENCHMARK(adamw)->Apply(sizes);

void sgd(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  Arena a(n);
  kernels::SgdStep s{.p = a.p, .buffer = a.m, .g = a.g, .copy = a.copy, .first = true, .lr = 1e-3, .momentum = 0.9};
  kernels::cpu::sgd(s);
  BF_CHECK(std::abs(a.p[0] - 1.008f) < 1e-6, "sgd's first step is ", a.p[0]);
  s.first = false;
  for (auto _ : state) kernels::cpu::sgd(s);
  report(state, kernels::sgd_cost(n, true));
}
BENCHMARK(sgd)->Apply(sizes);

void ema(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  Arena a(n);
  kernels::cpu::ema({.e = a.p, .p = a.g, .decay = 0.5});
  BF_CHECK(a.p[0] == -3.5f, "the average is ", a.p[0]);
  for (auto _ : state) kernels::cpu::ema({.e = a.p, .p = a.g, .decay = 0.9998});
  report(state, kernels::ema_cost(n));
}
BENCHMARK(ema)->Apply(sizes);

void grad_norm(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  std::vector<float> g(std::size_t(n), 2.0f);
  std::vector<double> norm(1), work(std::size_t(kernels::grad_norm_workspace(n)));
  kernels::cpu::grad_norm({.g = g, .norm = norm, .workspace = work});
  BF_CHECK(norm[0] == 2 * std::sqrt(double(n)), "the norm is ", norm[0]);
  for (auto _ : state) {
    kernels::cpu::grad_norm({.g = g, .norm = norm, .workspace = work});
    benchmark::DoNotOptimize(norm[0]);
  }
  report(state, kernels::grad_norm_cost(n));
}
BENCHMARK(grad_norm)->Apply(sizes);

}  // namespace
