// kernels/matmul/plain_gemm.cpp — see gemm_tile.h: the tile without oneDNN, in f32 and in plain loops that the compiler
// turns into vectors. Several times slower; for machines that must do without the package.
#include <algorithm>
#include <vector>

#include "kernels/matmul/gemm_tile.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kRows = 4;  // of c, that share each row of b

// Row-major f32 copy of an operand with strides.
template <class T>
void widen(const T* from, std::int64_t rows, std::int64_t cols, std::int64_t row, std::int64_t col, std::vector<float>& to) {
  to.resize(std::size_t(rows * cols));
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) to[std::size_t(i * cols + j)] = to_f32(from[i * row + j * col]);
}

}  // namespace

template <class TA, class TC>
void gemm_tile(const GemmShape& s, const TA* a, const TA* b, const float* bias, TC* c) {
  BF_CHECK(s.m > 0 && s.n > 0 && s.k > 0 && s.bias == (bias != nullptr), "tile ", s.m, " x ", s.n, " x ", s.k);
  BF_CHECK(!s.packed, "a packed operand, and no kernel for it");
  thread_local std::vector<float> wide_a, wide_b, sums;
  widen(a, s.m, s.k, s.a_row, s.a_col, wide_a);
  widen(b, s.k, s.n, s.b_row, s.b_col, wide_b);
  sums.resize(std::size_t(kRows * s.n));
  for (std::int64_t first = 0; first < s.m; first += kRows) {
    const std::int64_t rows = std::min(kRows, s.m - first);
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = 0; j < s.n; ++j)
        sums[std::size_t(r * s.n + j)] =
            (bias ? bias[j] : 0.0f) + (s.add ? to_f32(c[(first + r) * s.c_row + j]) : 0.0f);
    for (std::int64_t p = 0; p < s.k; ++p) {
      const float* row = wide_b.data() + p * s.n;
      for (std::int64_t r = 0; r < rows; ++r) {
        const float v = wide_a[std::size_t((first + r) * s.k + p)];
        float* sum = sums.data() + r * s.n;
#pragma omp simd
        for (std::int64_t j = 0; j < s.n; ++j) sum[j] += v * row[j];
      }
    }
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t j = 0; j < s.n; ++j) c[(first + r) * s.c_row + j] = from_f32<TC>(sums[std::size_t(r * s.n + j)]);
  }
}

template <class T>
PackedOperand<T>::PackedOperand(const T*, std::int64_t, std::int64_t, std::int64_t, std::int64_t) {}

void forget_gemm_plans() {}  // there are none

template class PackedOperand<float>;
template class PackedOperand<bf16>;
template void gemm_tile<float, float>(const GemmShape&, const float*, const float*, const float*, float*);
template void gemm_tile<bf16, bf16>(const GemmShape&, const bf16*, const bf16*, const float*, bf16*);
template void gemm_tile<bf16, float>(const GemmShape&, const bf16*, const bf16*, const float*, float*);

}  // namespace bonafide::kernels
