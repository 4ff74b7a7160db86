// kernels/partial_sums.h — sums over the rows of a gradient in parts that the shape fixes, and over the parts in order:
// on the CPU.
#pragma once
#include <algorithm>

#include "engine/bf16.h"
#include "engine/parallel.h"

namespace bonafide::kernels {

// sum[j] = sum of rows [begin, end) of dy[., j], j < cols. Short runs of f32 are added up in f64: a bias of 200,000
// rows keeps its digits.
template <class T>
void column_sums(const T* dy, std::int64_t begin, std::int64_t end, std::int64_t stride, std::int64_t cols,
                 float* sum) {
  constexpr std::int64_t kCols = 128, kRun = 64;
  for (std::int64_t c = 0; c < cols; c += kCols) {
    const std::int64_t n = std::min(kCols, cols - c);
    double total[kCols] = {};
    for (std::int64_t r = begin; r < end; r += kRun) {
      float run[kCols] = {};
      for (std::int64_t i = r; i < std::min(r + kRun, end); ++i)
        for (std::int64_t j = 0; j < n; ++j) run[j] += to_f32(dy[i * stride + c + j]);
      for (std::int64_t j = 0; j < n; ++j) total[j] += double(run[j]);
    }
    for (std::int64_t j = 0; j < n; ++j) sum[c + j] = float(total[j]);
  }
}

// to = (add ? to : 0) + partial[0] + partial[1] + …, each `to.len` long.
inline void sum_partitions(Span<float> to, bool add, const float* partial, std::int64_t parts) {
  parallel_ranges(to.len, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    float* d = to.ptr;
    for (std::int64_t j = begin; j < end; ++j) d[j] = add ? d[j] + partial[j] : partial[j];
    for (std::int64_t p = 1; p < parts; ++p)
      for (std::int64_t j = begin; j < end; ++j) d[j] += partial[p * to.len + j];
  });
}

}  // namespace bonafide::kernels
