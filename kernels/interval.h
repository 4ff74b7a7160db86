// kernels/interval.h — neighbouring indices [begin, end), and the pieces that the rows of a matrix are cut into where
// its columns are summed.
#pragma once
#include "engine/base.h"

namespace bonafide::kernels {

template <class I>
struct IntervalOf {
  I begin = 0, end = 0;
  BF_HD constexpr I size() const { return end - begin; }
  friend constexpr bool operator==(const IntervalOf&, const IntervalOf&) = default;
};
using Interval = IntervalOf<std::int64_t>;
using Cells = IntervalOf<int>;  // of one axis of an image

// Pieces whose columns are summed apart, then over the pieces in order. Part of the result's bits. 512 of a strip of
// columns keep a large GPU busy; one of no rows, so that what is summed is written.
BF_HD constexpr std::int64_t row_pieces(std::int64_t rows) {
  const std::int64_t want = ceil_div<std::int64_t>(rows, 256);
  return want < 1 ? 1 : want < 512 ? want : 512;
}
BF_HD constexpr Interval row_piece(std::int64_t rows, std::int64_t p) {
  const std::int64_t pieces = row_pieces(rows);
  return {p * rows / pieces, (p + 1) * rows / pieces};
}

}  // namespace bonafide::kernels
