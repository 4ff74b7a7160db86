// kernels/convnext_mlp/loops.h — the element-wise work between the matrix products, on a tile that is in the cache.
//
// A tile is `rows` rows of `cols` values at a row stride of its own; per-column arrays have `cols` values. Sums over
// the rows are f32 and overwrite what was there: a tile has at most kTileRows rows.
#pragma once
#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide::kernels::convnext_mlp_cpu {

template <class P>
struct Rows {
  P* ptr;
  std::int64_t stride;
};

template <class T>
struct GeluSquares {  // z = gelu(h), squares = sum_rows z^2
  Rows<const T> h;
  Rows<T> z;
  float* squares;
};
template <class T>
struct ScaleShift {  // a = z scale + shift
  Rows<const T> z;
  const float *scale, *shift;
  Rows<T> a;
};
template <class T>
struct AddScaled {  // y = x + s t; without x: y = s t
  Rows<const T> x;
  Rows<const T> t;
  float s;
  Rows<T> y;
};
// Backward before the sums over a sample are known: z = gelu(h), d = gelu'(h), then
// a = z scale + shift, da_z = sum_rows da z, da_sum = sum_rows da, zd = z d, and da is replaced by da scale d.
template <class T>
struct BwdBeforeSums {
  Rows<const T> h;
  const float *scale, *shift;
  Rows<T> da, zd, a;
  float *da_z, *da_sum;
};
// … and after: dh = da + q zd (da as above), in its place; sum = sum_rows dh.
template <class T>
struct BwdAfterSums {
  Rows<T> da;
  Rows<const T> zd;
  const float* q;
  float* sum;
};
template <class T>
struct ColumnSums {  // sum = sum_rows x
  Rows<const T> x;
  float* sum;
};

template <class T>
void run(const GeluSquares<T>&, std::int64_t rows, std::int64_t cols);
template <class T>
void run(const ScaleShift<T>&, std::int64_t rows, std::int64_t cols);
template <class T>
void run(const AddScaled<T>&, std::int64_t rows, std::int64_t cols);
template <class T>
void run(const BwdBeforeSums<T>&, std::int64_t rows, std::int64_t cols);
template <class T>
void run(const BwdAfterSums<T>&, std::int64_t rows, std::int64_t cols);
template <class T>
void run(const ColumnSums<T>&, std::int64_t rows, std::int64_t cols);

}  // namespace bonafide::kernels::convnext_mlp_cpu
