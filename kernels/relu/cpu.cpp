// kernels/relu/cpu.cpp — plain loops that the compiler vectorises.
#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/relu/relu.h"

namespace bonafide::kernels {
namespace {
constexpr std::int64_t kGrain = 1 << 14;
}

template <class T>
void check(const ReluFwd<T>& a) {
  BF_CHECK(a.y.len == a.x.len, "relu: y has ", a.y.len, " elements, x has ", a.x.len);
}
template <class T>
void check(const ReluBwd<T>& a) {
  BF_CHECK(a.dy.len == a.x.len, "relu: dy has ", a.dy.len, " elements, x has ", a.x.len);
  BF_CHECK(a.dx_mode == GradMode::skip || a.dx.len == a.x.len, "relu: dx has ", a.dx.len, " elements, x has ", a.x.len);
}

template void check(const ReluFwd<float>&);
template void check(const ReluFwd<bf16>&);
template void check(const ReluBwd<float>&);
template void check(const ReluBwd<bf16>&);

namespace cpu {

template <class T>
void relu_fwd(const ReluFwd<T>& a) {
  check(a);
  parallel_ranges(a.x.len, kGrain, [&](std::int64_t begin, std::int64_t end) {
    const T* x = a.x.ptr;
    T* y = a.y.ptr;
    for (std::int64_t i = begin; i < end; ++i) {
      const float v = to_f32(x[i]);
      put(y[i], v <= 0 ? 0.0f : v);
    }
  });
}

template <class T>
void relu_bwd(const ReluBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  parallel_ranges(a.x.len, kGrain, [&](std::int64_t begin, std::int64_t end) {
    const T *x = a.x.ptr, *dy = a.dy.ptr;
    store_gradient(a.dx_mode, a.dx, begin, end,
                   [&](std::int64_t i) { return to_f32(x[i]) <= 0 ? 0.0f : to_f32(dy[i]); });
  });
}

template void relu_fwd(const ReluFwd<float>&);
template void relu_fwd(const ReluFwd<bf16>&);
template void relu_bwd(const ReluBwd<float>&);
template void relu_bwd(const ReluBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
