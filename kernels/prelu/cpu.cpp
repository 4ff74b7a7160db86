// kernels/prelu/cpu.cpp — plain loops that the compiler vectorises. The slopes are laid out as often as fits into one
// turn of the inner loop, so that ten channels are no slower than a hundred.
#include <algorithm>
#include <vector>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/prelu/prelu.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kTurn = 256;       // elements of an inner loop, at least
constexpr std::int64_t kGrain = 1 << 14;  // elements of a work item, about
constexpr std::int64_t kChannels = 128;   // whose sums stay in the first-level cache

template <class A>
void check_common(const A& a, std::int64_t got, const char* what) {
  BF_CHECK(a.rows >= 0 && a.C > 0 && got == a.rows * a.C, "prelu: ", what, " has ", got, " elements, expected [",
           a.rows, ", ", a.C, "]");
  BF_CHECK(a.slope.len == a.C || a.slope.len == 1, "prelu: ", a.slope.len, " slopes for ", a.C,
           " channels, expected 1 or one each");
}

// Calls f(slopes, begin, end) for parts of the elements that begin with channel 0; slopes[i - begin] belongs to element
// i.
template <class A, class F>
void for_turns(const A& a, F&& f) {
  const std::int64_t rows = std::max<std::int64_t>(1, kTurn / a.C), turn = rows * a.C, n = a.rows * a.C;
  std::vector<float> slopes(static_cast<std::size_t>(turn));
  for (std::int64_t i = 0; i < turn; ++i) slopes[std::size_t(i)] = a.slope[a.slope.len == 1 ? 0 : i % a.C];
  parallel_ranges(ceil_div(n, turn), std::max<std::int64_t>(1, kGrain / turn),
                  [&](std::int64_t first, std::int64_t last) {
                    for (std::int64_t t = first; t < last; ++t) f(slopes.data(), t * turn, std::min((t + 1) * turn, n));
                  });
}

}  // namespace

template <class T>
void check(const PreluFwd<T>& a) {
  check_common(a, a.x.len, "x");
  check_common(a, a.y.len, "y");
}
template <class T>
void check(const PreluBwd<T>& a) {
  check_common(a, a.x.len, "x");
  check_common(a, a.dy.len, "dy");
  if (a.dx_mode != GradMode::skip) check_common(a, a.dx.len, "dx");
  if (a.dslope_mode == GradMode::skip) return;
  BF_CHECK(a.dslope.len == a.slope.len, "prelu: dslope ", a.dslope.len, ", slope ", a.slope.len);
  BF_CHECK(a.workspace.len >= prelu_bwd_workspace(a.rows, a.C), "prelu: workspace of ", a.workspace.len,
           " floats, expected ", prelu_bwd_workspace(a.rows, a.C));
}

template void check(const PreluFwd<float>&);
template void check(const PreluFwd<bf16>&);
template void check(const PreluBwd<float>&);
template void check(const PreluBwd<bf16>&);

namespace cpu {

template <class T>
void prelu_fwd(const PreluFwd<T>& a) {
  check(a);
  for_turns(a, [&](const float* slopes, std::int64_t begin, std::int64_t end) {
    const T* x = a.x.ptr + begin;
    T* y = a.y.ptr + begin;
    for (std::int64_t i = 0; i < end - begin; ++i) {
      const float v = to_f32(x[i]);
      put(y[i], v > 0 ? v : slopes[i] * v);
    }
  });
}

template <class T>
void prelu_bwd(const PreluBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip)
    for_turns(a, [&](const float* slopes, std::int64_t begin, std::int64_t end) {
      const T *x = a.x.ptr + begin, *dy = a.dy.ptr + begin;
      store_gradient(a.dx_mode, a.dx.slice(begin, end - begin), 0, end - begin, [&](std::int64_t i) {
        const float d = to_f32(dy[i]);
        return to_f32(x[i]) > 0 ? d : slopes[i] * d;
      });
    });
  if (a.dslope_mode == GradMode::skip) return;

  const std::int64_t C = a.C, pieces = row_pieces(a.rows), runs = ceil_div(C, kChannels);
  parallel_for(pieces * runs, [&](std::int64_t item) {
    const std::int64_t p = item / runs, c0 = item % runs * kChannels, channels = std::min(kChannels, C - c0);
    const Interval piece = row_piece(a.rows, p);
    float sum[kChannels] = {};
    for (std::int64_t row = piece.begin; row < piece.end; ++row) {
      const T *x = a.x.ptr + row * C + c0, *dy = a.dy.ptr + row * C + c0;
      for (std::int64_t c = 0; c < channels; ++c) {
        const float v = to_f32(x[c]), d = to_f32(dy[c]) * v;  // whatever v: else g++ 12 does not vectorise
        sum[c] += v > 0 ? 0.0f : d;
      }
    }
    std::copy_n(sum, channels, a.workspace.ptr + p * C + c0);
  });
  float* total = a.workspace.ptr + pieces * C;
  std::fill_n(total, C, 0.0f);
  for (std::int64_t p = 0; p < pieces; ++p)
    for (std::int64_t c = 0; c < C; ++c) total[c] += a.workspace.ptr[p * C + c];
  if (a.slope.len != C)
    for (std::int64_t c = 1; c < C; ++c) total[0] += total[c];
  store_gradient(a.dslope_mode, a.dslope, 0, a.dslope.len, [&](std::int64_t i) { return total[i]; });
}

template void prelu_fwd(const PreluFwd<float>&);
template void prelu_fwd(const PreluFwd<bf16>&);
template void prelu_bwd(const PreluBwd<float>&);
template void prelu_bwd(const PreluBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
