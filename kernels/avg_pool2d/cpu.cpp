// kernels/avg_pool2d/cpu.cpp — one work item is a row of pixels; loops over channels that the compiler vectorises.
#include <algorithm>

#include "engine/parallel.h"
#include "kernels/avg_pool2d/avg_pool2d.h"
#include "kernels/grad_store.h"

namespace bonafide::kernels {
namespace {

constexpr std::int64_t kChannels = 128;  // of one turn: their sums stay in the first-level cache

template <class T>
void pool_row(const AvgPool2dFwd<T>& a, std::int64_t n, int o) {
  const Pool2d& p = a.pool;
  const Cells rows = p.h.inputs(o);
  for (int q = 0; q < p.w.out; ++q) {
    const Cells columns = p.w.inputs(q);
    const float size = avg_pool2d_size(p, a.count_include_pad, o, q);
    for (std::int64_t c0 = 0; c0 < p.C; c0 += kChannels) {
      const std::int64_t channels = std::min<std::int64_t>(kChannels, p.C - c0);
      float sum[kChannels] = {};
      for (int h = rows.begin; h < rows.end; ++h)
        for (int w = columns.begin; w < columns.end; ++w) {
          const T* x = a.x.ptr + ((n * p.h.in + h) * p.w.in + w) * p.C + c0;
          for (std::int64_t c = 0; c < channels; ++c) sum[c] += to_f32(x[c]);
        }
      T* y = a.y.ptr + ((n * p.h.out + o) * p.w.out + q) * p.C + c0;
      for (std::int64_t c = 0; c < channels; ++c) put(y[c], sum[c] / size);
    }
  }
}

// Row `h` of dx.
template <class T>
void spread_row(const AvgPool2dBwd<T>& a, std::int64_t n, int h) {
  const Pool2d& p = a.pool;
  const Cells rows = p.h.outputs(h);
  for (int w = 0; w < p.w.in; ++w) {
    const Cells columns = p.w.outputs(w);
    for (std::int64_t c0 = 0; c0 < p.C; c0 += kChannels) {
      const std::int64_t channels = std::min<std::int64_t>(kChannels, p.C - c0);
      float sum[kChannels] = {};
      for (int o = rows.begin; o < rows.end; ++o)
        for (int q = columns.begin; q < columns.end; ++q) {
          const T* dy = a.dy.ptr + ((n * p.h.out + o) * p.w.out + q) * p.C + c0;
          const float share = 1.0f / avg_pool2d_size(p, a.count_include_pad, o, q);
          for (std::int64_t c = 0; c < channels; ++c) sum[c] += to_f32(dy[c]) * share;
        }
      store_gradient(a.dx_mode, a.dx.slice(((n * p.h.in + h) * p.w.in + w) * p.C + c0, channels), 0, channels,
                     [&](std::int64_t c) { return sum[c]; });
    }
  }
}

}  // namespace

template <class T>
void check(const AvgPool2dFwd<T>& a) {
  check_pool("avg_pool2d", a.pool, a.x.len, a.y.len);
}
template <class T>
void check(const AvgPool2dBwd<T>& a) {
  check_pool("avg_pool2d", a.pool, a.dx_mode == GradMode::skip ? a.pool.inputs() : a.dx.len, a.dy.len);
}

template void check(const AvgPool2dFwd<float>&);
template void check(const AvgPool2dFwd<bf16>&);
template void check(const AvgPool2dBwd<float>&);
template void check(const AvgPool2dBwd<bf16>&);

namespace cpu {

template <class T>
void avg_pool2d_fwd(const AvgPool2dFwd<T>& a) {
  check(a);
  parallel_for(a.pool.N * a.pool.h.out, [&](std::int64_t i) { pool_row(a, i / a.pool.h.out, int(i % a.pool.h.out)); });
}

template <class T>
void avg_pool2d_bwd(const AvgPool2dBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  parallel_for(a.pool.N * a.pool.h.in, [&](std::int64_t i) { spread_row(a, i / a.pool.h.in, int(i % a.pool.h.in)); });
}

template void avg_pool2d_fwd(const AvgPool2dFwd<float>&);
template void avg_pool2d_fwd(const AvgPool2dFwd<bf16>&);
template void avg_pool2d_bwd(const AvgPool2dBwd<float>&);
template void avg_pool2d_bwd(const AvgPool2dBwd<bf16>&);

}  // namespace cpu
}  // namespace bonafide::kernels
