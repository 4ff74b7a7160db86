// kernels/grad_norm/cpu.cpp — the global L2 norm on the CPU, bound by memory.
#include "kernels/grad_norm/grad_norm.h"

#include <cmath>

#include "engine/parallel.h"

namespace bonafide::kernels {

void check(const GradNorm& a) {
  BF_CHECK(a.norm.size() == 1, "grad_norm: norm has ", a.norm.size(), " elements, expected 1");
  BF_CHECK(a.workspace.size() >= grad_norm_workspace(a.g.size()), "grad_norm: workspace of ", a.workspace.size(),
           " doubles, expected ", grad_norm_workspace(a.g.size()));
}

namespace cpu {
namespace {

double sum_of_squares(const float* g, std::int64_t n) {
  double lane[kGradNormLanes] = {};
  std::int64_t i = 0;
  for (; i + kGradNormLanes <= n; i += kGradNormLanes)
#pragma omp simd
    for (int j = 0; j < kGradNormLanes; ++j) lane[j] += double(g[i + j]) * double(g[i + j]);
  for (int j = 0; i < n; ++i, ++j) lane[j] += double(g[i]) * double(g[i]);
  double sum = 0;
  for (double s : lane) sum += s;
  return sum;
}

}  // namespace

void grad_norm(const GradNorm& a) {
  check(a);
  const std::int64_t n = a.g.size();
  parallel_ranges(n, kGradNormPiece, [&](std::int64_t begin, std::int64_t end) {
    a.workspace[begin / kGradNormPiece] = sum_of_squares(a.g.ptr + begin, end - begin);
  });
  double sum = 0;
  for (std::int64_t i = 0; i < grad_norm_workspace(n); ++i) sum += a.workspace[i];
  a.norm[0] = std::sqrt(sum);
}

}  // namespace cpu
}  // namespace bonafide::kernels
