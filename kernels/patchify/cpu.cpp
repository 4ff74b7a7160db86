// kernels/patchify/cpu.cpp — one work item is one row of patches.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/patchify/patchify.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_extents(const A& a, std::int64_t image, std::int64_t patches) {
  BF_CHECK(a.k > 0 && a.N >= 0 && a.H >= 0 && a.W >= 0 && a.C >= 0, "patchify: [", a.N, ", ", a.H, ", ", a.W, ", ", a.C,
           "] in patches of ", a.k);
  BF_CHECK(image == a.N * a.H * a.W * a.C, "patchify: image of ", image, " elements, expected [", a.N, ", ", a.H, ", ",
           a.W, ", ", a.C, "]");
  BF_CHECK(patches == a.N * (a.H / a.k) * (a.W / a.k) * a.C * a.k * a.k, "patchify: patches of ", patches,
           " elements, expected [", a.N, ", ", a.H / a.k, ", ", a.W / a.k, ", ", a.C * a.k * a.k, "]");
}

// Calls f(patch, pixel) for all k*k pixels of all patches in row `item` of N * (H/k): offsets of channel 0. In the
// patch, channels are k*k elements apart.
template <class A, class F>
void for_row(const A& a, std::int64_t item, F&& f) {
  const std::int64_t rows = a.H / a.k, cols = a.W / a.k, n = item / rows, i = item % rows, size = a.C * a.k * a.k;
  for (std::int64_t j = 0; j < cols; ++j)
    for (std::int64_t u = 0; u < a.k; ++u)
      for (std::int64_t v = 0; v < a.k; ++v)
        f((item * cols + j) * size + u * a.k + v, ((n * a.H + i * a.k + u) * a.W + j * a.k + v) * a.C);
}

}  // namespace

template <class T>
void check(const PatchifyFwd<T>& a) {
  check_extents(a, a.x.len, a.y.len);
}
template <class T>
void check(const PatchifyBwd<T>& a) {
  check_extents(a, a.dx_mode == GradMode::skip ? a.N * a.H * a.W * a.C : a.dx.len, a.dy.len);
}

namespace cpu {

template <class T>
void patchify_fwd(const PatchifyFwd<T>& a) {
  check(a);
  const std::int64_t stride = a.k * a.k;
  parallel_for(a.N * (a.H / a.k), [&](std::int64_t item) {
    for_row(a, item, [&](std::int64_t patch, std::int64_t pixel) {
      const T* x = a.x.ptr + pixel;
      T* y = a.y.ptr + patch;
      for (std::int64_t c = 0; c < a.C; ++c) y[c * stride] = x[c];
    });
  });
}

template <class T>
void patchify_bwd(const PatchifyBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const std::int64_t stride = a.k * a.k, rows = a.H / a.k, row = a.W * a.C, used = a.W / a.k * a.k * a.C;
  parallel_for(a.N * rows, [&](std::int64_t item) {
    for_row(a, item, [&](std::int64_t patch, std::int64_t pixel) {
      const T* dy = a.dy.ptr + patch;
      T* dx = a.dx.ptr + pixel;
      if (a.dx_mode == GradMode::write)
        for (std::int64_t c = 0; c < a.C; ++c) dx[c] = dy[c * stride];
      else
        for (std::int64_t c = 0; c < a.C; ++c) dx[c] = from_f32<T>(to_f32(dx[c]) + to_f32(dy[c * stride]));
    });
  });
  if (a.dx_mode != GradMode::write || (used == row && rows * a.k == a.H)) return;
  parallel_for(a.N * a.H, [&](std::int64_t r) {  // pixels that no patch covers
    T* line = a.dx.ptr + r * row;
    std::fill(line + (r % a.H < rows * a.k ? used : 0), line + row, T(0.0f));
  });
}

template void patchify_fwd(const PatchifyFwd<float>&);
template void patchify_fwd(const PatchifyFwd<bf16>&);
template void patchify_bwd(const PatchifyBwd<float>&);
template void patchify_bwd(const PatchifyBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
