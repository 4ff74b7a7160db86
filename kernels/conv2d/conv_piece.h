// kernels/conv2d/conv_piece.h — a piece of a convolution on the CPU, by one thread: oneDNN (onednn_conv.cpp) or, in a
// build without it and where it has no kernel, products of patches (patches.h, plain_conv.cpp).
#pragma once
#include <compare>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide::kernels {

struct ConvFilter {
  std::int64_t Cin = 0, Cout = 0;
  int groups = 1, kernel_h = 1, kernel_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t in_group() const { return Cin / groups; }
  std::int64_t out_group() const { return Cout / groups; }
  std::int64_t taps() const { return std::int64_t(kernel_h) * kernel_w; }
  std::int64_t terms() const { return in_group() * taps(); }  // of a sum
  friend auto operator<=>(const ConvFilter&, const ConvFilter&) = default;
};

// Whole images, or some rows of one image's result with the rows of the input that they need. Beyond its input a piece
// sees zeros, `top` rows above and `left` columns on the left.
struct ConvPiece {
  ConvFilter filter;
  std::int64_t images = 0, in_h = 0, in_w = 0, out_h = 0, out_w = 0, top = 0, left = 0;
  std::int64_t pixels() const { return images * out_h * out_w; }
  friend auto operator<=>(const ConvPiece&, const ConvPiece&) = default;
};

enum class ConvPass : std::uint8_t { forward, data };  // that read weights

// Weights [Cout, Cin / groups, kernel_h, kernel_w] in the order in which a piece reads them. oneDNN's choice depends on
// the sizes of the image, so that pieces of one convolution may differ; most do not, and those share what is packed.
template <class T>
std::int64_t packed_bytes(ConvPass, const ConvPiece&);
template <class T>
bool same_order(ConvPass, const ConvPiece&, const ConvPiece&);
template <class T>
void pack(ConvPass, const ConvPiece&, const T* w, void* packed);

// Safe to call from several threads at once; never use a second thread themselves. b may be null.
template <class T>
void conv_forward(const ConvPiece&, const T* x, const void* packed, const float* b, T* y);
// Write their results in f32: dx, and dw in the layout of w.
template <class T>
void conv_data(const ConvPiece&, const T* dy, const void* packed, float* dx);
template <class T>
void conv_weight(const ConvPiece&, const T* dy, const T* x, float* dw);

// What oneDNN planned is kept, the last few hundred pieces of it. This forgets it (a test that wants it planned under
// other conditions).
void forget_conv_plans();

// Calls f(first, count) for [0, n) in runs of `most`, a power of two, and what remains in smaller powers of two:
// numbers of images or rows that depend on the data (faces that were found) then come in few sizes, each of which is
// planned once.
template <class F>
void for_runs(std::int64_t n, std::int64_t most, F&& f) {
  std::int64_t at = 0;
  for (std::int64_t run = most; run > 0; run /= 2)
    for (; n - at >= run; at += run) f(at, run);
}

}  // namespace bonafide::kernels
