// bench/bench_batch_norm.cpp — batch normalisation at the sizes of InceptionResnetV1 (160 pixels, batch 8), training
// and inference.
#include "bench/report.h"
#include "kernels/batch_norm/batch_norm.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

void shapes(benchmark::internal::Benchmark* b) {
  for (const auto& [side, C] : {std::pair{79, 32}, {38, 80}, {17, 256}, {8, 896}, {3, 1792}})
    for (const int training : {1, 0}) b->Args({8 * side * side, C, training});
  b->ArgNames({"rows", "c", "training"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
struct Case {
  std::int64_t rows, C;
  bool training;
  std::vector<T> x, dy, y, dx;
  std::vector<float> gamma, beta, running_mean, running_var, mean, rstd, dgamma, dbeta, fwd_work, bwd_work;
  explicit Case(const benchmark::State& s)
      : rows(s.range(0)),
        C(s.range(1)),
        training(s.range(2) != 0),
        x(numbers<T>(rows * C)),
        dy(numbers<T>(rows * C, 2)),
        y(x.size()),
        dx(x.size()),
        gamma(std::size_t(C), 2),
        beta(std::size_t(C), 0.5f),
        running_mean(std::size_t(C)),
        running_var(gamma),
        mean(gamma),
        rstd(gamma),
        dgamma(gamma),
        dbeta(gamma),
        fwd_work(std::size_t(kernels::batch_norm_fwd_workspace(rows, C))),
        bwd_work(std::size_t(kernels::batch_norm_bwd_workspace(rows, C))) {
    forward(), backward();
    const auto c = std::size_t(C - 1);  // the last channel: y has mean beta, or is x scaled; so does dx
    double of_y = 0, of_dx = 0, want_y = 0, want_dx = 0;
    for (std::size_t i = c; i < x.size(); i += std::size_t(C)) {
      of_y += double(to_f32(y[i])), of_dx += double(to_f32(dx[i]));
      want_y += training ? 0.5 : double(to_f32(x[i])) * 2 / std::sqrt(2 + 1e-5) + 0.5;
      want_dx += training ? 0 : double(to_f32(dy[i])) * 2 / std::sqrt(2 + 1e-5);
    }
    verify("the mean of y", of_y / double(rows), want_y / double(rows), 5e-3);
    verify("the mean of dx", of_dx / double(rows), want_dx / double(rows), 5e-3);
  }
  void forward() {
    kernels::cpu::batch_norm_fwd<T>({.x = x,
                                     .gamma = gamma,
                                     .beta = beta,
                                     .y = y,
                                     .running_mean = running_mean,
                                     .running_var = running_var,
                                     .mean = mean,
                                     .rstd = rstd,
                                     .workspace = fwd_work,
                                     .rows = rows,
                                     .C = C,
                                     .training = training});
  }
  void backward() {
    kernels::cpu::batch_norm_bwd<T>({.dy = dy,
                                     .x = x,
                                     .gamma = gamma,
                                     .mean = mean,
                                     .rstd = rstd,
                                     .dx = dx,
                                     .dgamma = dgamma,
                                     .dbeta = dbeta,
                                     .workspace = bwd_work,
                                     .rows = rows,
                                     .C = C,
                                     .training = training});
  }
};

template <class T>
void fwd(benchmark::State& state) {
  Case<T> c(state);
  for (auto _ : state) c.forward();
  report(state, kernels::batch_norm_fwd_cost<T>(c.rows, c.C, c.training));
}
template <class T>
void bwd(benchmark::State& state) {
  Case<T> c(state);
  for (auto _ : state) c.backward();
  report(state, kernels::batch_norm_bwd_cost<T>(c.rows, c.C, c.training));
}

BENCHMARK(fwd<float>)->Apply(shapes);
BENCHMARK(fwd<bf16>)->Apply(shapes);
BENCHMARK(bwd<float>)->Apply(shapes);
BENCHMARK(bwd<bf16>)->Apply(shapes);

}  // namespace
