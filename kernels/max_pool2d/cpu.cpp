// kernels/max_pool2d/cpu.cpp — one work item is a row of pixels; loops over channels that the compiler vectorises.
#include <algorithm>
#include <limits>

#include "engine/parallel.h"
#include "kernels/grad_store.h"
#include "kernels/max_pool2d/max_pool2d.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kChannels = 128;  // of one turn: what is kept of them stays in the first-level cache

void check_index(const Pool2d& p, std::int64_t index) {
  BF_CHECK(index == p.outputs(), "max_pool2d: index of ", index, " elements, expected ", p.outputs());
  BF_CHECK(p.cells() <= 256, "max_pool2d: a window of ", p.h.kernel, " x ", p.w.kernel,
           " cells has no gradient, expected at most 256");
}

// Row `o` of the result. kIndex: whether the cells are wanted.
template <bool kIndex, class T>
void pool_row(const MaxPool2dFwd<T>& a, std::int64_t n, int o) {
  const Pool2d& p = a.pool;
  const Cells rows = p.h.inputs(o);
  for (int q = 0; q < p.w.out; ++q) {
    const Cells columns = p.w.inputs(q);
    const auto cell = [&](int h, int w) { return (h - p.h.start(o)) * p.w.kernel + w - p.w.start(q); };
    for (std::int64_t c0 = 0; c0 < p.C; c0 += kChannels) {
      const std::int64_t channels = std::min<std::int64_t>(kChannels, p.C - c0);
      float best[kChannels];
      int at[kChannels];
      std::fill_n(best, channels, -std::numeric_limits<float>::infinity());
      if (kIndex) std::fill_n(at, channels, cell(rows.begin, columns.begin));
      for (int h = rows.begin; h < rows.end; ++h)
        for (int w = columns.begin; w < columns.end; ++w) {
          const T* x = a.x.ptr + ((n * p.h.in + h) * p.w.in + w) * p.C + c0;
          const int here = cell(h, w);
          for (std::int64_t c = 0; c < channels; ++c) {
            const float v = to_f32(x[c]);
            const bool larger = (v > best[c]) | (v != v);
            best[c] = larger ? v : best[c];
            if (kIndex) at[c] = larger ? here : at[c];
          }
        }
      const std::int64_t out = ((n * p.h.out + o) * p.w.out + q) * p.C + c0;
      for (std::int64_t c = 0; c < channels; ++c) put(a.y.ptr[out + c], best[c]);
      if (kIndex)
        for (std::int64_t c = 0; c < channels; ++c) a.index.ptr[out + c] = std::uint8_t(at[c]);
    }
  }
}

// Row `h` of dx.
template <class T>
void spread_row(const MaxPool2dBwd<T>& a, std::int64_t n, int h) {
  const Pool2d& p = a.pool;
  const Cells rows = p.h.outputs(h);
  for (int w = 0; w < p.w.in; ++w) {
    const Cells columns = p.w.outputs(w);
    for (std::int64_t c0 = 0; c0 < p.C; c0 += kChannels) {
      const std::int64_t channels = std::min<std::int64_t>(kChannels, p.C - c0);
      float sum[kChannels] = {};
      for (int o = rows.begin; o < rows.end; ++o)
        for (int q = columns.begin; q < columns.end; ++q) {
          const std::int64_t out = ((n * p.h.out + o) * p.w.out + q) * p.C + c0;
          const T* dy = a.dy.ptr + out;
          const std::uint8_t* index = a.index.ptr + out;
          const int here = (h - p.h.start(o)) * p.w.kernel + w - p.w.start(q);
          for (std::int64_t c = 0; c < channels; ++c) {
            const float d = to_f32(dy[c]);  // read whatever the index: else g++ 12 does not vectorise
            sum[c] += index[c] == here ? d : 0.0f;
          }
        }
      store_gradient(a.dx_mode, a.dx.slice(((n * p.h.in + h) * p.w.in + w) * p.C + c0, channels), 0, channels,
                     [&](std::int64_t c) { return sum[c]; });
    }
  }
}

}  // namespace

template <class T>
void check(const MaxPool2dFwd<T>& a) {
  check_pool("max_pool2d", a.pool, a.x.len, a.y.len);
  if (a.index) check_index(a.pool, a.index.len);
}
template <class T>
void check(const MaxPool2dBwd<T>& a) {
  check_pool("max_pool2d", a.pool, a.dx_mode == GradMode::skip ? a.pool.inputs() : a.dx.len, a.dy.len);
  check_index(a.pool, a.index.len);
}

template void check(const MaxPool2dFwd<float>&);
template void check(const MaxPool2dFwd<bf16>&);
template void check(const MaxPool2dBwd<float>&);
template void check(const MaxPool2dBwd<bf16>&);

namespace cpu {

template <class T>
void max_pool2d_fwd(const MaxPool2dFwd<T>& a) {
  check(a);
  parallel_for(a.pool.N * a.pool.h.out, [&](std::int64_t i) {
    const std::int64_t n = i / a.pool.h.out;
    const int o = int(i % a.pool.h.out);
    a.index ? pool_row<true>(a, n, o) : pool_row<false>(a, n, o);
  });
}

template <class T>
void max_pool2d_bwd(const MaxPool2dBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  parallel_for(a.pool.N * a.pool.h.in, [&](std::int64_t i) { spread_row(a, i / a.pool.h.in, int(i % a.pool.h.in)); });
}

template void max_pool2d_fwd(const MaxPool2dFwd<float>&);
template void max_pool2d_fwd(const MaxPool2dFwd<bf16>&);
template void max_pool2d_bwd(const MaxPool2dBwd<float>&);
template void max_pool2d_bwd(const MaxPool2dBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
