// kernels/sgd/cpu.cpp — SGD with momentum on the CPU: one pass, bound by memory.
#include "kernels/sgd/sgd.h"

#include "engine/parallel.h"

namespace bonafide::kernels {

void check(const SgdStep& a) {
  const std::int64_t n = a.p.size();
  BF_CHECK(a.g.size() == n && a.buffer.size() == n, "sgd: p has ", n, " elements, g ", a.g.size(), ", buffer ",
           a.buffer.size());
  BF_CHECK(!a.copy || a.copy.size() == n, "sgd: p has ", n, " elements, its copy ", a.copy.size());
  BF_CHECK(a.momentum >= 0 && a.weight_decay >= 0, "sgd: momentum ", a.momentum, " and weight decay ", a.weight_decay,
           " must be >= 0");
  BF_CHECK(a.norm.size() <= 1, "sgd: norm has ", a.norm.size(), " elements, expected 1");
}

namespace cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 15;

template <bool kFirst, bool kCopy>
void step(const SgdStep& a, float scale, float decay, std::int64_t begin, std::int64_t end) {
  float *p = a.p.ptr, *buffer = a.buffer.ptr;
  const float* g = a.g.ptr;
  bf16* copy = a.copy.ptr;
  const float momentum = float(a.momentum), lr = float(a.lr);
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) {
    const float gi = scale * g[i] + decay * p[i];
    if constexpr (kFirst)
      buffer[i] = gi;  // the old buffer is not read: it may be uninitialised
    else
      buffer[i] = momentum * buffer[i] + gi;
    p[i] -= lr * buffer[i];
    if constexpr (kCopy) copy[i].bits = bf16(p[i]).bits;  // g++ 12 does not vectorise an assignment of structs
  }
}

}  // namespace

void sgd(const SgdStep& a) {
  check(a);
  check_ranges("sgd", a.no_decay, a.p.size());
  const double norm = a.norm ? a.norm[0] : 0;
  if (!is_finite(norm)) return;
  const float scale = float(a.grad_scale * clip_factor(norm, a.max_norm));
  const auto run =
      a.first ? (a.copy ? step<true, true> : step<true, false>) : (a.copy ? step<false, true> : step<false, false>);
  parallel_ranges(a.p.size(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    for_each_segment(a.no_decay, begin, end, [&](std::int64_t b, std::int64_t e, bool exempt) {
      run(a, scale, exempt ? 0 : float(a.weight_decay), b, e);
    });
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
