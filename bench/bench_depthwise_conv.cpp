// bench/bench_depthwise_conv.cpp — the three passes on the stages of ConvNeXt-V2 tiny and atto (224 pixels) and of the
// narrow model of the demonstration (80 pixels, batch 64). oneDNN's passes beside them, for the ratio.
#include <benchmark/benchmark.h>

#include <cmath>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/depthwise_conv/depthwise_conv.h"

using namespace bonafide;

namespace {

enum Pass { fwd, data, weight };

// {batch, side, channels}
void shapes(benchmark::internal::Benchmark* b) {
  for (auto [side, C] : {std::pair{56, 96}, {28, 192}, {14, 384}, {7, 768}}) b->Args({8, side, C});
  for (auto [side, C] : {std::pair{56, 40}, {28, 80}, {14, 160}, {7, 320}}) b->Args({8, side, C});
  for (auto [side, C] : {std::pair{20, 24}, {10, 48}, {5, 96}, {2, 192}}) b->Args({64, side, C});
  b->ArgNames({"n", "side", "c"})->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
struct Case {
  std::int64_t N;
  int S, C;
  std::vector<T> x, y, dx;
  std::vector<float> f, b, df, db, filter, sums;

  explicit Case(const benchmark::State& s)
      : N(s.range(0)),
        S(int(s.range(1))),
        C(int(s.range(2))),
        x(std::size_t(N * S * S * C)),
        y(x.size()),
        dx(x.size()),
        f(std::size_t(C) * 49),
        b(std::size_t(C), 0.5f),
        df(f.size()),
        db(b.size()),
        filter(std::size_t(kernels::depthwise_conv_filter_workspace(C))),
        sums(std::size_t(kernels::depthwise_conv_weight_workspace(N, S, S, C))) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(float(i % 17) - 8), y[i] = T(float(i % 13) - 6);
    for (std::size_t i = 0; i < f.size(); ++i) f[i] = float(i % 11) - 5;
  }
  void run(Pass p) {
    using namespace kernels;
    if (p == fwd)
      cpu::depthwise_conv_fwd<T>({.x = x, .f = f, .b = b, .y = y, .workspace = filter, .N = N, .H = S, .W = S, .C = C});
    if (p == data)
      cpu::depthwise_conv_bwd_data<T>({.dy = y, .f = f, .dx = dx, .workspace = filter, .N = N, .H = S, .W = S, .C = C});
    if (p == weight)
      cpu::depthwise_conv_bwd_weight<T>(
          {.dy = y, .x = x, .df = df, .db = db, .workspace = sums, .N = N, .H = S, .W = S, .C = C});
  }
  // One element of each result against the formula: the values are small integers, so f32 sums are exact.
  void verify(Pass p) {
    const int c = C - 1, h = S / 2, w = S - 1;
    const auto at = [&](std::int64_t n, int i, int j) { return std::size_t(((n * S + i) * S + j) * C + c); };
    double want = p == fwd ? 0.5 : 0, got = 0;
    if (p != weight) {
      for (int i = 0; i < 7; ++i)
        for (int j = 0; j < 7; ++j) {
          const int u = p == fwd ? h + i - 3 : h + 3 - i, v = p == fwd ? w + j - 3 : w + 3 - j;
          if (u >= 0 && u < S && v >= 0 && v < S)
            want += double(to_f32(p == fwd ? x[at(0, u, v)] : y[at(0, u, v)])) * f[std::size_t(c * 49 + i * 7 + j)];
        }
      run(p);
      got = double(to_f32(p == fwd ? y[at(0, h, w)] : dx[at(0, h, w)]));
    } else {
      for (std::int64_t n = 0; n < N; ++n)
        for (int i = 0; i < S; ++i)
          for (int j = 1; j < S; ++j) want += double(to_f32(y[at(n, i, j)])) * double(to_f32(x[at(n, i, j - 1)]));
      run(p);
      got = df[std::size_t(c * 49 + 3 * 7 + 2)];
    }
    BF_CHECK(std::abs(got - want) <= 1e-4 * std::abs(want) + std::abs(want) * (sizeof(T) == 2 ? 0.008 : 0), "pass ",
             int(p), " gave ", got, ", expected ", want);
  }
};

template <class T, Pass p>
void ours(benchmark::State& state) {
  Case<T> c(state);
  c.verify(p);
  for (auto _ : state) c.run(p);
  const Cost cost = p == fwd    ? kernels::depthwise_conv_fwd_cost<T>(c.N, c.S, c.S, c.C)
                    : p == data ? kernels::depthwise_conv_bwd_data_cost<T>(c.N, c.S, c.S, c.C)
                                : kernels::depthwise_conv_bwd_weight_cost<T>(c.N, c.S, c.S, c.C);
  state.SetBytesProcessed(std::int64_t(cost.bytes()) * state.iterations());
  state.counters["flops"] = benchmark::Counter(cost.flops, benchmark::Counter::kIsIterationInvariantRate);
}

template <class T, Pass p>
void onednn(benchmark::State& state) {
  using namespace dnnl;
  Case<T> c(state);
  engine eng(engine::kind::cpu, 0);
  stream stream(eng);
  const auto type = sizeof(T) == 4 ? memory::data_type::f32 : memory::data_type::bf16, f32 = memory::data_type::f32;
  const memory::desc x({c.N, c.C, c.S, c.S}, type, memory::format_tag::nhwc);
  const memory::desc f({c.C, 1, 1, 7, 7}, type, memory::format_tag::any), b({c.C}, f32, memory::format_tag::a);
  const memory::dims one{1, 1}, pad{3, 3};
  const convolution_forward::primitive_desc forward(
      {prop_kind::forward_training, algorithm::convolution_direct, x, f, b, x, one, pad, pad}, eng);
  memory X(x, eng, c.x.data()), Y(x, eng, c.y.data()), B(b, eng, c.b.data());
  const auto loop = [&](const primitive& op, const std::unordered_map<int, memory>& args) {
    for (auto _ : state) op.execute(stream, args), stream.wait();
  };
  if (p == fwd) {
    memory F(forward.weights_desc(), eng);
    loop(convolution_forward(forward),
         {{DNNL_ARG_SRC, X}, {DNNL_ARG_WEIGHTS, F}, {DNNL_ARG_BIAS, B}, {DNNL_ARG_DST, Y}});
  } else if (p == data) {
    const convolution_backward_data::primitive_desc pd({algorithm::convolution_direct, x, f, x, one, pad, pad}, eng,
                                                       forward);
    memory F(pd.weights_desc(), eng);
    loop(convolution_backward_data(pd), {{DNNL_ARG_DIFF_SRC, X}, {DNNL_ARG_WEIGHTS, F}, {DNNL_ARG_DIFF_DST, Y}});
  } else {
    const convolution_backward_weights::primitive_desc pd({algorithm::convolution_direct, x, f, b, x, one, pad, pad},
                                                          eng, forward);
    memory F(pd.diff_weights_desc(), eng);
    loop(convolution_backward_weights(pd),
         {{DNNL_ARG_SRC, X}, {DNNL_ARG_DIFF_WEIGHTS, F}, {DNNL_ARG_DIFF_BIAS, B}, {DNNL_ARG_DIFF_DST, Y}});
  }
  state.counters["flops"] =
      benchmark::Counter(98.0 * double(c.x.size()), benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(ours<float, fwd>)->Apply(shapes);
BENCHMARK(onednn<float, fwd>)->Apply(shapes);
BENCHMARK(ours<float, data>)->Apply(shapes);
BENCHMARK(onednn<float, data>)->Apply(shapes);
BENCHMARK(ours<float, weight>)->Apply(shapes);
BENCHMARK(onednn<float, weight>)->Apply(shapes);
BENCHMARK(ours<bf16, fwd>)->Apply(shapes);
BENCHMARK(onednn<bf16, fwd>)->Apply(shapes);
BENCHMARK(ours<bf16, data>)->Apply(shapes);
BENCHMARK(onednn<bf16, data>)->Apply(shapes);
BENCHMARK(ours<bf16, weight>)->Apply(shapes);
BENCHMARK(onednn<bf16, weight>)->Apply(shapes);

}  // namespace
