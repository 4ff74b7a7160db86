// kernels/patchify/patchify.simt.h — patchify, the bodies of its CUDA kernels. A thread owns 16 bytes of the patches, which
// it reads or writes in one access; in the image, the accesses of a warp to one pixel of the patch are neighbours.
#pragma once
#include "kernels/patchify/patchify.h"
#include "kernels/simt/block.h"

namespace bonafide::kernels {

template <class T, class F>
void for_each_array(const PatchifyFwd<T>& a, F&& f) {
  f("x", a.x), f("y", a.y);
}
template <class T, class F>
void for_each_array(const PatchifyBwd<T>& a, F&& f) {
  f("dy", a.dy), f("dx", a.dx);
}

namespace simt_bodies {
using namespace simt;

inline constexpr int kPatchifyThreads = 256;

// Both passes: blockIdx.x is a row of patches, blockIdx.y a part of it.
template <class T, class A>
LaunchShape patchify_shape(const A& a) {
  const std::int64_t row = a.W / a.k * a.C * a.k * a.k;
  return {.grid = {a.N * (a.H / a.k), ceil_div<std::int64_t>(row, kPatchifyThreads * kWidest<T>)},
          .block = {kPatchifyThreads}};
}

// A row of patches: where it begins in both arrays, and where its elements lie in the image. K: k, or 0 for any.
template <int K>
struct PatchRow {
  std::int64_t patches, image, line;
  int k, C, length;

  template <class A>
  BF_DEVICE PatchRow(const A& a, std::int64_t item) : line(a.W * a.C), k(K ? K : int(a.k)), C(int(a.C)) {
    const std::int64_t rows = a.H / k, n = item / rows, i = item % rows;
    length = int(a.W / k) * C * k * k;
    patches = item * length, image = (n * a.H + i * k) * line;
  }
  BF_DEVICE std::int64_t pixel(int at) const {
    const int size = C * k * k, patch = at / size, within = at % size;
    const int c = within / (k * k), u = within / k % k, v = within % k;
    return image + u * line + (std::int64_t(patch) * k + v) * C + c;
  }
};

// What is one access of kWidest elements to the patches is kPixels accesses of kChannels elements to the image: element
// q kPixels + p of the one is element q of the other's access p.
template <class T, int K>
struct PatchVectors {
  static constexpr int N = kWidest<T>, kChannels = K && N % (K * K) == 0 ? N / (K * K) : 1, kPixels = N / kChannels;

