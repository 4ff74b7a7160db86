// tests/support/arrays.h — arrays that begin where no vector may, and how far two arrays are apart as a whole.
#pragma once
#include "tests/support/support.h"

namespace bonafide::test {

// |got - want| as a share of the whole want, or of `least` where that is more.
template <class Got>
double distance(const Got& got, const std::vector<double>& want, double least = 1e-15) {
  double d = 0, n = least * least;
  BF_CHECK(std::int64_t(got.size()) == std::int64_t(want.size()), got.size(), " and ", want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double e = double(got[std::int64_t(i)]) - want[i];
    d += e * e, n += want[i] * want[i];
  }
  return std::sqrt(d / n);
}

// Arrays that begin `offset` elements into their memory: at 1, where no vector may begin.
template <class T>
Buffer<T> moved(const Buffer<T>& from, std::int64_t offset) {
  Buffer<T> to(from.size() + offset, 0);
  for (std::int64_t i = 0; i < from.size(); ++i) to[offset + i] = from.cspan()[i];
  return to;
}
template <class P>
Span<P> moved(Span<P> all, std::int64_t offset) {
  return all.slice(offset, all.len - offset);
}
template <class T>
Buffer<T> moved_back(const Buffer<T>& from, std::int64_t offset) {
  from.check_guards("moved");
  Buffer<T> to(from.size() - offset);
  for (std::int64_t i = 0; i < to.size(); ++i) to[i] = from.cspan()[offset + i];
  for (std::int64_t i = 0; i < offset; ++i) BF_CHECK(from[i] == 0, "wrote before the array");
  return to;
}

}  // namespace bonafide::test
