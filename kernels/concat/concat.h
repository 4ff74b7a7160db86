// kernels/concat/concat.h — one of the tensors that are concatenated along the channels: where its channels lie in the
// whole.
//
//   forward    y[r, at + c] = x[r, c]          x [rows, C], y [rows, total], c < C; the other columns of y are not
//   touched backward   dx[r, c]     = dy[r, at + c]
//
// Called once for each tensor, of which there may be any number. A copy: exact in every storage type T. Deterministic.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"
#include "kernels/backends.h"

namespace bonafide::kernels {

template <class T>
struct ConcatFwd {
  Span<const T> x;
  Span<T> y;
  std::int64_t rows = 0, C = 0, total = 0, at = 0;
};
template <class T>
struct ConcatBwd {
  Span<const T> dy;
  Span<T> dx;
  GradMode dx_mode = GradMode::write;
  std::int64_t rows = 0, C = 0, total = 0, at = 0;
};

template <class T>
constexpr Cost concat_cost(std::int64_t rows, std::int64_t C) {
  const double bytes = double(sizeof(T)) * double(rows) * double(C);
  return {bytes, bytes, 0};
}

template <class T>
void check(const ConcatFwd<T>&);  // throws; called by every backend
template <class T>
void check(const ConcatBwd<T>&);

BF_PASS(concat_fwd, ConcatFwd);
BF_PASS(concat_bwd, ConcatBwd);

}  // namespace bonafide::kernels
