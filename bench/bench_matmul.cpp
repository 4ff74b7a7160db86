// bench/bench_matmul.cpp — the three products of the linear layers of ConvNeXt-V2 tiny and atto, batch 8 at 224 pixels.
#include "bench/report.h"
#include "kernels/matmul/matmul.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

// {rows, in, out}: the two MLP products of each stage, stem, downsampling, head.
void shapes(benchmark::internal::Benchmark* b) {
  for (const auto& s : std::vector<std::vector<std::int64_t>>{
           {25088, 96, 384},  {25088, 384, 96}, {6272, 192, 768}, {6272, 768, 192}, {1568, 384, 1536},
           {1568, 1536, 384}, {392, 768, 3072}, {392, 3072, 768}, {25088, 48, 96},  {6272, 384, 192},
           {8, 768, 384},     {8, 768, 1},  // tiny
           {25088, 40, 160},  {25088, 160, 40}, {6272, 80, 320},  {6272, 320, 80},  {1568, 160, 640},
           {1568, 640, 160},  {392, 320, 1280}, {392, 1280, 320}, {25088, 48, 40},  {1024, 1024, 1024}})  // atto
    b->Args(s);
  b->ArgNames({"rows", "in", "out"})->Unit(benchmark::kMicrosecond)->UseRealTime()->MinTime(0.2);
}

template <class T>
struct Layer {
  std::int64_t rows, in, out;
  std::vector<T> x, w, dy, y, dx;
  std::vector<float> b, dw, db, work;
  explicit Layer(const benchmark::State& s)
      : rows(s.range(0)),
        in(s.range(1)),
        out(s.range(2)),
        x(numbers<T>(rows * in)),
        w(numbers<T>(out * in, 2)),
        dy(numbers<T>(rows * out, 3)),
        y(dy),
        dx(x),
        b(numbers<float>(out, 4)),
        dw(std::size_t(out * in)),
        db(b),
        work(std::size_t(kernels::linear_bwd_weight_workspace(Device::cpu, rows, in, out))) {}
  static double at(const std::vector<T>& v, std::int64_t i) { return double(to_f32(v[std::size_t(i)])); }
};

template <class T>
void forward(benchmark::State& state) {
  Layer<T> l(state);
  const kernels::LinearFwd<T> a{.x = l.x, .w = l.w, .b = l.b, .y = l.y, .rows = l.rows, .in = l.in, .out = l.out};
  kernels::cpu::linear_fwd(a);
  double want = double(l.b.back());
  for (std::int64_t i = 0; i < l.in; ++i)
    want += l.at(l.x, (l.rows - 1) * l.in + i) * l.at(l.w, (l.out - 1) * l.in + i);
  verify("the last y", l.at(l.y, l.rows * l.out - 1), want, 1e-2 * std::abs(want) + 1e-3);
  for (auto _ : state) kernels::cpu::linear_fwd(a);
  report(state, kernels::linear_fwd_cost<T>(l.rows, l.in, l.out));
}
template <class T>
void backward_data(benchmark::State& state) {
  Layer<T> l(state);
  const kernels::LinearBwdData<T> a{.dy = l.dy, .w = l.w, .dx = l.dx, .rows = l.rows, .in = l.in, .out = l.out};
  kernels::cpu::linear_bwd_data(a);
  double want = 0;
  for (std::int64_t o = 0; o < l.out; ++o)
    want += l.at(l.dy, (l.rows - 1) * l.out + o) * l.at(l.w, o * l.in + l.in - 1);
  verify("the last dx", l.at(l.dx, l.rows * l.in - 1), want, 1e-2 * std::abs(want) + 1e-3);
  for (auto _ : state) kernels::cpu::linear_bwd_data(a);
  report(state, kernels::linear_bwd_data_cost<T>(l.rows, l.in, l.out));
}
template <class T>
void backward_weight(benchmark::State& state) {
  Layer<T> l(state);
  const kernels::LinearBwdWeight<T> a{
      .dy = l.dy, .x = l.x, .dw = l.dw, .db = l.db, .workspace = l.work, .rows = l.rows, .in = l.in, .out = l.out};
  kernels::cpu::linear_bwd_weight(a);
  double dw = 0, db = 0;
  for (std::int64_t r = 0; r < l.rows; ++r)
    dw += l.at(l.dy, r * l.out) * l.at(l.x, r * l.in), db += l.at(l.dy, (r + 1) * l.out - 1);
  verify("the first dW", double(l.dw[0]), dw, 1e-5 * double(l.rows));
  verify("the last db", double(l.db.back()), db, 1e-6 * double(l.rows));
  for (auto _ : state) kernels::cpu::linear_bwd_weight(a);
  report(state, kernels::linear_bwd_weight_cost<T>(l.rows, l.in, l.out));
}

BENCHMARK(forward<float>)->Apply(shapes);
BENCHMARK(backward_data<float>)->Apply(shapes);
BENCHMARK(backward_weight<float>)->Apply(shapes);
BENCHMARK(forward<bf16>)->Apply(shapes);
BENCHMARK(backward_data<bf16>)->Apply(shapes);
BENCHMARK(backward_weight<bf16>)->Apply(shapes);

}  // namespace
