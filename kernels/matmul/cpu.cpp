// kernels/matmul/cpu.cpp — linear layers on the CPU: tiles fixed by the shape, each one single-threaded oneDNN call.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/onednn_gemm.h"

namespace bonafide::kernels {
namespace {

// How an [m, n] result is cut. The last tile of a row or column may be smaller. NOTES.md has the measurements behind
// the numbers below.
struct Tiling {
  std::int64_t m = 1, n = 1;  // tile sides
  std::int64_t across_m = 0, across_n = 0;
  std::int64_t count() const { return across_m * across_n; }
};
Tiling equal_tiles(std::int64_t m, std::int64_t n, std::int64_t parts_m, std::int64_t parts_n) {
  constexpr std::int64_t kStep = 16;  // columns: whole vectors
  Tiling t{.m = std::max<std::int64_t>(1, ceil_div(m, parts_m)), .n = ceil_div(ceil_div(n, parts_n), kStep) * kStep};
  t.across_m = ceil_div(m, t.m), t.across_n = ceil_div(n, t.n);
  return t;
}

// 4 M products take 40 us in f32 on one AVX-512 core: long against a call (3 us). 32 tiles keep a few threads equally
// busy.
std::int64_t wanted_tiles(std::int64_t m, std::int64_t n, std::int64_t k) {
  const double want = double(m) * double(n) * double(k) / double(1 << 22);
  return std::clamp<std::int64_t>(std::int64_t(want), 1, 32);
}

// y and dx: tiles of whole rows, contiguous in memory, are oneDNN's fast case. Columns are cut only for a handful of
// rows.
Tiling activation_tiles(std::int64_t rows, std::int64_t cols, std::int64_t k) {
  const std::int64_t want = wanted_tiles(rows, cols, k);
  const std::int64_t most_m = std::max({std::int64_t(1), rows / 192, std::min<std::int64_t>(8, rows / 96)});
  const std::int64_t most_n = std::max<std::int64_t>(1, cols / 64);
  const std::int64_t across_m = std::min(want, most_m);
  const std::int64_t across_n = std::clamp<std::int64_t>(std::min<std::int64_t>(want, 4) / across_m, 1, most_n);
  return equal_tiles(rows, cols, across_m, across_n);
}

// dW: rows are partitioned first (1536 of them at least: adding up partial results costs 2 / rows of the products),
// then the longer side is halved, at least once: oneDNN is slow on a transposed operand that it takes as a whole.
std::int64_t row_partitions(std::int64_t rows, std::int64_t in, std::int64_t out) {
  return std::clamp<std::int64_t>(rows / 1536, 1, wanted_tiles(out, in, rows));
}
Tiling weight_tiles(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const std::int64_t want = wanted_tiles(out, in, rows) / row_partitions(rows, in, out);
  std::int64_t across_m = 1, across_n = 1;
  while (across_m * across_n < std::max<std::int64_t>(2, want)) {
    const std::int64_t m = out / across_m, n = in / across_n;
    if (std::max(m, n) < 96) break;
    (m >= n ? across_m : across_n) *= 2;
  }
  return equal_tiles(out, in, across_m, across_n);
}

constexpr std::int64_t kSumRows = 512;  // rows of one work item of db's column sums, at least
std::int64_t sum_rows(std::int64_t rows) { return std::max(kSumRows, ceil_div<std::int64_t>(rows, 64)); }

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

void check_extent(const char* what, std::int64_t got, std::int64_t rows, std::int64_t cols) {
  BF_CHECK(got == rows * cols, "linear: ", what, " has ", got, " elements, expected [", rows, ", ", cols, "]");
}

}  // namespace

std::int64_t linear_bwd_weight_workspace(std::int64_t rows, std::int64_t in, std::int64_t out) {
  const std::int64_t parts = row_partitions(rows, in, out);
  return (parts > 1 ? parts * in * out : 0) + ceil_div(rows, sum_rows(rows)) * out;
}

template <class T>
void check(const LinearFwd<T>& a) {
  BF_CHECK(a.rows >= 0 && a.in > 0 && a.out > 0, "linear: [", a.rows, ", ", a.in, "] to ", a.out);
  check_extent("x", a.x.len, a.rows, a.in);
  check_extent("w", a.w.len, a.out, a.in);
  check_extent("y", a.y.len, a.rows, a.out);
  if (a.b) check_extent("b", a.b.len, 1, a.out);
}
template <class T>
void check(const LinearBwdData<T>& a) {
  BF_CHECK(a.rows >= 0 && a.in > 0 && a.out > 0, "linear: [", a.rows, ", ", a.in, "] to ", a.out);
  check_extent("dy", a.dy.len, a.rows, a.out);
  check_extent("w", a.w.len, a.out, a.in);
  if (a.dx_mode != GradMode::skip) check_extent("dx", a.dx.len, a.rows, a.in);
}
template <class T>
void check(const LinearBwdWeight<T>& a) {
  BF_CHECK(a.rows >= 0 && a.in > 0 && a.out > 0, "linear: [", a.rows, ", ", a.in, "] to ", a.out);
  check_extent("dy", a.dy.len, a.rows, a.out);
  check_extent("x", a.x.len, a.rows, a.in);
  if (a.dw_mode != GradMode::skip) check_extent("dw", a.dw.len, a.out, a.in);
  if (a.db_mode != GradMode::skip) check_extent("db", a.db.len, 1, a.out);
  const std::int64_t need = linear_bwd_weight_workspace(a.rows, a.in, a.out);
  BF_CHECK(a.workspace.len >= need, "linear: workspace has ", a.workspace.len, " floats, expected ", need);
}

namespace cpu {
namespace {

// Calls f(m0, m, n0, n) for tile t.
template <class F>
void at_tile(const Tiling& t, std::int64_t i, std::int64_t m, std::int64_t n, F&& f) {
  const std::int64_t m0 = i / t.across_n * t.m, n0 = i % t.across_n * t.n;
  f(m0, std::min(t.m, m - m0), n0, std::min(t.n, n - n0));
}

template <class T>
void weight_gradient(const LinearBwdWeight<T>& a) {
  const std::int64_t size = a.in * a.out, parts = row_partitions(a.rows, a.in, a.out);
  const bool add = a.dw_mode == GradMode::add;
  if (a.rows == 0) {
    if (!add) std::fill(a.dw.begin(), a.dw.end(), 0.0f);
    return;
  }
  const Tiling t = weight_tiles(a.rows, a.in, a.out);
  const std::int64_t part_rows = ceil_div(a.rows, parts), used = ceil_div(a.rows, part_rows);
  parallel_for(used * t.count(), [&](std::int64_t i) {
    const std::int64_t part = i / t.count(), r0 = part * part_rows, r = std::min(part_rows, a.rows - r0);
    float* result = parts > 1 ? a.workspace.ptr + part * size : a.dw.ptr;
    at_tile(t, i % t.count(), a.out, a.in, [&](std::int64_t m0, std::int64_t m, std::int64_t n0, std::int64_t n) {
      gemm_tile<T, float>(
          {.m = m, .n = n, .k = r, .a_row = 1, .a_col = a.out, .b_row = a.in, .c_row = a.in, .add = parts == 1 && add},
          a.dy.ptr + r0 * a.out + m0, a.x.ptr + r0 * a.in + n0, nullptr, result + m0 * a.in + n0);
    });
  });
  if (parts == 1) return;
  parallel_ranges(size, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    float* dw = a.dw.ptr;
    const float* w = a.workspace.ptr;
    for (std::int64_t j = begin; j < end; ++j) dw[j] = add ? dw[j] + w[j] : w[j];
    for (std::int64_t p = 1; p < used; ++p)
      for (std::int64_t j = begin; j < end; ++j) dw[j] += w[p * size + j];
  });
}

template <class T>
void bias_gradient(const LinearBwdWeight<T>& a) {
  const std::int64_t grain = sum_rows(a.rows), parts = ceil_div(a.rows, grain);
  float* partial = a.workspace.ptr + a.workspace.len - parts * a.out;
  parallel_for(parts, [&](std::int64_t p) {
    column_sums(a.dy.ptr, p * grain, std::min(a.rows, (p + 1) * grain), a.out, a.out, partial + p * a.out);
  });
  for (std::int64_t j = 0; j < a.out; ++j) {
    double sum = a.db_mode == GradMode::add ? double(a.db[j]) : 0.0;
    for (std::int64_t p = 0; p < parts; ++p) sum += double(partial[p * a.out + j]);
    a.db[j] = float(sum);
  }
}

}  // namespace

template <class T>
void linear_fwd(const LinearFwd<T>& a) {
  check(a);
  const Tiling t = activation_tiles(a.rows, a.out, a.in);
  parallel_for(t.count(), [&](std::int64_t i) {
    at_tile(t, i, a.rows, a.out, [&](std::int64_t m0, std::int64_t m, std::int64_t n0, std::int64_t n) {
      gemm_tile<T, T>(
          {.m = m, .n = n, .k = a.in, .a_row = a.in, .b_row = 1, .b_col = a.in, .c_row = a.out, .bias = bool(a.b)},
          a.x.ptr + m0 * a.in, a.w.ptr + n0 * a.in, a.b ? a.b.ptr + n0 : nullptr, a.y.ptr + m0 * a.out + n0);
    });
  });
}

template <class T>
void linear_bwd_data(const LinearBwdData<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const Tiling t = activation_tiles(a.rows, a.in, a.out);
  parallel_for(t.count(), [&](std::int64_t i) {
    at_tile(t, i, a.rows, a.in, [&](std::int64_t m0, std::int64_t m, std::int64_t n0, std::int64_t n) {
      gemm_tile<T, T>(
          {.m = m, .n = n, .k = a.out, .a_row = a.out, .b_row = a.in, .c_row = a.in, .add = a.dx_mode == GradMode::add},
          a.dy.ptr + m0 * a.out, a.w.ptr + n0, nullptr, a.dx.ptr + m0 * a.in + n0);
    });
  });
}

template <class T>
void linear_bwd_weight(const LinearBwdWeight<T>& a) {
  check(a);
  if (a.dw_mode != GradMode::skip) weight_gradient(a);
  if (a.db_mode != GradMode::skip) bias_gradient(a);
}

template void linear_fwd(const LinearFwd<float>&);
template void linear_fwd(const LinearFwd<bf16>&);
template void linear_bwd_data(const LinearBwdData<float>&);
template void linear_bwd_data(const LinearBwdData<bf16>&);
template void linear_bwd_weight(const LinearBwdWeight<float>&);
template void linear_bwd_weight(const LinearBwdWeight<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
