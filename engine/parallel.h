// engine/parallel.h — the one way to use several CPU threads: a loop whose pieces are fixed by the shape.
//
// Work item i computes the same bits whichever thread runs it, and reductions across items are summed by the caller
// in item order; so results do not depend on the number of threads.
#pragma once
#include <omp.h>

#include <cstdint>
#include <exception>

#include "engine/base.h"

namespace bonafide {

// Calls f(i) for i in [0, n). The first exception of any item is rethrown in the caller.
template <class F>
void parallel_for(std::int64_t n, F&& f) {
  if (n <= 0) return;
  if (n == 1 || omp_in_parallel() || omp_get_max_threads() == 1) {
    for (std::int64_t i = 0; i < n; ++i) f(i);
    return;
  }
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < n; ++i) {
    try {
      f(i);
    } catch (...) {
#pragma omp critical(bonafide_parallel_for)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

// Threads that parallel_for_lanes() may use: what scratch memory is multiplied by.
inline int parallel_lanes() { return omp_in_parallel() ? 1 : omp_get_max_threads(); }

// parallel_for() whose items use scratch memory: calls f(i, lane); items that run at the same time have different lanes,
// lane < parallel_lanes().
template <class F>
void parallel_for_lanes(std::int64_t n, F&& f) {
  const bool alone = omp_in_parallel();
  parallel_for(n, [&](std::int64_t i) { f(i, alone ? 0 : omp_get_thread_num()); });
}

// Calls f(begin, end) for consecutive ranges of at most `grain` items.
template <class F>
void parallel_ranges(std::int64_t n, std::int64_t grain, F&& f) {
  BF_CHECK(grain > 0, "grain ", grain);
  parallel_for(ceil_div(n, grain), [&](std::int64_t i) {
    const std::int64_t begin = i * grain;
    f(begin, begin + grain < n ? begin + grain : n);
  });
}

}  // namespace bonafide
