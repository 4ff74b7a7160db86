// kernels/conv2d/patches.cpp — see patches.h: tiles of kernels/matmul do the arithmetic.
#include "kernels/conv2d/patches.h"

#include <algorithm>

#include "kernels/matmul/gemm_tile.h"

namespace bonafide::kernels::patches {
namespace {

struct Gathered;
struct Sums;

// Rows of patches that stay in the second-level cache while they are multiplied.
std::int64_t rows_at_once(const ConvFilter& f) {
  std::int64_t rows = 16;
  while (rows < 1024 && 2 * rows * f.terms() <= 1 << 16) rows *= 2;
  return rows;
}

// Calls f(from, to, n) for the runs of a patch that lie in the input: n elements at `from` in the input are elements
// from `to` on of the patch, whose order is (row, column, channel) of one group. Result pixel p, channels from c0 on.
template <class F>
void for_patch(const ConvPiece& s, std::int64_t p, std::int64_t c0, F&& f) {
  const ConvFilter& k = s.filter;
  const std::int64_t image = p / (s.out_h * s.out_w), y = p / s.out_w % s.out_h, x = p % s.out_w, I = k.in_group();
  const std::int64_t left = x * k.stride_w - s.left;
  for (int u = 0; u < k.kernel_h; ++u) {
    const std::int64_t row = y * k.stride_h - s.top + u;
    if (row < 0 || row >= s.in_h) continue;
    const std::int64_t line = (image * s.in_h + row) * s.in_w;
    const int begin = int(std::clamp<std::int64_t>(-left, 0, k.kernel_w)),
              end = int(std::clamp<std::int64_t>(s.in_w - left, 0, k.kernel_w));
    if (begin >= end) continue;
    if (k.groups == 1)  // neighbours in the image are neighbours in the patch
      f((line + left + begin) * I, (u * k.kernel_w + begin) * I, (end - begin) * I);
    else
      for (int v = begin; v < end; ++v) f((line + left + v) * k.Cin + c0, (u * k.kernel_w + v) * I, I);
  }
}

template <class T>
void gather(const ConvPiece& s, const T* x, std::int64_t first, std::int64_t rows, std::int64_t c0, T* to) {
  const std::int64_t terms = s.filter.terms();
  std::fill_n(to, rows * terms, T(0.0f));
  for (std::int64_t r = 0; r < rows; ++r)
    for_patch(s, first + r, c0, [&](std::int64_t from, std::int64_t at, std::int64_t n) {
      std::copy_n(x + from, n, to + r * terms + at);
    });
}

}  // namespace

template <class T>
std::int64_t packed_bytes(const ConvFilter& f) {
  return f.Cout * f.terms() * std::int64_t(sizeof(T));
}

template <class T>
void pack(const ConvFilter& f, const T* w, void* packed) {
  auto* to = static_cast<T*>(packed);
  const std::int64_t I = f.in_group(), taps = f.taps();
  for (std::int64_t o = 0; o < f.Cout; ++o, w += I * taps)
    for (std::int64_t t = 0; t < taps; ++t)
      for (std::int64_t c = 0; c < I; ++c) *to++ = w[c * taps + t];
}

template <class T>
void conv_forward(const ConvPiece& s, const T* x, const void* packed, const float* b, T* y) {
  const ConvFilter& f = s.filter;
  const std::int64_t K = f.terms(), O = f.out_group(), most = rows_at_once(f);
  const T* w = static_cast<const T*>(packed);
  T* rows = static_cast<T*>(thread_scratch<Gathered>(std::size_t(most * K) * sizeof(T)));
  for_runs(s.pixels(), most, [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t g = 0; g < f.groups; ++g) {
      gather(s, x, first, n, g * f.in_group(), rows);
      gemm_tile<T, T>(
          {.m = n, .n = O, .k = K, .a_row = K, .b_row = 1, .b_col = K, .c_row = f.Cout, .bias = b != nullptr}, rows,
          w + g * O * K, b ? b + g * O : nullptr, y + first * f.Cout + g * O);
    }
  });
}

template <class T>
void conv_data(const ConvPiece& s, const T* dy, const void* packed, float* dx) {
  const ConvFilter& f = s.filter;
  const std::int64_t K = f.terms(), O = f.out_group(), most = rows_at_once(f),
                     size = s.images * s.in_h * s.in_w * f.Cin;
  const T* w = static_cast<const T*>(packed);
  auto* rows = static_cast<float*>(thread_scratch<Gathered>(std::size_t(most * K) * sizeof(float)));
  std::fill_n(dx, size, 0.0f);
  for_runs(s.pixels(), most, [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t g = 0; g < f.groups; ++g) {
      gemm_tile<T, float>({.m = n, .n = K, .k = O, .a_row = f.Cout, .b_row = K, .c_row = K},
                          dy + first * f.Cout + g * O, w + g * O * K, nullptr, rows);
      for (std::int64_t r = 0; r < n; ++r)
        for_patch(s, first + r, g * f.in_group(), [&](std::int64_t at, std::int64_t from, std::int64_t count) {
          for (std::int64_t i = 0; i < count; ++i) dx[at + i] += rows[r * K + from + i];
        });
    }
  });
}

template <class T>
void conv_weight(const ConvPiece& s, const T* dy, const T* x, float* dw) {
  const ConvFilter& f = s.filter;
  const std::int64_t K = f.terms(), O = f.out_group(), most = rows_at_once(f), I = f.in_group();
  T* rows = static_cast<T*>(thread_scratch<Gathered>(std::size_t(most * K) * sizeof(T)));
  auto* sums = static_cast<float*>(thread_scratch<Sums>(std::size_t(f.Cout * K) * sizeof(float)));  // [Cout, taps, I]
  for_runs(s.pixels(), most, [&](std::int64_t first, std::int64_t n) {
    for (std::int64_t g = 0; g < f.groups; ++g) {
      gather(s, x, first, n, g * I, rows);
      gemm_tile<T, float>(
          {.m = O, .n = K, .k = n, .a_row = 1, .a_col = f.Cout, .b_row = K, .c_row = K, .add = first > 0},
          dy + first * f.Cout + g * O, rows, nullptr, sums + g * O * K);
    }
  });
  for (std::int64_t o = 0; o < f.Cout; ++o)
    for (std::int64_t t = 0; t < f.taps(); ++t)
      for (std::int64_t c = 0; c < I; ++c) dw[(o * I + c) * f.taps() + t] = *sums++;
}

template std::int64_t packed_bytes<float>(const ConvFilter&);
template std::int64_t packed_bytes<bf16>(const ConvFilter&);
template void pack(const ConvFilter&, const float*, void*);
template void pack(const ConvFilter&, const bf16*, void*);
template void conv_forward(const ConvPiece&, const float*, const void*, const float*, float*);
template void conv_forward(const ConvPiece&, const bf16*, const void*, const float*, bf16*);
template void conv_data(const ConvPiece&, const float*, const void*, float*);
template void conv_data(const ConvPiece&, const bf16*, const void*, float*);
template void conv_weight(const ConvPiece&, const float*, const float*, float*);
template void conv_weight(const ConvPiece&, const bf16*, const bf16*, float*);

}  // namespace bonafide::kernels::patches
