// kernels/matmul/cublaslt_gemm.h — matrix products on CUDA. Row-major, on a stream, with results that repeat.
//
//   c = alpha op(a) op(b) + beta c        op(a) [m, k], op(b) [k, n], c [m, n]
//
// Implemented by cuBLASLt (cublaslt_gemm.cpp), by plain loops for the emulated GPU (kernels/emulator/gemm.cpp), and, in
// a build without CUDA, by an error (no_cublaslt_gemm.cpp).
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "engine/device.h"

namespace bonafide::kernels::cuda {

// TA: storage of a and b, TC: of c. (float, float), (bf16, bf16) and (bf16, float) exist; sums are f32. Pointers are
// the device's.
template <class TA, class TC>
struct Gemm {
  Span<const TA> a, b;
  Span<TC> c;
  std::int64_t m = 0, n = 0, k = 0;                 // any may be 0; k = 0: c = beta c
  bool a_transposed = false, b_transposed = false;  // a is stored [k, m], b [n, k]
  std::int64_t a_row = 0, b_row = 0, c_row = 0;     // elements from a stored row to the next; 0: nothing lies between
  float alpha = 1, beta = 0;                        // beta 0: c is not read
  F32Products products = F32Products::full;         // how f32 is multiplied

  std::int64_t a_stride() const { return a_row ? a_row : a_transposed ? m : k; }
  std::int64_t b_stride() const { return b_row ? b_row : b_transposed ? k : n; }
  std::int64_t c_stride() const { return c_row ? c_row : n; }
};

template <class TA, class TC>
void check(const Gemm<TA, TC>& g) {
  BF_CHECK(g.m >= 0 && g.n >= 0 && g.k >= 0, "gemm: m ", g.m, ", n ", g.n, ", k ", g.k);
  const auto fits = [](const char* name, std::int64_t length, std::int64_t rows, std::int64_t cols,
                       std::int64_t stride) {
    const std::int64_t need = rows == 0 || cols == 0 ? 0 : (rows - 1) * stride + cols;
    BF_CHECK(stride >= cols && length >= need, "gemm: ", name, " has ", length, " elements, rows of ", stride,
             ", expected room for [", rows, ", ", cols, "]");
  };
  fits("a", g.a.len, g.a_transposed ? g.k : g.m, g.a_transposed ? g.m : g.k, g.a_stride());
  fits("b", g.b.len, g.b_transposed ? g.n : g.k, g.b_transposed ? g.k : g.n, g.b_stride());
  fits("c", g.c.len, g.m, g.n, g.c_stride());
  const auto apart = [&](Span<const TA> x) {  // c is written while a and b are still read
    const auto *x0 = reinterpret_cast<const char*>(x.ptr), *c0 = reinterpret_cast<const char*>(g.c.ptr);
    return x.len == 0 || g.c.len == 0 || x0 + x.len * std::int64_t(sizeof(TA)) <= c0 || c0 + g.c.len * std::int64_t(sizeof(TC)) <= x0;
  };
  BF_CHECK(apart(g.a) && apart(g.b), "gemm: c overlaps ", apart(g.a) ? "b" : "a");
}

template <class TA, class TC>
void gemm(const Gemm<TA, TC>&, Stream);

}  // namespace bonafide::kernels::cuda
