// kernels/avg_pool/cpu.cpp — one work item is one image's run of channels.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/avg_pool/avg_pool.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kChannels = 128;  // sums of one work item: 1 KiB of f64

void check_extents(std::int64_t N, std::int64_t P, std::int64_t C, std::int64_t image, std::int64_t pooled) {
  BF_CHECK(N >= 0 && P > 0 && C >= 0, "avg_pool: ", N, " images of ", P, " pixels and ", C, " channels");
  BF_CHECK(image == N * P * C, "avg_pool: image of ", image, " elements, expected [", N, ", ", P, ", ", C, "]");
  BF_CHECK(pooled == N * C, "avg_pool: mean of ", pooled, " elements, expected [", N, ", ", C, "]");
}

}  // namespace

template <class T>
void check(const AvgPoolFwd<T>& a) {
  check_extents(a.N, a.P, a.C, a.x.len, a.y.len);
}
template <class T>
void check(const AvgPoolBwd<T>& a) {
  check_extents(a.N, a.P, a.C, a.dx_mode == GradMode::skip ? a.N * a.P * a.C : a.dx.len, a.dy.len);
}

template void check(const AvgPoolFwd<float>&);
template void check(const AvgPoolFwd<bf16>&);
template void check(const AvgPoolBwd<float>&);
template void check(const AvgPoolBwd<bf16>&);

namespace cpu {

template <class T>
void avg_pool_fwd(const AvgPoolFwd<T>& a) {
  check(a);
  const std::int64_t runs = ceil_div(a.C, kChannels);
  parallel_for(a.N * runs, [&](std::int64_t item) {
    const std::int64_t n = item / runs, c0 = item % runs * kChannels, channels = std::min(kChannels, a.C - c0);
    double sum[kChannels] = {};
    for (std::int64_t p = 0; p < a.P; ++p) {
      const T* x = a.x.ptr + (n * a.P + p) * a.C + c0;
      for (std::int64_t c = 0; c < channels; ++c) sum[c] += double(to_f32(x[c]));
    }
    for (std::int64_t c = 0; c < channels; ++c) a.y[n * a.C + c0 + c] = float(sum[c] / double(a.P));
  });
}

template <class T>
void avg_pool_bwd(const AvgPoolBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const float share = 1.0f / float(a.P);
  parallel_for(a.N, [&](std::int64_t n) {
    const float* dy = a.dy.ptr + n * a.C;
    for (std::int64_t p = 0; p < a.P; ++p)
      store_gradient(a.dx_mode, a.dx.slice((n * a.P + p) * a.C, a.C), 0, a.C,
                     [&](std::int64_t c) { return dy[c] * share; });
  });
}

template void avg_pool_fwd(const AvgPoolFwd<float>&);
template void avg_pool_fwd(const AvgPoolFwd<bf16>&);
template void avg_pool_bwd(const AvgPoolBwd<float>&);
template void avg_pool_bwd(const AvgPoolBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
