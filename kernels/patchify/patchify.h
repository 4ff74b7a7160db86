// kernels/patchify/patchify.h — cuts an image into patches of k x k pixels: a stride-k convolution without its product.
//
//   forward    y[n, i, j, (c k + u) k + v] = x[n, i k + u, j k + v, c]      x [N, H, W, C], y [N, H/k, W/k, C k k]
//   backward   the inverse permutation
//
// The columns have the order of a convolution weight [out, C, k, k], so that a linear layer with that weight on y is
// the convolution. H/k and W/k are rounded down: rows and columns beyond them are not read, and their gradient is 0. A
// copy: exact in every storage type T. Deterministic.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct PatchifyFwd {
  Span<const T> x;
  Span<T> y;
  std::int64_t N = 0, H = 0, W = 0, C = 0, k = 1;
};
template <class T>
struct PatchifyBwd {
  Span<const T> dy;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t N = 0, H = 0, W = 0, C = 0, k = 1;
};

template <class T>
constexpr Cost patchify_cost(std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t C, std::int64_t k) {
  const double bytes = double(sizeof(T)) * double(N) * double(H / k * k) * double(W / k * k) * double(C);
  return {bytes, bytes, 0};
}

template <class T>
void check(const PatchifyFwd<T>&);  // throws; called by every backend
template <class T>
void check(const PatchifyBwd<T>&);

BF_PASS(patchify_fwd, PatchifyFwd);
BF_PASS(patchify_bwd, PatchifyBwd);

}  // namespace bonafide::kernels
