// kernels/cutmix/cutmix.simt.h — CutMix, the bodies of its CUDA kernels: a warp per line of an image, 16 bytes per
// lane.
#pragma once
#include "kernels/cutmix/cutmix.h"
#include "kernels/simt/elementwise.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const CutMix<T>& a, F&& f) {
  f("image", a.image), f("partner", a.partner), f("out", a.out);
}
template <class F>
void for_each_array(const CutMixLabels& a, F&& f) {
  f("labels", a.labels), f("partner", a.partner), f("mixed", a.mixed);
}

namespace simt_bodies {
using namespace simt;

struct CutMixKernel {
  static constexpr const char* kName = "cutmix";
  static constexpr int kLines = 8, kMaxThreads = kLines * kWarp;
  template <class T>
  static LaunchShape shape(const CutMix<T>& a) {
    return {.grid = {ceil_div<std::int64_t>(a.partner.len * a.H, kLines)}, .block = {kWarp, kLines}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const CutMix<T>& a) {
    const std::int64_t i = std::int64_t(block.bx()) * kLines + block.ty(), line = a.W * a.C;
    if (i >= a.partner.len * a.H) return;
    const std::int64_t n = i / a.H, y = i % a.H;
    const std::int64_t own = i * line, other = (block.load(a.partner, n) * a.H + y) * line;
    const bool inside = a.y1 <= y && y < a.y2;
    const std::int64_t from = inside ? a.x1 * a.C : 0, to = inside ? a.x2 * a.C : 0;
    const auto copy = [&](auto count) {
      constexpr int N = decltype(count)::value;
      for (std::int64_t x = block.tx() * N; x < line; x += kWarp * N) {
        const auto within = [&](std::int64_t at) { return int(at <= x ? 0 : at < x + N ? at - x : N); };
        const int begin = within(from), end = within(to);
        simt::Vector<T, N> v{};
        if (begin > 0 || end < N) v = block.template load_vector<N>(a.image, own + x);
        if (begin < end) {
          const auto pasted = block.template load_vector<N>(a.image, other + x);
          for (int k = 0; k < N; ++k)
            if (begin <= k && k < end) v[k] = pasted[k];
        }
        block.store_vector(a.out, own + x, v);
      }
    };
    constexpr int kWide = kWidest<T>;
    if (line % kWide == 0 && all_aligned<kWide>(block, a.image, a.out))
      copy(Count<kWide>());
    else
      copy(Count<1>());
  }
};

struct CutMixLabelsKernel {
  static constexpr const char* kName = "cutmix_labels";
  static constexpr int kMaxThreads = 128;
  static LaunchShape shape(const CutMixLabels& a) {
    return {.grid = {ceil_div<std::int64_t>(a.partner.len, kMaxThreads)}, .block = {kMaxThreads}};
  }
  template <Block B>
  BF_DEVICE static void run(B& block, const CutMixLabels& a) {
    const std::int64_t n = std::int64_t(block.bx()) * kMaxThreads + block.tx();
    if (n >= a.partner.len) return;
    block.store(a.mixed, n,
                mixed_label(a.keep, block.load(a.labels, n), block.load(a.labels, block.load(a.partner, n))));
  }
};

template <class Launch, class T>
void cutmix(Launch&& launch, const CutMix<T>& a) {
  check(a);
  launch(CutMixKernel(), a);
}
template <class Launch>
void cutmix_labels(Launch&& launch, const CutMixLabels& a) {
  check(a);
  launch(CutMixLabelsKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
