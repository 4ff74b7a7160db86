// bench/bench_losses.cpp — the losses and the normalisation before SupCon, for batches of 64 (published) and 1024.
#include <cmath>

#include "bench/report.h"
#include "kernels/bce/bce.h"
#include "kernels/focal/focal.h"
#include "kernels/l2_normalize/l2_normalize.h"
#include "kernels/supcon/supcon.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

constexpr std::int64_t kFeatures = 128;
void batches(benchmark::internal::Benchmark* b) { b->Arg(64)->Arg(1024)->Unit(benchmark::kMicrosecond)->UseRealTime(); }

std::vector<float> halves(std::int64_t n) {
  std::vector<float> v;
  for (std::int64_t i = 0; i < n; ++i) v.push_back(float(i % 2));
  return v;
}

void bce(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::vector<float> z(std::size_t(n), 0), y = halves(n);
  std::vector<float> loss(1);
  kernels::cpu::bce_fwd({.z = z, .y = y, .loss = loss});
  verify("the loss", double(loss[0]), std::log(2.0), 1e-6);
  for (auto _ : state) kernels::cpu::bce_fwd({.z = z, .y = y, .loss = loss});
  report(state, kernels::bce_fwd_cost(n));
}
void focal(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::vector<float> z(std::size_t(n), 0), y = halves(n), one{1};
  std::vector<float> loss(1), dz(z);
  kernels::cpu::focal_fwd({.z = z, .y = y, .loss = loss});
  verify("the loss", double(loss[0]), 0.528 * std::pow(0.5, 0.73) * std::log(2.0), 1e-6);
  for (auto _ : state) {
    kernels::cpu::focal_fwd({.z = z, .y = y, .loss = loss});
    kernels::cpu::focal_bwd({.dloss = one, .z = z, .y = y, .dz = dz});
  }
  const Cost f = kernels::focal_fwd_cost(n), b = kernels::focal_bwd_cost(n);
  report(state, {f.bytes_read + b.bytes_read, f.bytes_written + b.bytes_written, f.flops + b.flops});
}
void l2_normalize(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::vector<float> x(std::size_t(n * kFeatures), 3);
  std::vector<float> y(x.size()), norm(static_cast<std::size_t>(n));
  const kernels::L2NormalizeFwd a{.x = x, .y = y, .norm = norm, .N = n, .D = kFeatures};
  kernels::cpu::l2_normalize_fwd(a);
  verify("an element", double(y.back()), 1 / std::sqrt(double(kFeatures)), 1e-7);
  for (auto _ : state) kernels::cpu::l2_normalize_fwd(a);
  report(state, kernels::l2_normalize_fwd_cost(n, kFeatures));
}

// All features equal: log_outside is -log of the positives' share, l_out is log(N - 1).
template <kernels::SupConForm form>
void supcon(benchmark::State& state) {
  const std::int64_t n = state.range(0);
  const std::vector<float> f(std::size_t(n * kFeatures), 1 / std::sqrt(float(kFeatures))), y = halves(n), one{1};
  std::vector<float> loss(1), stats(std::size_t(3 * n)), df(f.size());
  const kernels::SupConFwd fwd{.f = f, .labels = y, .stats = stats, .form = form, .N = n, .D = kFeatures};
  const kernels::SupConMean mean{.stats = stats, .loss = loss, .N = n};
  const kernels::SupConBwd bwd{
      .dloss = one, .f = f, .labels = y, .stats = stats, .df = df, .form = form, .N = n, .D = kFeatures};
  kernels::cpu::supcon_fwd(fwd);
  kernels::cpu::supcon_mean(mean);
  const double others = double(n - 1), positives = double(n / 2 - 1);
  verify("the loss", double(loss[0]),
         form == kernels::SupConForm::log_outside ? -std::log(positives / others) : std::log(others), 1e-5);
  for (auto _ : state) {
    kernels::cpu::supcon_fwd(fwd);
    kernels::cpu::supcon_mean(mean);
    kernels::cpu::supcon_bwd(bwd);
  }
  const Cost a = kernels::supcon_fwd_cost(n, kFeatures), b = kernels::supcon_bwd_cost(n, kFeatures), c = kernels::supcon_mean_cost(n);
  report(state, {a.bytes_read + b.bytes_read + c.bytes_read, a.bytes_written + b.bytes_written + c.bytes_written, a.flops + b.flops + c.flops});
}

BENCHMARK(bce)->Apply(batches);
BENCHMARK(focal)->Apply(batches);
BENCHMARK(l2_normalize)->Apply(batches);
BENCHMARK(supcon<kernels::SupConForm::log_outside>)->Apply(batches);
BENCHMARK(supcon<kernels::SupConForm::l_out>)->Apply(batches);
BENCHMARK(supcon<kernels::SupConForm::soft>)->Apply(batches);

}  // namespace
