// kernels/conv2d/conv2d.simt.h — general convolution on CUDA: the bodies of our own kernels, which compute where cuDNN
// does not, and what is launched around either.
//
// A block computes 32 x 32 results, its 64 threads 4 x 4 each: 16 terms of all sums at a time are gathered into shared
// memory. Terms are ordered (row and column of the window, channel), so that threads read neighbouring channels of a
// pixel, and weights are put into that order first.
#pragma once
#include "kernels/carver.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/cudnn_conv.h"
#include "kernels/matmul/matmul.simt.h"

namespace bonafide::kernels {

// w [Cout, I, taps] -> [Cout, taps, I], or, turned, -> [Cin, taps, O]: what the data gradient's sums run over lies
// together.
template <class T>
struct Conv2dPack {
  Span<const T> w;
  Span<T> packed;
  std::int64_t in = 0, out = 0, taps = 0;  // channels of a group
  bool turned = false;
};
// Forward, and with dy as input the data gradient.
template <class T>
struct Conv2dRows {
  Span<const T> in, w;  // w [channels of the result, taps, channels of a group of `in`]
  Span<const float> b;
  Span<T> out;
  bool add = false;
  int in_h = 0, in_w = 0, in_c = 0, out_h = 0, out_w = 0, out_c = 0, groups = 1, pixels = 0;  // of the result
  Window2d window;
};
template <class T>
struct Conv2dWeight {
  Span<const T> dy, x;
  Span<float> partials;  // [splits, Cout, taps, I]
  Conv2dShape shape;
  std::int64_t splits = 1;
};
// dw [Cout, I, taps] from partials [splits, Cout, taps, I].
struct Conv2dWeightEnd {
  Span<const float> partials;
  Span<float> dw;
  bool add = false;
  std::int64_t splits = 1, in = 0, taps = 0;
};

template <class T, class F>
void for_each_array(const Conv2dPack<T>& a, F&& f) {
  f("w", a.w), f("packed", a.packed);
}
template <class T, class F>
void for_each_array(const Conv2dRows<T>& a, F&& f) {
  f("in", a.in), f("w", a.w), f("b", a.b), f("out", a.out);
}
template <class T, class F>
void for_each_array(const Conv2dWeight<T>& a, F&& f) {
  f("dy", a.dy), f("x", a.x), f("partials", a.partials);
}
template <class F>
void for_each_array(const Conv2dWeightEnd& a, F&& f) {
  f("partials", a.partials), f("dw", a.dw);
}

namespace simt_bodies {
using namespace simt;

// A thread per weight, in the order in which they are written.
struct Conv2dPackKernel {
  static constexpr const char* kName = "conv2d_pack";
  static constexpr int kMaxThreads = 128;
  template <class T>
  static LaunchShape shape(const Conv2dPack<T>& a) {
    return {.grid = {ceil_div<std::int64_t>(a.packed.len, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const Conv2dPack<T>& a) {
    const std::int64_t i = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (i >= a.packed.len) return;
    const std::int64_t inner = a.turned ? a.out : a.in, first = i / inner / a.taps, tap = i / inner % a.taps,
                       last = i % inner;
    std::int64_t o = first, c = last;  // turned: `first` counts input channels through all groups
    if (a.turned) o = first / a.in * a.out + last, c = first % a.in;
    block.store(a.packed, i, block.load(a.w, (o * a.in + c) * a.taps + tap));
  }
};

inline constexpr int kConvTile = 32, kConvTerms = 16, kConvSide = 8, kConvOwn = kConvTile / kConvSide;
inline constexpr int kConvThreads = kConvSide * kConvSide;
inline constexpr int kConvPitch = kConvTile + 4;  // of a row of 32 values for one term; whole vectors
inline constexpr int kConvLoads = kConvTile * kConvTerms / kConvThreads;

// sum[i][j] += the products of 16 terms, from rows of 32 values for each.
template <Block B>
BF_DEVICE void conv2d_multiply(B& block, Span<const float> rows, Span<const float> columns,
                               float (&sum)[kConvOwn][kConvOwn]) {
  BF_UNROLL
  for (int k = 0; k < kConvTerms; ++k) {
    const auto r = block.template load_vector<kConvOwn>(rows, k * kConvPitch + block.ty() * kConvOwn);
    const auto c = block.template load_vector<kConvOwn>(columns, k * kConvPitch + block.tx() * kConvOwn);
    BF_UNROLL
    for (int i = 0; i < kConvOwn; ++i) {
      BF_UNROLL
      for (int j = 0; j < kConvOwn; ++j) sum[i][j] = r[i] * c[j] + sum[i][j];
    }
  }
}

// The row (or column) of the input that tap `u` of result `y` reads; negative: there is none, it reads zero. kData: the
// result is dx, the input dy.
template <bool kData>
BF_DEVICE int conv2d_source(int y, int u, int stride, int pad, int size) {
  const int at = kData ? y + pad - u : y * stride - pad + u;
  if (!kData) return at < size ? at : -1;
  return at % stride == 0 && at / stride < size ? at / stride : -1;
}

// blockIdx.x: 32 pixels of the result; blockIdx.y: 32 channels of a group of it.
template <bool kData>
struct Conv2dRowsKernel {
  static constexpr const char* kName = "conv2d_rows";
  static constexpr int kMaxThreads = kConvThreads;
  struct Pixels;
  struct Weights;
  template <class T>
  static LaunchShape shape(const Conv2dRows<T>& a) {
    return {.grid = {ceil_div(a.pixels, kConvTile), std::int64_t(a.groups) * ceil_div(a.out_c / a.groups, kConvTile)},
            .block = {kConvSide, kConvSide}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const Conv2dRows<T>& a) {
    const auto pixels = block.template shared<Pixels, float, kConvTerms * kConvPitch>();
    const auto weights = block.template shared<Weights, float, kConvTerms * kConvPitch>();
    const int in = a.in_c / a.groups, out = a.out_c / a.groups, blocks = ceil_div(out, kConvTile);
    const int g = block.by() / blocks, first_out = block.by() % blocks * kConvTile,
              first_pixel = block.bx() * kConvTile;
    const int terms = a.window.kernel_h * a.window.kernel_w * in;

    // This thread gathers one of the 16 terms, for every fourth pixel and channel of the result.
    const int thread = block.ty() * kConvSide + block.tx(), own_term = thread % kConvTerms,
              own_row = thread / kConvTerms;
    constexpr int kStep = kConvThreads / kConvTerms;
    int y[kConvLoads], x[kConvLoads], image[kConvLoads];  // image -1: there is no such pixel
    BF_UNROLL
    for (int i = 0; i < kConvLoads; ++i) {
      const int p = first_pixel + own_row + i * kStep;
      x[i] = p % a.out_w, y[i] = p / a.out_w % a.out_h, image[i] = p < a.pixels ? p / a.out_w / a.out_h : -1;
    }
    float sum[kConvOwn][kConvOwn] = {};
    BF_UNROLL_NOT
    for (int first_term = 0; first_term < terms; first_term += kConvTerms) {
      const int term = first_term + own_term, c = term % in, tap = term / in;
      const int u = tap / a.window.kernel_w, v = tap % a.window.kernel_w;
      BF_UNROLL
      for (int i = 0; i < kConvLoads; ++i) {
        const int row = conv2d_source<kData>(y[i], u, a.window.stride_h, a.window.pad_h, a.in_h);
        const int column = conv2d_source<kData>(x[i], v, a.window.stride_w, a.window.pad_w, a.in_w);
        float value = 0;
        if (image[i] >= 0 && term < terms && row >= 0 && column >= 0)
          value = to_f32(
              block.load(a.in, ((std::int64_t(image[i]) * a.in_h + row) * a.in_w + column) * a.in_c + g * in + c));
        block.store(pixels, own_term * kConvPitch + own_row + i * kStep, value);
      }
      BF_UNROLL
      for (int i = 0; i < kConvLoads; ++i) {
        const int o = first_out + own_row + i * kStep;
        float value = 0;
        if (o < out && term < terms) value = to_f32(block.load(a.w, std::int64_t(g * out + o) * terms + term));
        block.store(weights, own_term * kConvPitch + own_row + i * kStep, value);
      }
      block.sync();
      conv2d_multiply(block, Span<const float>(pixels), Span<const float>(weights), sum);
      block.sync();
    }

    BF_UNROLL
    for (int j = 0; j < kConvOwn; ++j) {
      const int o = first_out + block.tx() * kConvOwn + j;
      const float bias = a.b.len > 0 && o < out ? block.load(a.b, g * out + o) : 0.0f;
      BF_UNROLL
      for (int i = 0; i < kConvOwn; ++i) {
        const int p = first_pixel + block.ty() * kConvOwn + i;
        if (o < out && p < a.pixels) {
          const std::int64_t at = std::int64_t(p) * a.out_c + g * out + o;
          const float result = sum[i][j] + bias;
          block.store(a.out, at, from_f32<T>(a.add ? to_f32(block.load(a.out, at)) + result : result));
        }
      }
    }
  }
};

// blockIdx.x: 32 of the taps and channels of a group, times a split of the pixels; blockIdx.y: 32 channels of dy.
struct Conv2dWeightKernel {
  static constexpr const char* kName = "conv2d_weight";
  static constexpr int kMaxThreads = kConvThreads;
  struct Gradients;
  struct Inputs;
  template <class T>
  static LaunchShape shape(const Conv2dWeight<T>& a) {
    const Conv2dShape& s = a.shape;
    return {.grid = {a.splits * ceil_div<std::int64_t>(s.in_group() * s.taps(), kConvTile),
                     s.groups * ceil_div<std::int64_t>(s.out_group(), kConvTile)},
            .block = {kConvSide, kConvSide}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const Conv2dWeight<T>& a) {
    const auto gradients = block.template shared<Gradients, float, kConvTerms * kConvPitch>();
    const auto inputs = block.template shared<Inputs, float, kConvTerms * kConvPitch>();
    const Conv2dShape& s = a.shape;
    const Window2d& k = s.window;
    const int in = int(s.in_group()), out = int(s.out_group()), weights = in * int(s.taps());
    const int out_h = int(s.out_h()), out_w = int(s.out_w()), H = int(s.H), W = int(s.W);
    const int blocks_w = ceil_div(weights, kConvTile), blocks_o = ceil_div(out, kConvTile);
    const int split = block.bx() / blocks_w, first_weight = block.bx() % blocks_w * kConvTile;
    const int g = block.by() / blocks_o, first_out = block.by() % blocks_o * kConvTile;
    const int begin = int(split * s.pixels() / a.splits), end = int((split + 1) * s.pixels() / a.splits);

    // This thread gathers 8 neighbouring pixels of the 16, for one channel of dy and for one weight.
    const int thread = block.ty() * kConvSide + block.tx(), own = thread % kConvTile,
              own_pixel = thread / kConvTile * kConvLoads;
    const int o = first_out + own, weight = first_weight + own, c = weight % in, tap = weight / in;
    const int u = tap / k.kernel_w, v = tap % k.kernel_w;
    float sum[kConvOwn][kConvOwn] = {};
    BF_UNROLL_NOT
    for (int first = begin; first < end; first += kConvTerms) {
      int p = first + own_pixel, x = p % out_w, y = p / out_w % out_h, image = p / out_w / out_h;
      BF_UNROLL
      for (int i = 0; i < kConvLoads; ++i, ++p) {
        float dy = 0, value = 0;
        if (o < out && p < end) dy = to_f32(block.load(a.dy, std::int64_t(p) * s.Cout + g * out + o));
        const int row = conv2d_source<false>(y, u, k.stride_h, k.pad_h, H),
                  column = conv2d_source<false>(x, v, k.stride_w, k.pad_w, W);
        if (weight < weights && p < end && row >= 0 && column >= 0)
          value = to_f32(block.load(a.x, ((std::int64_t(image) * H + row) * W + column) * s.Cin + g * in + c));
        block.store(gradients, (own_pixel + i) * kConvPitch + own, dy);
        block.store(inputs, (own_pixel + i) * kConvPitch + own, value);
        if (++x == out_w) x = 0, ++y;
        if (y == out_h) y = 0, ++image;
      }
      block.sync();
      conv2d_multiply(block, Span<const float>(gradients), Span<const float>(inputs), sum);
      block.sync();
    }
    BF_UNROLL
    for (int i = 0; i < kConvOwn; ++i) {
      BF_UNROLL
      for (int j = 0; j < kConvOwn; ++j) {
        const int to = first_out + block.ty() * kConvOwn + i, from = first_weight + block.tx() * kConvOwn + j;
        if (to < out && from < weights)
          block.store(a.partials, (split * s.Cout + g * out + to) * weights + from, sum[i][j]);
      }
    }
  }
};

// A thread per weight, in the order of the partial sums.
struct Conv2dWeightEndKernel {
  static constexpr const char* kName = "conv2d_weight_end";
  static constexpr int kMaxThreads = 128;
  static LaunchShape shape(const Conv2dWeightEnd& a) {
    return {.grid = {ceil_div<std::int64_t>(a.dw.len, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const Conv2dWeightEnd& a) {
    const std::int64_t i = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (i >= a.dw.len) return;
    float sum = 0;
    for (std::int64_t s = 0; s < a.splits; ++s) sum += block.load(a.partials, s * a.dw.len + i);
    const std::int64_t o = i / a.in / a.taps, tap = i / a.in % a.taps, at = (o * a.in + i % a.in) * a.taps + tap;
    block.store(a.dw, at, a.add ? block.load(a.dw, at) + sum : sum);
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
inline void check_counts(const Conv2dShape& s) {
  const std::int64_t most = s.N * s.H * s.W > s.pixels() ? s.N * s.H * s.W : s.pixels();
  BF_CHECK(most <= 0x7fffffff - kConvTile, "conv2d: ", most, " pixels on CUDA");
}
template <class T, class Launch>
Span<const T> conv2d_pack(Launch&& launch, Span<const T> w, Span<float> workspace, const Conv2dShape& s, bool turned) {
  const Span<T> packed = Carver(workspace).span<T>(s.w_len());
  launch(Conv2dPackKernel(),
         Conv2dPack<T>{
             .w = w, .packed = packed, .in = s.in_group(), .out = s.out_group(), .taps = s.taps(), .turned = turned});
  return packed;
}

template <class Launch, class T>
void conv2d_fwd(Launch&& launch, const Conv2dFwd<T>& a) {
  check(a, Device::cuda);
  const Conv2dShape& s = a.shape;
  if (s.linear())
    return linear_fwd(launch, LinearFwd<T>{.x = a.x,
                                           .w = a.w,
                                           .b = a.b,
                                           .y = a.y,
                                           .rows = s.pixels(),
                                           .in = s.Cin,
                                           .out = s.Cout,
                                           .products = a.products});
  if (s.N == 0) return;
  check_counts(s);
  const Span<const T> packed = conv2d_pack<T>(launch, a.w, a.workspace, s, false);
  if (cuda::cudnn_forward(s, a.products, a.x, packed, a.y, launch.stream())) {
    if (a.b) launch(AddBiasKernel(), AddBias<T>{a.y, a.b, s.pixels(), s.Cout});
    return;
  }
  launch(Conv2dRowsKernel<false>(), Conv2dRows<T>{.in = a.x,
                                                  .w = packed,
                                                  .b = a.b,
                                                  .out = a.y,
                                                  .in_h = int(s.H),
                                                  .in_w = int(s.W),
                                                  .in_c = int(s.Cin),
                                                  .out_h = int(s.out_h()),
                                                  .out_w = int(s.out_w()),
                                                  .out_c = int(s.Cout),
                                                  .groups = s.groups,
                                                  .pixels = int(s.pixels()),
                                                  .window = s.window});
}
template <class Launch, class T>
void conv2d_bwd_data(Launch&& launch, const Conv2dBwdData<T>& a) {
  check(a, Device::cuda);
  if (a.dx_mode == GradMode::skip) return;
  const Conv2dShape& s = a.shape;
  if (s.linear())
    return linear_bwd_data(launch, LinearBwdData<T>{.dy = a.dy,
                                                    .w = a.w,
                                                    .dx = a.dx,
                                                    .dx_mode = a.dx_mode,
                                                    .rows = s.pixels(),
                                                    .in = s.Cin,
                                                    .out = s.Cout,
                                                    .products = a.products});
  if (s.N == 0) return;
  check_counts(s);
  const bool add = a.dx_mode == GradMode::add;
  if (cuda::has_cudnn() && cuda::cudnn_data(s, a.products, a.dy, conv2d_pack<T>(launch, a.w, a.workspace, s, false),
                                            a.dx, add, launch.stream()))
    return;
  launch(Conv2dRowsKernel<true>(), Conv2dRows<T>{.in = a.dy,
                                                 .w = conv2d_pack<T>(launch, a.w, a.workspace, s, true),
                                                 .out = a.dx,
                                                 .add = add,
                                                 .in_h = int(s.out_h()),
                                                 .in_w = int(s.out_w()),
                                                 .in_c = int(s.Cout),
                                                 .out_h = int(s.H),
                                                 .out_w = int(s.W),
                                                 .out_c = int(s.Cin),
                                                 .groups = s.groups,
                                                 .pixels = int(s.N * s.H * s.W),
                                                 .window = s.window});
}
template <class Launch, class T>
void conv2d_bwd_weight(Launch&& launch, const Conv2dBwdWeight<T>& a) {
  check(a, Device::cuda);
  const Conv2dShape& s = a.shape;
  if (a.dw_mode == GradMode::skip && a.db_mode == GradMode::skip) return;
  if (s.linear())
    return linear_bwd_weight(launch, LinearBwdWeight<T>{.dy = a.dy,
                                                        .x = a.x,
                                                        .dw = a.dw,
                                                        .db = a.db,
                                                        .dw_mode = a.dw_mode,
                                                        .db_mode = a.db_mode,
                                                        .workspace = a.workspace,
                                                        .rows = s.pixels(),
                                                        .in = s.Cin,
                                                        .out = s.Cout,
                                                        .products = a.products});
  check_counts(s);
  std::int64_t splits = conv2d_weight_splits(s);
  const std::int64_t floats = splits * s.w_len();
  if (a.dw_mode != GradMode::skip) {
    const Span<float> sums = a.workspace.slice(0, s.w_len()), partials = a.workspace.slice(0, floats);
    if (s.N > 0 && cuda::cudnn_weight(s, a.products, a.dy, a.x, sums, launch.stream()))
      splits = 1;
    else
      launch(Conv2dWeightKernel(),
             Conv2dWeight<T>{.dy = a.dy, .x = a.x, .partials = partials, .shape = s, .splits = splits});
    launch(Conv2dWeightEndKernel(), Conv2dWeightEnd{.partials = a.workspace.slice(0, splits * s.w_len()),
                                                    .dw = a.dw,
                                                    .add = a.dw_mode == GradMode::add,
                                                    .splits = splits,
                                                    .in = s.in_group(),
                                                    .taps = s.taps()});
  }
  column_sums(launch, a.dy, s.pixels(), s.Cout, a.db, a.db_mode, a.workspace.slice(floats, a.workspace.len - floats));
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
