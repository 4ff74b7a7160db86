// kernels/simt/element_range.h — ranges of a flat arena, in the memory of the device that asks.
#pragma once
#include "kernels/element_range.h"
#include "kernels/simt/block.h"

namespace bonafide::simt {

// Bit k: whether element i + k lies in one of the ranges (sorted, disjoint), for k in [0, N).
template <int N, Block B>
BF_DEVICE unsigned inside_ranges(B& block, Span<const kernels::ElementRange> ranges, std::int64_t i) {
  std::int64_t at = 0;
  for (std::int64_t n = ranges.len; n > 0;) {  // first range that ends after i
    const std::int64_t half = n / 2;
    if (block.load(ranges, at + half).end <= i)
      at += half + 1, n -= half + 1;
    else
      n = half;
  }
  unsigned inside = 0;
  for (int k = 0; k < N; ++k) {
    while (at < ranges.len && block.load(ranges, at).end <= i + k) ++at;
    if (at < ranges.len && block.load(ranges, at).begin <= i + k) inside |= 1u << k;
  }
  return inside;
}

}  // namespace bonafide::simt
