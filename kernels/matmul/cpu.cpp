// kernels/matmul/cpu.cpp — linear layers on the CPU: tiles fixed by the shape, each one single-threaded oneDNN call.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/matmul/gemm_tile.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/column_sums.simt.h"  // how much workspace they need
#include "kernels/partial_sums.h"

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

void check_extent(const char* what, std::int64_t got, std::int64_t rows, std::int64_t cols) {
  BF_CHECK(got == rows * cols, "linear: ", what, " has ", got, " elements, expected [", rows, ", ", cols, "]");
}

}  // namespace

std::int64_t linear_bwd_weight_workspace(Device::Kind where, std::int64_t rows, std::int64_t in, std::int64_t out) {
  if (where == Device::cuda) return simt_bodies::column_sums_workspace(rows, out);
  const std::int64_t parts = row_partitions(rows, in, out);
  return (parts > 1 ? parts * in * out : 0) + parts * out;  // partial dW, partial db
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
void check(const LinearBwdWeight<T>& a, Device::Kind where) {
  BF_CHECK(a.rows >= 0 && a.in > 0 && a.out > 0, "linear: [", a.rows, ", ", a.in, "] to ", a.out);
  check_extent("dy", a.dy.len, a.rows, a.out);
  check_extent("x", a.x.len, a.rows, a.in);
  if (a.dw_mode != GradMode::skip) check_extent("dw", a.dw.len, a.out, a.in);
  if (a.db_mode != GradMode::skip) check_extent("db", a.db.len, 1, a.out);
  const std::int64_t need = linear_bwd_weight_workspace(where, a.rows, a.in, a.out);
  BF_CHECK(a.workspace.len >= need, "linear: workspace has ", a.workspace.len, " floats, expected ", need);
}
template void check(const LinearFwd<float>&);
template void check(const LinearFwd<bf16>&);
template void check(const LinearBwdData<float>&);
template void check(const LinearBwdData<bf16>&);
template void check(const LinearBwdWeight<float>&, Device::Kind);
template void check(const LinearBwdWeight<bf16>&, Device::Kind);

namespace cpu {
namespace {

// Calls f(m0, m, n0, n) for tile t.
template <class F>
void at_tile(const Tiling& t, std::int64_t i, std::int64_t m, std::int64_t n, F&& f) {
  const std::int64_t m0 = i / t.across_n * t.m, n0 = i % t.across_n * t.n;
  f(m0, std::min(t.m, m - m0), n0, std::min(t.n, n - n0));
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
  check(a, Device::cpu);
  const bool write_dw = a.dw_mode == GradMode::write, write_db = a.db_mode == GradMode::write;
  if (a.rows == 0) {
    if (write_dw) std::fill(a.dw.begin(), a.dw.end(), 0.0f);
    if (write_db) std::fill(a.db.begin(), a.db.end(), 0.0f);
    return;
  }
  const std::int64_t size = a.in * a.out, wanted = row_partitions(a.rows, a.in, a.out);
  const std::int64_t part_rows = ceil_div(a.rows, wanted), parts = ceil_div(a.rows, part_rows);
  float* partial_dw = parts > 1 ? a.workspace.ptr : a.dw.ptr;
  float* partial_db = a.workspace.ptr + (wanted > 1 ? wanted * size : 0);
  const Tiling t = weight_tiles(a.rows, a.in, a.out);
  parallel_for(parts * t.count(), [&](std::int64_t i) {
    const std::int64_t part = i / t.count(), r0 = part * part_rows, r = std::min(part_rows, a.rows - r0);
    at_tile(t, i % t.count(), a.out, a.in, [&](std::int64_t m0, std::int64_t m, std::int64_t n0, std::int64_t n) {
      if (a.dw_mode != GradMode::skip)
        gemm_tile<T, float>({.m = m,
                             .n = n,
                             .k = r,
                             .a_row = 1,
                             .a_col = a.out,
                             .b_row = a.in,
                             .c_row = a.in,
                             .add = parts == 1 && !write_dw},
                            a.dy.ptr + r0 * a.out + m0, a.x.ptr + r0 * a.in + n0, nullptr,
                            partial_dw + part * size + m0 * a.in + n0);
      if (a.db_mode != GradMode::skip && n0 == 0)  // while the tile's part of dy is in the cache
        column_sums(a.dy.ptr + m0, r0, r0 + r, a.out, m, partial_db + part * a.out + m0);
    });
  });
  if (a.dw_mode != GradMode::skip && parts > 1) sum_partitions(a.dw, !write_dw, partial_dw, parts);
  if (a.db_mode != GradMode::skip) sum_partitions(a.db, !write_db, partial_db, parts);
}

template void linear_fwd(const LinearFwd<float>&);
template void linear_fwd(const LinearFwd<bf16>&);
template void linear_bwd_data(const LinearBwdData<float>&);
template void linear_bwd_data(const LinearBwdData<bf16>&);
template void linear_bwd_weight(const LinearBwdWeight<float>&);
template void linear_bwd_weight(const LinearBwdWeight<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
