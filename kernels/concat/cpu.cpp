// kernels/concat/cpu.cpp — one work item is a run of rows.
#include <algorithm>
#include <cstring>

#include "engine/parallel.h"
#include "kernels/concat/concat.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

template <class A>
void check_extents(const A& a, std::int64_t part, std::int64_t whole) {
  BF_CHECK(a.rows >= 0 && a.C >= 0 && a.at >= 0 && a.at + a.C <= a.total, "concat: channels [", a.at, ", ", a.at + a.C,
           ") of ", a.total, ", ", a.rows, " rows");
  BF_CHECK(part == a.rows * a.C, "concat: part of ", part, " elements, expected [", a.rows, ", ", a.C, "]");
  BF_CHECK(whole == a.rows * a.total, "concat: whole of ", whole, " elements, expected [", a.rows, ", ", a.total, "]");
}

// Rows of a work item: some 256 KiB.
template <class T>
std::int64_t grain(std::int64_t C) {
  return std::max<std::int64_t>(1, (std::int64_t(1) << 18) / (std::int64_t(sizeof(T)) * std::max<std::int64_t>(1, C)));
}

}  // namespace

template <class T>
void check(const ConcatFwd<T>& a) {
  check_extents(a, a.x.len, a.y.len);
}
template <class T>
void check(const ConcatBwd<T>& a) {
  check_extents(a, a.dx_mode == GradMode::skip ? a.rows * a.C : a.dx.len, a.dy.len);
}
template void check(const ConcatFwd<float>&);
template void check(const ConcatFwd<bf16>&);
template void check(const ConcatBwd<float>&);
template void check(const ConcatBwd<bf16>&);

namespace cpu {

template <class T>
void concat_fwd(const ConcatFwd<T>& a) {
  check(a);
  if (a.C == 0) return;
  parallel_ranges(a.rows, grain<T>(a.C), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r)
      std::memcpy(a.y.ptr + r * a.total + a.at, a.x.ptr + r * a.C, std::size_t(a.C) * sizeof(T));
  });
}

template <class T>
void concat_bwd(const ConcatBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip || a.C == 0) return;
  parallel_ranges(a.rows, grain<T>(a.C), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const T* dy = a.dy.ptr + r * a.total + a.at;
      T* dx = a.dx.ptr + r * a.C;
      if (a.dx_mode == GradMode::write)
        std::memcpy(dx, dy, std::size_t(a.C) * sizeof(T));
      else
        for (std::int64_t c = 0; c < a.C; ++c) put(dx[c], to_f32(dx[c]) + to_f32(dy[c]));
    }
  });
}

template void concat_fwd(const ConcatFwd<float>&);
template void concat_fwd(const ConcatFwd<bf16>&);
template void concat_bwd(const ConcatBwd<float>&);
template void concat_bwd(const ConcatBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
