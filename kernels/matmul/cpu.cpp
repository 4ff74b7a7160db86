// kernels/matmul/cpu.cpp — linear layers on the CPU: tiles fixed by the shape, each one single-threaded oneDNN call.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/onednn_gemm.h"

namespace bonafide::kernels {
namespace {

// A tile of about 4 M products takes 40 us in f32 on one AVX-512 core: long against a call (3 us), short enough that 32
// tiles, the most there are, keep the threads equally busy. Never below 64 x 64: a tile packs its operands anew.
constexpr double kTileProducts = double(1 << 22);
constexpr std::int64_t kMostTiles = 32, kSmallestSide = 64, kSideStep = 16;

// How an [m, n] result with inner dimension k is cut. The last tile of a row or column may be smaller.
struct Tiling {
  std::int64_t m = 1, n = 1;  // tile sides
  std::int64_t across_m = 0, across_n = 0;
  std::int64_t count() const { return across_m * across_n; }
};

std::int64_t wanted_tiles(std::int64_t m, std::int64_t n, std::int64_t k) {
  const double want = double(m) * double(n) * double(k) / kTileProducts;
  return std::clamp(std::int64_t(want), std::int64_t(1), kMostTiles);
}

Tiling tiling(std::int64_t m, std::int64_t n, std::int64_t k) {
  Tiling t{.m = std::max<std::int64_t>(m, 1), .n = std::max<std::int64_t>(n, 1)};
  const auto halve = [](std::int64_t side) { return ceil_div(ceil_div<std::int64_t>(side, 2), kSideStep) * kSideStep; };
  for (std::int64_t left = wanted_tiles(m, n, k); left > 1; left = ceil_div<std::int64_t>(left, 2)) {
    const bool m_can = t.m >= 2 * kSmallestSide, n_can = t.n >= 2 * kSmallestSide;
    if (!m_can && !n_can) break;
    if (m_can && (t.m >= t.n || !n_can))
      t.m = halve(t.m);
    else
      t.n = halve(t.n);
  }
  t.across_m = ceil_div(m, t.m), t.across_n = ceil_div(n, t.n);
  return t;
}

// dW is [out, in] and short of tiles where a layer is narrow and has many rows: then the rows are partitioned too.
std::int64_t row_partitions(std::int64_t rows, std::int64_t in, std::int64_t out) {
  constexpr std::int64_t kFewestRows = 1024;  // adding up partial results costs 2 / rows of the products
  const std::int64_t want = wanted_tiles(out, in, rows) / std::max<std::int64_t>(1, tiling(out, in, rows).count());
  return std::clamp<std::int64_t>(want, 1, std::max<std::int64_t>(1, rows / kFewestRows));
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
  const Tiling t = tiling(a.out, a.in, a.rows);
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
  const Tiling t = tiling(a.rows, a.out, a.in);
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
  const Tiling t = tiling(a.rows, a.in, a.out);
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