  template <Block B, class A, class P, class I>
  BF_DEVICE static bool possible(B& block, const A& a, P patches, I image) {
    return a.C * a.k * a.k % N == 0 && a.C % kChannels == 0 && block.template aligned<N>(patches) &&
           block.template aligned<kChannels>(image);
  }
};

template <int K>
struct PatchifyFwdKernel {
  static constexpr const char* kName = "patchify_fwd";
  static constexpr int kMaxThreads = kPatchifyThreads;
  template <class T>
  static LaunchShape shape(const PatchifyFwd<T>& a) {
    return patchify_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PatchifyFwd<T>& a) {
    using Vectors = PatchVectors<T, K>;
    constexpr int N = Vectors::N;
    const PatchRow<K> row(a, block.bx());
    const int first = (block.by() * kPatchifyThreads + block.tx()) * N;
    if (Vectors::possible(block, a, a.y, a.x) && first < row.length) {  // then a row is a number of vectors
      simt::Vector<T, N> y;
      for (int p = 0; p < Vectors::kPixels; ++p) {
        const auto x = block.template load_vector<Vectors::kChannels>(a.x, row.pixel(first + p));
        for (int q = 0; q < Vectors::kChannels; ++q) y[q * Vectors::kPixels + p] = x[q];
      }
      block.store_vector(a.y, row.patches + first, y);
    } else {
      for (int at = first; at < row.length && at < first + N; ++at)
        block.store(a.y, row.patches + at, block.load(a.x, row.pixel(at)));
    }
  }
};

template <int K>
struct PatchifyBwdKernel {
  static constexpr const char* kName = "patchify_bwd";
  static constexpr int kMaxThreads = kPatchifyThreads;
  template <class T>
  static LaunchShape shape(const PatchifyBwd<T>& a) {
    return patchify_shape<T>(a);
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PatchifyBwd<T>& a) {
    using Vectors = PatchVectors<T, K>;
    constexpr int N = Vectors::N;
    const bool add = a.dx_mode == GradMode::add;
    const PatchRow<K> row(a, block.bx());
    const int first = (block.by() * kPatchifyThreads + block.tx()) * N;
    if (Vectors::possible(block, a, a.dy, a.dx) && first < row.length) {
      const auto dy = block.template load_vector<N>(a.dy, row.patches + first);
      for (int p = 0; p < Vectors::kPixels; ++p) {
        simt::Vector<T, Vectors::kChannels> dx;
        if (add) dx = block.template load_vector<Vectors::kChannels>(a.dx, row.pixel(first + p));
        for (int q = 0; q < Vectors::kChannels; ++q) {
          const T d = dy[q * Vectors::kPixels + p];
          dx[q] = add ? from_f32<T>(to_f32(dx[q]) + to_f32(d)) : d;
        }
        block.store_vector(a.dx, row.pixel(first + p), dx);
      }
    } else {
      for (int at = first; at < row.length && at < first + N; ++at) {
        const std::int64_t to = row.pixel(at);
        const T d = block.load(a.dy, row.patches + at);
        block.store(a.dx, to, add ? from_f32<T>(to_f32(block.load(a.dx, to)) + to_f32(d)) : d);
      }
    }
  }
};

// Zeroes the pixels that no patch covers. blockIdx.x: a row of the image.
struct PatchifyRestKernel {
  static constexpr const char* kName = "patchify_rest";
  static constexpr int kMaxThreads = 64;
  template <class T>
  static LaunchShape shape(const PatchifyBwd<T>& a) {
    return {.grid = {a.N * a.H}, .block = {kMaxThreads}};
  }
  template <Block B, class T>
  BF_DEVICE static void run(B& block, const PatchifyBwd<T>& a) {
    const std::int64_t row = block.bx(), line = a.W * a.C;
    const std::int64_t begin = row % a.H < a.H / a.k * a.k ? a.W / a.k * a.k * a.C : 0;
    for (std::int64_t i = begin + block.tx(); i < line; i += kMaxThreads)
      block.store(a.dx, row * line + i, from_f32<T>(0.0f));
  }
};

// What is launched, in order. Launch: called with a kernel and its arguments.
template <template <int> class Kernel, class Launch, class A>
void launch_for_size(Launch&& launch, const A& a) {
  BF_CHECK(a.H / a.k * a.k * a.W * a.C <= 0x7fffffff, "patchify: [", a.H, ", ", a.W, ", ", a.C, "] on CUDA");
  if (a.k == 2)
    launch(Kernel<2>(), a);
  else if (a.k == 4)
    launch(Kernel<4>(), a);
  else
    launch(Kernel<0>(), a);
}
template <class Launch, class T>
void patchify_fwd(Launch&& launch, const PatchifyFwd<T>& a) {
  check(a);
  launch_for_size<PatchifyFwdKernel>(launch, a);
}
template <class Launch, class T>
void patchify_bwd(Launch&& launch, const PatchifyBwd<T>& a) {
  check(a);
  if (a.dx_mode == GradMode::skip) return;
  launch_for_size<PatchifyBwdKernel>(launch, a);
  if (a.dx_mode == GradMode::write && (a.H % a.k || a.W % a.k)) launch(PatchifyRestKernel(), a);
}

}  // namespace simt_bodies
}  // namespace bonafide::kernels
