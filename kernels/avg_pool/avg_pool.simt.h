// kernels/avg_pool/avg_pool.simt.h — the mean over pixels, the bodies of its CUDA kernels.
#pragma once
#include "kernels/avg_pool/avg_pool.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const AvgPoolFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const AvgPoolBwd<T>& a, F&& f) {
  f("dy", a.dy), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

// A thread per channel of an image: 196,608 of them for a batch of 256 of tiny, neighbours read neighbours.
struct AvgPoolFwdKernel {
  static constexpr const char* kName = "avg_pool_fwd";
  static constexpr int kMaxThreads = 128;
  template <class T>
  static LaunchShape shape(const AvgPoolFwd<T>& a) {
    return {.grid = {ceil_div<std::int64_t>(a.y.len, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AvgPoolFwd<T>& a) {
    const std::int64_t i = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (i >= a.y.len) return;
    const std::int64_t first = i / a.C * a.P * a.C + i % a.C;
    double sum = 0;
    for (std::int64_t p = 0; p < a.P; ++p) sum += double(to_f32(block.load(a.x, first + p * a.C)));
    block.store(a.y, i, float(sum / double(a.P)));
  }
};

// Blocks that belong to one image; four values per thread, 16 bytes of f32. Vectors need whole ones in a pixel.
struct AvgPoolBwdKernel {
  static constexpr const char* kName = "avg_pool_bwd";
  static constexpr int kMaxThreads = kElementwiseThreads, kWide = 4;
  template <class T>
  static LaunchShape shape(const AvgPoolBwd<T>& a) {
    return {.grid = {a.N * elementwise_blocks<kWide>(a.P * a.C)}, .block = {kElementwiseThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const AvgPoolBwd<T>& a) {
    const std::int64_t size = a.P * a.C, blocks = elementwise_blocks<kWide>(size), n = block.bx() / blocks;
    const float share = 1.0f / float(a.P);
    const bool vectors = a.C % kWide == 0 && all_aligned<kWide>(block, a.dy, a.dx);
    for_own_elements<kWide>(block, block.bx() % blocks, size, vectors, [&](std::int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const auto dy = block.template load_vector<N>(a.dy, n * a.C + i % a.C);
      store_gradient<N>(block, a.dx_mode, a.dx, n * size + i, [&](int k) { return dy[k] * share; });
    });
  }
};

template <class Launch, class T>
void avg_pool_fwd(Launch&& launch, const AvgPoolFwd<T>& a) {
  check(a);
  launch(AvgPoolFwdKernel(), a);
}
template <class Launch, class T>
void avg_pool_bwd(Launch&& launch, const AvgPoolBwd<T>& a) {
  check(a);
  if (a.dx_mode != GradMode::skip) launch(AvgPoolBwdKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
