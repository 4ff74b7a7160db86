// kernels/grad_norm/cpu.cpp — the global L2 norm on the CPU, bound by memory.
#include <cmath>

#include "engine/parallel.h"
#include "kernels/grad_norm/grad_norm.h"

namespace bonafide::kernels {

void check(const GradNorm& a) {
  BF_CHECK(a.norm.size() == 1, "grad_norm: norm has ", a.norm.size(), " elements, expected 1");
  BF_CHECK(a.workspace.size() >= grad_norm_workspace(a.g.size()), "grad_norm: workspace of ", a.workspace.size(),
           " doubles, expected ", grad_norm_workspace(a.g.size()));
}

namespace cpu {
namespace {

constexpr int kFold = 32;

double fold(double* s) {
  for (int step = kFold / 2; step > 0; step /= 2)
    for (int j = 0; j < step; ++j) s[j] += s[j + step];
  return s[0];
}

double sum_of_squares(const float* g, std::int64_t n) {
  double lane[kFold] = {};
  std::int64_t i = 0;
  for (; i + kFold <= n; i += kFold)
#pragma omp simd
    for (int j = 0; j < kFold; ++j) lane[j] += double(g[i + j]) * double(g[i + j]);
  for (int j = 0; i < n; ++i, ++j) lane[j] += double(g[i]) * double(g[i]);
  return fold(lane);
}

double sum_of_pieces(Span<const double> pieces) {
  double lane[kGradNormLanes] = {}, folded[kFold] = {};
  for (std::int64_t i = 0; i < pieces.len; ++i) lane[i % kGradNormLanes] += pieces[i];
  for (int k = 0; k < kGradNormLanes / kFold; ++k) folded[k] = fold(lane + k * kFold);
  return fold(folded);
}

}  // namespace

void grad_norm(const GradNorm& a) {
  check(a);
  const std::int64_t n = a.g.size(), pieces = grad_norm_workspace(n);
  constexpr std::int64_t kGrain = 4;  // pieces of a work item
  parallel_ranges(pieces, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t at = i * kGradNormPiece, rest = n - at;
      a.workspace[i] = sum_of_squares(a.g.ptr + at, rest < kGradNormPiece ? rest : kGradNormPiece);
    }
  });
  a.norm[0] = std::sqrt(sum_of_pieces(a.workspace.slice(0, pieces)));
}

}  // namespace cpu
}  // namespace bonafide::kernels
