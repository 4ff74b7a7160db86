// tests/support/threads.h — the same call with one and with two threads.
#pragma once
#include <omp.h>

#include <utility>

namespace bonafide::test {

// f() with one thread, then with two; both results, to be compared bitwise.
template <class F>
auto with_one_and_two_threads(F&& f) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  auto one = f();
  omp_set_num_threads(2);
  auto two = f();
  omp_set_num_threads(before);
  return std::make_pair(std::move(one), std::move(two));
}

}  // namespace bonafide::test
