// bench/bench_conv2d.cpp — convolutions of MTCNN (one level of a pyramid, 64 candidates) and of InceptionResnetV1 (8
// faces), and one of a diffusion network. oneDNN's own beside them, weights packed beforehand.
#include <oneapi/dnnl/dnnl.hpp>

#include "bench/report.h"
#include "kernels/conv2d/conv2d.h"

using namespace bonafide;
using namespace bonafide::bench;
using kernels::Conv2dShape;

namespace {

enum Pass { fwd, data, weight };

struct Layer {
  const char* name;
  Conv2dShape shape;
};
const Layer kLayers[] = {
    {"pnet1", {.N = 1, .H = 288, .W = 384, .Cin = 3, .Cout = 10, .window = {3, 3}}},
    {"pnet2", {.N = 1, .H = 143, .W = 191, .Cin = 10, .Cout = 16, .window = {3, 3}}},
    {"pnet3", {.N = 1, .H = 141, .W = 189, .Cin = 16, .Cout = 32, .window = {3, 3}}},
    {"rnet2", {.N = 64, .H = 11, .W = 11, .Cin = 28, .Cout = 48, .window = {3, 3}}},
    {"onet2", {.N = 64, .H = 23, .W = 23, .Cin = 32, .Cout = 64, .window = {3, 3}}},
    {"conv2d_1a", {.N = 8, .H = 160, .W = 160, .Cin = 3, .Cout = 32, .window = {3, 3, 2, 2}}},
    {"conv2d_4a", {.N = 8, .H = 38, .W = 38, .Cin = 80, .Cout = 192, .window = {3, 3}}},
    {"block17 1x7", {.N = 8, .H = 8, .W = 8, .Cin = 128, .Cout = 128, .window = {1, 7, 1, 1, 0, 3}}},
    {"block8 3x1", {.N = 8, .H = 3, .W = 3, .Cin = 192, .Cout = 192, .window = {3, 1, 1, 1, 1, 0}}},
    {"block17 1x1", {.N = 8, .H = 8, .W = 8, .Cin = 896, .Cout = 128, .window = {}}},
    {"depthwise", {.N = 8, .H = 28, .W = 28, .Cin = 96, .Cout = 96, .window = {3, 3, 1, 1, 1, 1}, .groups = 96}},
    {"unet", {.N = 2, .H = 32, .W = 32, .Cin = 320, .Cout = 320, .window = {3, 3, 1, 1, 1, 1}}},
};
void layers(benchmark::internal::Benchmark* b) {
  for (std::size_t i = 0; i < std::size(kLayers); ++i) b->Arg(std::int64_t(i));
  b->Unit(benchmark::kMicrosecond)->UseRealTime();
}

template <class T>
struct Case {
  Conv2dShape s;
  std::vector<T> x, w, y, dx;
  std::vector<float> b, dw, db, work;
  explicit Case(const Conv2dShape& of)
      : s(of),
        x(numbers<T>(s.x_len(), 1)),
        w(numbers<T>(s.w_len(), 2)),
        y(numbers<T>(s.y_len(), 3)),
        dx(x.size()),
        b(std::size_t(s.Cout), 0.5f),
        dw(w.size()),
        db(b.size()),
        work(std::size_t(std::max({kernels::conv2d_fwd_workspace<T>(Device::cpu, s),
                                   kernels::conv2d_bwd_data_workspace<T>(Device::cpu, s),
                                   kernels::conv2d_bwd_weight_workspace(Device::cpu, s)}))) {}
  void run(Pass p) {
    if (p == fwd) kernels::cpu::conv2d_fwd<T>({.x = x, .w = w, .b = b, .y = y, .workspace = work, .shape = s});
    if (p == data) kernels::cpu::conv2d_bwd_data<T>({.dy = y, .w = w, .dx = dx, .workspace = work, .shape = s});
    if (p == weight)
      kernels::cpu::conv2d_bwd_weight<T>({.dy = y, .x = x, .dw = dw, .db = db, .workspace = work, .shape = s});
  }
  // One element of the result against the formula.
  void check(Pass p) {
    const kernels::Window2d& k = s.window;
    const std::int64_t I = s.in_group(), O = s.out_group(), OH = s.out_h(), OW = s.out_w();
    const auto before = y;
    run(p);
    double want = 0, got = 0, terms = 1;
    const auto add = [&](double a, double c) { want += a * c, terms += std::abs(a * c); };
    const auto at = [&](std::int64_t n, std::int64_t h, std::int64_t v, std::int64_t c) {
      return std::size_t(((n * s.H + h) * s.W + v) * s.Cin + c);
    };
    const auto out = [&](std::int64_t n, std::int64_t i, std::int64_t j, std::int64_t o) {
      return std::size_t(((n * OH + i) * OW + j) * s.Cout + o);
    };
    const auto tap = [&](std::int64_t o, std::int64_t c, int u, int v) {
      return std::size_t(((o * I + c) * k.kernel_h + u) * k.kernel_w + v);
    };
    const std::int64_t o = s.Cout - 1, c = I - 1;
    if (p == weight) {
      for (std::int64_t n = 0; n < s.N; ++n)
        for (std::int64_t i = 0; i < OH; ++i)
          for (std::int64_t j = 0; j < OW; ++j) {
            const std::int64_t h = i * k.stride_h - k.pad_h, v = j * k.stride_w - k.pad_w;
            if (h >= 0 && v >= 0)
              add(double(to_f32(before[out(n, i, j, o)])), double(to_f32(x[at(n, h, v, s.Cin - 1)])));
          }
      got = dw[tap(o, c, 0, 0)];
    } else if (p == fwd) {
      want = 0.5;
      for (std::int64_t ch = 0; ch < I; ++ch)
        for (int u = 0; u < k.kernel_h; ++u)
          for (int v = 0; v < k.kernel_w; ++v) {
            const std::int64_t h = OH / 2 * k.stride_h - k.pad_h + u, q = (OW - 1) * k.stride_w - k.pad_w + v;
            if (h >= 0 && h < s.H && q >= 0 && q < s.W)
              add(double(to_f32(x[at(s.N - 1, h, q, o / O * I + ch)])), double(to_f32(w[tap(o, ch, u, v)])));
          }
      got = double(to_f32(y[out(s.N - 1, OH / 2, OW - 1, o)]));
    } else {
      for (std::int64_t ch = 0; ch < O; ++ch)
        for (int u = 0; u < k.kernel_h; ++u)
          for (int v = 0; v < k.kernel_w; ++v) {
            const std::int64_t h = s.H / 2 + k.pad_h - u, q = s.W / 2 + k.pad_w - v;
            if (h < 0 || q < 0 || h % k.stride_h || q % k.stride_w || h / k.stride_h >= OH || q / k.stride_w >= OW)
              continue;
            add(double(to_f32(before[out(s.N - 1, h / k.stride_h, q / k.stride_w, (s.groups - 1) * O + ch)])),
                double(to_f32(w[tap((s.groups - 1) * O + ch, c, u, v)])));
          }
      got = double(to_f32(dx[at(s.N - 1, s.H / 2, s.W / 2, s.Cin - 1)]));
    }
    verify("conv2d", got, want, 1e-5 * terms + (sizeof(T) == 2 ? 0.01 : 0) * std::abs(want));
  }
};

template <class T, Pass p>
void ours(benchmark::State& state) {
  const Layer& layer = kLayers[state.range(0)];
  Case<T> c(layer.shape);
  c.check(p);
  for (auto _ : state) c.run(p);
  state.SetLabel(layer.name);
  report(state, p == fwd    ? kernels::conv2d_fwd_cost<T>(c.s)
                : p == data ? kernels::conv2d_bwd_data_cost<T>(c.s)
                            : kernels::conv2d_bwd_weight_cost<T>(c.s));
}

// As many threads as OpenMP has, weights in oneDNN's own order.
template <class T, Pass p>
void onednn(benchmark::State& state) {
  using namespace dnnl;
  const Layer& layer = kLayers[state.range(0)];
  const Conv2dShape& s = layer.shape;
  Case<T> c(s);
  engine eng(engine::kind::cpu, 0);
  stream stream(eng);
  const auto type = sizeof(T) == 4 ? memory::data_type::f32 : memory::data_type::bf16, f32 = memory::data_type::f32;
  const memory::desc x({s.N, s.Cin, s.H, s.W}, type, memory::format_tag::nhwc),
      y({s.N, s.Cout, s.out_h(), s.out_w()}, type, memory::format_tag::nhwc);
  const memory::dims taps =
      s.groups > 1 ? memory::dims{s.groups, s.out_group(), s.in_group(), s.window.kernel_h, s.window.kernel_w}
                   : memory::dims{s.Cout, s.Cin, s.window.kernel_h, s.window.kernel_w};
  const memory::desc w(taps, type, memory::format_tag::any), dw(taps, f32, memory::format_tag::any),
      b({s.Cout}, f32, memory::format_tag::a);
  const memory::dims step{s.window.stride_h, s.window.stride_w}, pad{s.window.pad_h, s.window.pad_w};
  const auto direct = algorithm::convolution_direct;
  const convolution_forward::primitive_desc forward({prop_kind::forward_training, direct, x, w, b, y, step, pad, pad},
                                                    eng);
  memory X(x, eng, c.x.data()), Y(y, eng, c.y.data()), B(b, eng, c.b.data());
  const auto loop = [&](const primitive& op, const std::unordered_map<int, memory>& args) {
    for (auto _ : state) op.execute(stream, args), stream.wait();
  };
  if (p == fwd) {
    memory F(forward.weights_desc(), eng);
    loop(convolution_forward(forward),
         {{DNNL_ARG_SRC, X}, {DNNL_ARG_WEIGHTS, F}, {DNNL_ARG_BIAS, B}, {DNNL_ARG_DST, Y}});
  } else if (p == data) {
    const convolution_backward_data::primitive_desc pd({direct, x, w, y, step, pad, pad}, eng, forward);
    memory F(pd.weights_desc(), eng);
    loop(convolution_backward_data(pd), {{DNNL_ARG_DIFF_SRC, X}, {DNNL_ARG_WEIGHTS, F}, {DNNL_ARG_DIFF_DST, Y}});
  } else {
    const convolution_backward_weights::primitive_desc pd({direct, x, dw, b, y, step, pad, pad}, eng, forward);
    memory F(pd.diff_weights_desc(), eng);
    loop(convolution_backward_weights(pd),
         {{DNNL_ARG_SRC, X}, {DNNL_ARG_DIFF_WEIGHTS, F}, {DNNL_ARG_DIFF_BIAS, B}, {DNNL_ARG_DIFF_DST, Y}});
  }
  state.SetLabel(layer.name);
  state.counters["FLOP/s"] = benchmark::Counter(2 * s.products(), benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(ours<float, fwd>)->Apply(layers);
BENCHMARK(onednn<float, fwd>)->Apply(layers);
BENCHMARK(ours<float, data>)->Apply(layers);
BENCHMARK(onednn<float, data>)->Apply(layers);
BENCHMARK(ours<float, weight>)->Apply(layers);
BENCHMARK(onednn<float, weight>)->Apply(layers);
BENCHMARK(ours<bf16, fwd>)->Apply(layers);
BENCHMARK(ours<bf16, data>)->Apply(layers);
BENCHMARK(ours<bf16, weight>)->Apply(layers);

// Images whose sizes have not been seen, as a folder of photographs has them: planning included.
void new_sizes(benchmark::State& state) {
  std::int64_t width = 60;
  for (auto _ : state) {
    state.PauseTiming();
    Case<float> c({.N = 1, .H = 96, .W = ++width, .Cin = 16, .Cout = 32, .window = {3, 3}});
    state.ResumeTiming();
    c.run(fwd);
  }
}
BENCHMARK(new_sizes)->Iterations(300)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
