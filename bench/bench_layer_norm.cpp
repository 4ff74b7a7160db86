// bench/bench_layer_norm.cpp — LayerNorm on the stages of ConvNeXt-V2 tiny and atto (224 pixels, batch 8) and of the
// narrow model of the demonstration (80 pixels, batch 64).
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "kernels/layer_norm/layer_norm.h"

using namespace bonafide;

namespace {

// {rows, channels}
void shapes(benchmark::internal::Benchmark* b) {
  for (auto [side, C] : {std::pair{56, 96}, {28, 192}, {14, 384}, {7, 768}}) b->Args({8 * side * side, C});
  for (auto [side, C] : {std::pair{56, 40}, {7, 320}}) b->Args({8 * side * side, C});
  for (auto [side, C] : {std::pair{20, 24}, {10, 48}, {5, 96}, {2, 192}}) b->Args({64 * side * side, C});
  b->ArgNames({"rows", "c"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
struct Case {
  std::int64_t rows;
  int C;
  std::vector<T> x, y, dy, dx;
  std::vector<float> gamma, beta, mean, rstd, dgamma, dbeta, work;
  explicit Case(const benchmark::State& s)
      : rows(s.range(0)),
        C(int(s.range(1))),
        x(std::size_t(rows * C)),
        y(x.size()),
        dy(x.size()),
        dx(x.size()),
        gamma(std::size_t(C), 2),
        beta(std::size_t(C), 0.5f),
        mean(std::size_t(rows)),
        rstd(mean),
        dgamma(gamma),
        dbeta(gamma),
        work(std::size_t(kernels::layer_norm_bwd_workspace(rows, C))) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(float(i % 17) - 8), dy[i] = T(float(i % 13) - 6);
    forward();
    // A normalised row has mean beta and, but for eps, standard deviation gamma.
    double sum = 0, squares = 0;
    for (int c = 0; c < C; ++c)
      sum += to_f32(y[std::size_t(c)]) - 0.5, squares += std::pow(to_f32(y[std::size_t(c)]) - 0.5, 2);
    BF_CHECK(std::abs(sum / C) < 0.02 && std::abs(squares / C - 4) < 0.05, "row 0: mean ", sum / C, ", variance ",
             squares / C);
    backward();
    sum = 0;  // dx is orthogonal to a shift of x
    for (int c = 0; c < C; ++c) sum += to_f32(dx[std::size_t(c)]);
    BF_CHECK(std::abs(sum) / C < 0.02, "dx of row 0 has mean ", sum / C);
  }
  void forward() {
    kernels::cpu::layer_norm_fwd<T>(
        {.x = x, .gamma = gamma, .beta = beta, .y = y, .mean = mean, .rstd = rstd, .rows = rows, .C = C});
  }
  void backward() {
    kernels::cpu::layer_norm_bwd<T>({.dy = dy,
                                     .x = x,
                                     .gamma = gamma,
                                     .mean = mean,
                                     .rstd = rstd,
                                     .dx = dx,
                                     .dgamma = dgamma,
                                     .dbeta = dbeta,
                                     .workspace = work,
                                     .rows = rows,
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
  report(state, kernels::layer_norm_fwd_cost<T>(c.rows, c.C));
}
template <class T>
void bwd(benchmark::State& state) {
  Case<T> c(state);
  for (auto _ : state) c.backward();
  report(state, kernels::layer_norm_bwd_cost<T>(c.rows, c.C));
}

BENCHMARK(fwd<float>)->Apply(shapes);
BENCHMARK(fwd<bf16>)->Apply(shapes);
BENCHMARK(bwd<float>)->Apply(shapes);
BENCHMARK(bwd<bf16>)->Apply(shapes);

}  // namespace
