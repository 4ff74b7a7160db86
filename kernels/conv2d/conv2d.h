// kernels/conv2d/conv2d.h — 2-D convolution of any kernel, stride, zero padding and groups. No Tensor, no autograd.
//
//   forward    y[n,i,j,o]  = b[o] + sum_{u,v,c} x[n, i sh - ph + u, j sw - pw + v, g I + c] w[o,c,u,v]     g = o / O; x
//   is 0 outside data       dx          = the same products' derivative: every dy[n,i,j,o] w[o,c,u,v] goes to where x
//   was read weight     dw[o,c,u,v] = sum_{n,i,j} dy[n,i,j,o] x[n, i sh - ph + u, j sw - pw + v, g I + c],  db[o] =
//   sum_{n,i,j} dy[n,i,j,o]
//
// x, dx: [N, H, W, Cin]; y, dy: [N, out_h, out_w, Cout]; w: [Cout, I, kh, kw], PyTorch's layout, stored as T like the
// activations; b, dw, db: f32, dw in w's layout. I = Cin / groups, O = Cout / groups. N = 0 is legal; a window that
// does not fit is not. Products and sums are f32 (CUDA: unless `products` says tf32), rounded to T once; where cuDNN
// computes y of bf16, before the bias is added as well. A 1x1 convolution of stride 1 is a linear layer:
// kernels/matmul/matmul.h.
//
// Deterministic. CPU: pieces fixed by the shape, each one by one thread; the weight gradient is summed within pieces,
// then over them in order. CUDA: cuDNN with plans that repeat, or, where it is not part of the build or has none,
// kernels of our own.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"
#include "kernels/window.h"

namespace bonafide::kernels {

struct Conv2dShape {
  std::int64_t N = 0, H = 0, W = 0, Cin = 0, Cout = 0;
  Window2d window;  // ceil_mode must be false
  int groups = 1;

  constexpr std::int64_t out_h() const { return window_out(H, window.kernel_h, window.stride_h, window.pad_h, false); }
  constexpr std::int64_t out_w() const { return window_out(W, window.kernel_w, window.stride_w, window.pad_w, false); }
  constexpr std::int64_t pixels() const { return N * out_h() * out_w(); }  // of the result
  constexpr std::int64_t taps() const { return std::int64_t(window.kernel_h) * window.kernel_w; }
  constexpr std::int64_t in_group() const { return Cin / groups; }    // I
  constexpr std::int64_t out_group() const { return Cout / groups; }  // O
  constexpr std::int64_t x_len() const { return N * H * W * Cin; }
  constexpr std::int64_t y_len() const { return pixels() * Cout; }
  constexpr std::int64_t w_len() const { return Cout * in_group() * taps(); }
  constexpr double products() const { return double(pixels()) * double(w_len()); }
  // Whether it is a matrix product of the pixels as they lie in memory.
  constexpr bool linear() const {
    const Window2d& k = window;
    return taps() == 1 && groups == 1 && k.stride_h == 1 && k.stride_w == 1 && k.pad_h == 0 && k.pad_w == 0;
  }
};

template <class T>
struct Conv2dFwd {
  Span<const T> x, w;
  Span<const float> b;  // empty: no bias
  Span<T> y;
  Span<float> workspace;  // conv2d_fwd_workspace() floats, contents irrelevant
  Conv2dShape shape;
  F32Products products = F32Products::full;  // on CUDA
};
template <class T>
struct Conv2dBwdData {
  Span<const T> dy, w;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  Span<float> workspace;  // conv2d_bwd_data_workspace()
  Conv2dShape shape;
  F32Products products = F32Products::full;
};
template <class T>
struct Conv2dBwdWeight {
  Span<const T> dy, x;
  Span<float> dw, db;
  GradMode dw_mode = GradMode::write, db_mode = GradMode::write;
  Span<float> workspace;  // conv2d_bwd_weight_workspace()
  Conv2dShape shape;
  F32Products products = F32Products::full;
};

// The first two hold the weights in the orders in which the backend reads them: CPU, oneDNN's; CUDA, [Cout, kh, kw, I].
template <class T>
std::int64_t conv2d_fwd_workspace(Device::Kind where, const Conv2dShape&);
template <class T>
std::int64_t conv2d_bwd_data_workspace(Device::Kind where, const Conv2dShape&);
std::int64_t conv2d_bwd_weight_workspace(Device::Kind where, const Conv2dShape&);

// Blocks of CUDA threads that sum the same weight gradients over parts of the pixels. Part of the result's bits.
constexpr std::int64_t conv2d_weight_splits(const Conv2dShape& s) {
  constexpr std::int64_t kBlocks = 528, kLeastPixels = 256;  // 132 multiprocessors four times
  const std::int64_t tiles =
      s.groups * ceil_div<std::int64_t>(s.out_group(), 32) * ceil_div<std::int64_t>(s.in_group() * s.taps(), 32);
  const std::int64_t want = ceil_div(kBlocks, tiles), most = ceil_div(s.pixels(), kLeastPixels);
  return most < 1 ? 1 : want < most ? want : most;
}

// Products with the padding are counted, as libraries do.
template <class T>
constexpr Cost conv2d_fwd_cost(const Conv2dShape& s) {
  return {sizeof(T) * double(s.x_len() + s.w_len()) + 4.0 * double(s.Cout), sizeof(T) * double(s.y_len()),
          2 * s.products()};
}
template <class T>
constexpr Cost conv2d_bwd_data_cost(const Conv2dShape& s) {
  return {sizeof(T) * double(s.y_len() + s.w_len()), sizeof(T) * double(s.x_len()), 2 * s.products()};
}
template <class T>
constexpr Cost conv2d_bwd_weight_cost(const Conv2dShape& s) {
  return {sizeof(T) * double(s.x_len() + s.y_len()), 4.0 * double(s.w_len() + s.Cout),
          2 * s.products() + double(s.y_len())};
}

template <class T>
void check(const Conv2dFwd<T>&, Device::Kind where);  // throws; called by every backend
template <class T>
void check(const Conv2dBwdData<T>&, Device::Kind where);
template <class T>
void check(const Conv2dBwdWeight<T>&, Device::Kind where);

BF_PASS(conv2d_fwd, Conv2dFwd);
BF_PASS(conv2d_bwd_data, Conv2dBwdData);
BF_PASS(conv2d_bwd_weight, Conv2dBwdWeight);

}  // namespace bonafide::kernels
