// kernels/element_range.h — half-open ranges of a flat arena, e.g. the parameters that weight decay leaves alone.
#pragma once
#include "engine/base.h"

namespace bonafide::kernels {

struct ElementRange {
  std::int64_t begin = 0, end = 0;  // [begin, end), elements
};

// Ranges must be sorted, disjoint and inside [0, n).
inline void check_ranges(const char* operation, Span<const ElementRange> ranges, std::int64_t n) {
  std::int64_t at = 0;
  for (const ElementRange& r : ranges) {
    BF_CHECK(r.begin >= at && r.end >= r.begin && r.end <= n, operation, ": range [", r.begin, ", ", r.end,
             ") is not after ", at, " and within ", n, " elements");
    at = r.end;
  }
}

// Calls f(b, e, inside) for consecutive pieces that cover [begin, end) in order; `inside` says whether the piece
// belongs to one of the (checked) ranges.
template <class F>
void for_each_segment(Span<const ElementRange> ranges, std::int64_t begin, std::int64_t end, F&& f) {
  const ElementRange* r = ranges.begin();
  for (std::int64_t n = ranges.size(); n > 0;) {  // first range that ends after `begin`
    const std::int64_t half = n / 2;
    if (r[half].end <= begin)
      r += half + 1, n -= half + 1;
    else
      n = half;
  }
  for (std::int64_t at = begin; at < end;) {
    while (r != ranges.end() && r->end <= at) ++r;
    const bool inside = r != ranges.end() && r->begin <= at;
    std::int64_t next = r == ranges.end() ? end : inside ? r->end : r->begin;
    next = next < end ? next : end;
    f(at, next, inside);
    at = next;
  }
}

}  // namespace bonafide::kernels
