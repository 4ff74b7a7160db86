// bench/bench_match.cpp — nearest genuine faces of a list of attacks, beside the bare matrix product that it is made of.
#include "bench/report.h"
#include "data/nearest.h"
#include "kernels/matmul/matmul.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

constexpr std::int64_t kDimension = 512;

// Rows of length 1 whose similarities spread as those of faces of different people do.
std::vector<float> units(std::int64_t n, std::uint32_t salt) {
  std::vector<float> v = numbers<float>(n * kDimension, salt);
  for (std::int64_t i = 0; i < n; ++i) {
    double squared = 0;
    for (std::int64_t c = 0; c < kDimension; ++c) squared += double(v[std::size_t(i * kDimension + c)]) * double(v[std::size_t(i * kDimension + c)]);
    for (std::int64_t c = 0; c < kDimension; ++c) v[std::size_t(i * kDimension + c)] *= float(1 / std::sqrt(squared));
  }
  return v;
}

VectorSet all_of(const std::vector<float>& v) {
  VectorSet s{std::as_bytes(std::span(v)), kDimension, {}};
  for (std::int64_t i = 0; i < std::int64_t(v.size()) / kDimension; ++i) s.rows.push_back(i);
  return s;
}

// {attacks, genuine}
void shapes(benchmark::internal::Benchmark* b) {
  b->Args({2048, 1024})->Args({8192, 8192})->Args({22000, 751});
  b->ArgNames({"attacks", "genuine"})->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.5);
}

void match(benchmark::State& state) {
  const std::vector<float> a = units(state.range(0), 1), g = units(state.range(1), 2);
  const VectorSet attacks = all_of(a), genuine = all_of(g);
  Context ctx;
  const auto first = nearest(ctx, attacks, genuine, state.range(2));
  double best = -2;
  for (std::int64_t j = 0; j < state.range(1); ++j)
    best = std::max(best, cosine({a.data(), kDimension}, {g.data() + j * kDimension, kDimension}));
  verify("the first similarity", first[0].similarity, best, 0);
  for (auto _ : state) nearest(ctx, attacks, genuine, state.range(2));
  report(state, nearest_cost(state.range(0), state.range(1), kDimension));
}

// The same products, one block of genuine faces after the other, and nothing done with them.
void product(benchmark::State& state) {
  const std::vector<float> a = units(state.range(0), 1), g = units(state.range(1), 2);
  const std::int64_t block = std::min<std::int64_t>(1024, state.range(1)), rows = std::min<std::int64_t>(2048, state.range(0));
  std::vector<float> y(std::size_t(rows * block));
  for (auto _ : state)
    for (std::int64_t q = 0; q < state.range(0); q += rows)
      for (std::int64_t b = 0; b < state.range(1); b += block) {
        const std::int64_t m = std::min(rows, state.range(0) - q), n = std::min(block, state.range(1) - b);
        kernels::cpu::linear_fwd<float>({.x = {a.data() + q * kDimension, m * kDimension},
                                         .w = {g.data() + b * kDimension, n * kDimension},
                                         .b = {},
                                         .y = {y.data(), m * n},
                                         .rows = m,
                                         .in = kDimension,
                                         .out = n});
      }
  report(state, nearest_cost(state.range(0), state.range(1), kDimension));
}

void match_shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t k : {1, 10}) b->Args({2048, 1024, k})->Args({8192, 8192, k})->Args({22000, 751, k});
  b->ArgNames({"attacks", "genuine", "k"})->Unit(benchmark::kMillisecond)->UseRealTime()->MinTime(0.5);
}

BENCHMARK(product)->Apply(shapes);
BENCHMARK(match)->Apply(match_shapes);

}  // namespace
