// kernels/cast/cpu.cpp — plain loops that the compiler vectorises.
#include "engine/parallel.h"
#include "kernels/cast/cast.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {

template <class From, class To>
void check(const Cast<From, To>& a) {
  BF_CHECK(a.mode == GradMode::skip || a.y.len == a.x.len, "cast: y has ", a.y.len, " elements, x has ", a.x.len);
}

template void check(const Cast<float, bf16>&);
template void check(const Cast<bf16, float>&);

namespace cpu {

template <class From, class To>
void cast(const Cast<From, To>& a) {
  check(a);
  if (a.mode == GradMode::skip) return;
  parallel_ranges(a.x.len, 1 << 14, [&](std::int64_t begin, std::int64_t end) {
    const From* x = a.x.ptr;
    store_gradient(a.mode, a.y, begin, end, [&](std::int64_t i) { return to_f32(x[i]); });
  });
}

template void cast(const Cast<float, bf16>&);
template void cast(const Cast<bf16, float>&);

}  // namespace cpu
}  // namespace bonafide::kernels
