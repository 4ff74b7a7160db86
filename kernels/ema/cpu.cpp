// kernels/ema/cpu.cpp — exponential moving average on the CPU: one pass, bound by memory.
#include "kernels/ema/ema.h"

#include "engine/parallel.h"

namespace bonafide::kernels {

void check(const EmaStep& a) {
  BF_CHECK(a.e.size() == a.p.size(), "ema: e has ", a.e.size(), " elements, p ", a.p.size());
  BF_CHECK(a.decay >= 0 && a.decay <= 1, "ema: decay ", a.decay, " is not in [0, 1]");
}

namespace cpu {

void ema(const EmaStep& a) {
  check(a);
  const float rest = float(1 - a.decay);
  float* e = a.e.ptr;
  const float* p = a.p.ptr;
  parallel_ranges(a.e.size(), 1 << 15, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) e[i] += rest * (p[i] - e[i]);
  });
}

}  // namespace cpu
}  // namespace bonafide::kernels
