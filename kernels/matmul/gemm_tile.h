// kernels/matmul/gemm_tile.h — one tile of a matrix product on the CPU, by one thread: oneDNN (onednn_gemm.cpp) or, in a
// build without it, plain loops (plain_gemm.cpp).
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/thread_scratch.h"

namespace bonafide::kernels {

// c[m, n] = (add ? c : 0) + a[m, k] b[k, n] + bias[n]. Strides are in elements; element (i, j) of a is at
// a + i a_row + j a_col, and one of the two strides is 1. c is row-major with row stride c_row.
struct GemmShape {
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t a_row = 0, a_col = 1, b_row = 0, b_col = 1, c_row = 0;
  bool bias = false, add = false;
  bool packed = false;  // b is PackedOperand::data(); its strides are ignored
  friend auto operator<=>(const GemmShape&, const GemmShape&) = default;
};

// TA: storage of a and b, TC: of c. (float, float), (bf16, bf16) and (bf16, float) exist. m, n, k >= 1.
// Safe to call from several threads at once; never uses a second thread itself. Where there are no bf16 products (oneDNN
// needs AVX-512), the tile is widened to f32, which gives the same exact products.
template <class TA, class TC>
void gemm_tile(const GemmShape& s, const TA* a, const TA* b, const float* bias, TC* c);

// A b[k, n] in the order in which oneDNN's micro-kernels read it, for a weight that many tiles multiply by. Empty where
// there is no kernel for it; then the plain matrix is all there is.
template <class T>
class PackedOperand {
 public:
  PackedOperand() = default;
  PackedOperand(const T* b, std::int64_t k, std::int64_t n, std::int64_t b_row, std::int64_t b_col);
  explicit operator bool() const { return memory_.get() != nullptr; }
  const T* data() const { return static_cast<const T*>(memory_.get()); }

 private:
  AlignedMemory memory_;
};

// Plans are made once per shape and kept. This forgets them (a test that wants them made under other conditions); no
// tile may be running.
void forget_gemm_plans();

}  // namespace bonafide::kernels
