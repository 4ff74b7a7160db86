// kernels/patchify/cpu.cpp — one work item is one row of patches.
#include <algorithm>
#include <type_traits>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
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

// Calls f(offset in a patch, offset from the patch's first pixel) for all elements of a patch. K = k where the loops
// over pixels are to be unrolled, which leaves a loop over channels that vectorises; K = 0 for any other k.
template <std::int64_t K, class F>
inline void for_patch(std::int64_t any_k, std::int64_t C, std::int64_t line, F&& f) {
  const std::int64_t k = K ? K : any_k;
  for (std::int64_t c = 0; c < C; ++c)
    for (std::int64_t u = 0; u < k; ++u)
      for (std::int64_t v = 0; v < k; ++v) f((c * k + u) * k + v, u * line + v * C + c);
}

// Calls f(offset of the patch, offset of its first pixel in the image) for the patches in row `item` of N * (H/k).
template <class A, class F>
void for_row(const A& a, std::int64_t item, F&& f) {
  const std::int64_t rows = a.H / a.k, cols = a.W / a.k, n = item / rows, i = item % rows, size = a.C * a.k * a.k;
  for (std::int64_t j = 0; j < cols; ++j) f((item * cols + j) * size, ((n * a.H + i * a.k) * a.W + j * a.k) * a.C);
}

// Calls f with k as a constant for the two sizes that ConvNeXt uses.
template <class F>
void with_size(std::int64_t k, F&& f) {
  if (k == 2)
    f(std::integral_constant<std::int64_t, 2>{});
  else if (k == 4)
    f(std::integral_constant<std::int64_t, 4>{});
  else
    f(std::integral_constant<std::int64_t, 0>{});
}

// A copy through the bits, see put().
inline void copy_to(float& to, float from) { to = from; }
inline void copy_to(bf16& to, bf16 from) { to.bits = from.bits; }

}  // namespace

template <class T>
void check(const PatchifyFwd<T>& a) {
  check_extents(a, a.x.len, a.y.len);
}
template <class T>
void check(const PatchifyBwd<T>& a) {
  check_extents(a, a.dx_mode == GradMode::skip ? a.N * a.H * a.W * a.C : a.dx.len, a.dy.len);
}
template void check(const PatchifyFwd<float>&);
template void check(const PatchifyFwd<bf16>&);
template void check(const PatchifyBwd<float>&);
template void check(const PatchifyBwd<bf16>&);

namespace cpu {

template <class T>
void patchify_fwd(const PatchifyFwd<T>& a) {
  check(a);
  with_size(a.k, [&](auto K) {
    parallel_for(a.N * (a.H / a.k), [&](std::int64_t item) {
      for_row(a, item, [&](std::int64_t patch, std::int64_t pixel) {
        const T* __restrict x = a.x.ptr + pixel;
        T* __restrict y = a.y.ptr + patch;
        for_patch<K>(a.k, a.C, a.W * a.C, [&](std::int64_t to, std::int64_t from) { copy_to(y[to], x[from]); });
      });
    });
  });
}

template <class T>
void patchify_bwd(const PatchifyBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  const bool add = a.dx_mode == GradMode::add;
  with_size(a.k, [&](auto K) {
    parallel_for(a.N * (a.H / a.k), [&](std::int64_t item) {
      for_row(a, item, [&](std::int64_t patch, std::int64_t pixel) {
        const T* __restrict dy = a.dy.ptr + patch;
        T* __restrict dx = a.dx.ptr + pixel;
        const auto write = [&](std::int64_t from, std::int64_t to) { copy_to(dx[to], dy[from]); };
        const auto sum = [&](std::int64_t from, std::int64_t to) { put(dx[to], to_f32(dx[to]) + to_f32(dy[from])); };
        add ? for_patch<K>(a.k, a.C, a.W * a.C, sum) : for_patch<K>(a.k, a.C, a.W * a.C, write);
      });
    });
  });
  const std::int64_t rows = a.H / a.k, row = a.W * a.C, used = a.W / a.k * a.k * a.C;
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
