// bench/bench_grn.cpp — GRN on the hidden layers of ConvNeXt-V2 tiny and atto (224 pixels, batch 8) and of the narrow
// model of the demonstration (80 pixels, batch 64).
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "kernels/grn/grn.h"

using namespace bonafide;

namespace {

// {samples, pixels, channels}
void shapes(benchmark::internal::Benchmark* b) {
  for (auto [side, C] : {std::pair{56, 384}, {28, 768}, {14, 1536}, {7, 3072}}) b->Args({8, side * side, C});
  for (auto [side, C] : {std::pair{56, 160}, {7, 1280}}) b->Args({8, side * side, C});
  for (auto [side, C] : {std::pair{20, 96}, {10, 192}, {5, 384}, {2, 768}}) b->Args({64, side * side, C});
  b->ArgNames({"n", "hw", "c"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
struct Case {
  std::int64_t N, HW;
  int C;
  std::vector<T> x, y, dy, dx;
  std::vector<float> gamma, beta, G, dgamma, dbeta, work;
  explicit Case(const benchmark::State& s)
      : N(s.range(0)),
        HW(s.range(1)),
        C(int(s.range(2))),
        x(std::size_t(N * HW * C)),
        y(x.size()),
        dy(x.size()),
        dx(x.size()),
        gamma(std::size_t(C), 2),
        beta(std::size_t(C), 0.5f),
        G(std::size_t(N * C)),
        dgamma(gamma),
        dbeta(gamma),
        work(std::size_t(kernels::grn_bwd_workspace(N, HW, C))) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(float(i % 17) - 8), dy[i] = T(float(i % 13) - 6);
    forward();
    double norm = 0, mean = 1e-6, bias = 0;
    for (std::int64_t p = 0; p < HW; ++p) norm += std::pow(to_f32(x[std::size_t(p * C)]), 2);
    norm = std::sqrt(norm);
    for (int c = 0; c < C; ++c) mean += G[std::size_t(c)] / C;
    const double want = to_f32(x[0]) * (1 + 2 * norm / mean) + 0.5;
    BF_CHECK(std::abs(G[0] - norm) < 1e-4 * norm, "G = ", G[0], ", expected ", norm);
    BF_CHECK(std::abs(to_f32(y[0]) - want) < (sizeof(T) == 2 ? 0.01 : 1e-4) * std::abs(want), "y = ", to_f32(y[0]),
             ", expected ", want);
    backward();
    for (std::int64_t p = 0; p < N * HW; ++p) bias += to_f32(dy[std::size_t(p * C)]);
    BF_CHECK(std::abs(dbeta[0] - bias) < 1e-3 * (1 + std::abs(bias)), "dbeta = ", dbeta[0], ", expected ", bias);
  }
  void forward() {
    kernels::cpu::grn_fwd<T>({.x = x, .gamma = gamma, .beta = beta, .y = y, .G = G, .samples = N, .HW = HW, .C = C});
  }
  void backward() {
    kernels::cpu::grn_bwd<T>({.dy = dy,
                              .x = x,
                              .gamma = gamma,
                              .G = G,
                              .dx = dx,
                              .dgamma = dgamma,
                              .dbeta = dbeta,
                              .workspace = work,
                              .samples = N,
                              .HW = HW,
                              .C = C});
  }
};

void report(benchmark::State& state, const Cost& c) {
  state.SetBytesProcessed(std::int64_t(c.bytes()) * state.iterations());
  state.counters["flops"] = benchmark::Counter(c.flops, benchmark::Counter::kIsIterationInvariantRate);
}
template <class T>
void fwd(benchmark::State& state) {
  Case<T> c(state);
  for (auto _ : state) c.forward();
  report(state, kernels::grn_fwd_cost<T>(c.N, c.HW, c.C));
}
template <class T>
void bwd(benchmark::State& state) {
  Case<T> c(state);
  for (auto _ : state) c.backward();
  report(state, kernels::grn_bwd_cost<T>(c.N, c.HW, c.C));
}

BENCHMARK(fwd<float>)->Apply(shapes);
BENCHMARK(fwd<bf16>)->Apply(shapes);
BENCHMARK(bwd<float>)->Apply(shapes);
BENCHMARK(bwd<bf16>)->Apply(shapes);

}  // namespace
