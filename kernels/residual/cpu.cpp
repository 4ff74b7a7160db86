// kernels/residual/cpu.cpp — pieces of one sample, so that the scale is a constant inside.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/residual/residual.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kGrain = 1 << 14;

template <class A>
void check_common(const A& a, std::int64_t got, const char* what) {
  BF_CHECK(a.N >= 0 && a.S >= 0 && got == a.N * a.S, "residual: ", what, " has ", got, " elements, expected [", a.N,
           ", ", a.S, "]");
  BF_CHECK(!a.scale || a.scale.len == a.N, "residual: ", a.scale.len, " scales for ", a.N, " samples");
}

// Calls f(begin, end, scale of their sample).
template <class A, class F>
void for_pieces(const A& a, F&& f) {
  const std::int64_t pieces = ceil_div(a.S, kGrain);
  parallel_for(a.N * pieces, [&](std::int64_t i) {
    const std::int64_t n = i / pieces, begin = n * a.S + i % pieces * kGrain;
    f(begin, std::min(begin + kGrain, (n + 1) * a.S), a.scale ? a.scale[n] : a.one_scale);
  });
}

}  // namespace

template <class T>
void check(const ResidualFwd<T>& a) {
  check_common(a, a.x.len, "x");
  check_common(a, a.y.len, "y");
  check_common(a, a.out.len, "out");
}
template <class T>
void check(const ResidualBwd<T>& a) {
  check_common(a, a.dout.len, "dout");
  if (a.dx_mode != GradMode::skip) check_common(a, a.dx.len, "dx");
  if (a.dy_mode != GradMode::skip) check_common(a, a.dy.len, "dy");
}

template void check(const ResidualFwd<float>&);
template void check(const ResidualFwd<bf16>&);
template void check(const ResidualBwd<float>&);
template void check(const ResidualBwd<bf16>&);

namespace cpu {

template <class T>
void residual_fwd(const ResidualFwd<T>& a) {
  check(a);
  for_pieces(a, [&](std::int64_t begin, std::int64_t end, float scale) {
    const T *x = a.x.ptr, *y = a.y.ptr;
    T* out = a.out.ptr;
    for (std::int64_t i = begin; i < end; ++i) put(out[i], to_f32(x[i]) + scale * to_f32(y[i]));
  });
}

template <class T>
void residual_bwd(const ResidualBwd<T>& a) {
  check(a);
  for_pieces(a, [&](std::int64_t begin, std::int64_t end, float scale) {
    const T* d = a.dout.ptr;
    if (a.dx_mode != GradMode::skip)
      store_gradient(a.dx_mode, a.dx, begin, end, [&](std::int64_t i) { return to_f32(d[i]); });
    if (a.dy_mode != GradMode::skip)
      store_gradient(a.dy_mode, a.dy, begin, end, [&](std::int64_t i) { return scale * to_f32(d[i]); });
  });
}

template void residual_fwd(const ResidualFwd<float>&);
template void residual_fwd(const ResidualFwd<bf16>&);
template void residual_bwd(const ResidualBwd<float>&);
template void residual_bwd(const ResidualBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
