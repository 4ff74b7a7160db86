// bench/report.h — what every micro-benchmark prints: bytes and FLOPs per second, from the operation's own Cost.
#pragma once
#include <benchmark/benchmark.h>

#include <cmath>
#include <vector>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide::bench {

inline void report(benchmark::State& state, const Cost& c) {
  state.SetBytesProcessed(std::int64_t(c.bytes()) * state.iterations());
  state.counters["FLOP/s"] = benchmark::Counter(c.flops, benchmark::Counter::kIsIterationInvariantRate);
}

// Numbers in [-1, 1] that are exact in bf16 and have no short period.
template <class T>
std::vector<T> numbers(std::int64_t n, std::uint32_t salt = 1) {
  std::vector<T> v(static_cast<std::size_t>(n));
  std::uint32_t s = salt;
  for (T& x : v) s = s * 1664525u + 1013904223u, x = T(float(int(s >> 24) - 128) / 128);
  return v;
}

// A benchmark of a wrong result is worth nothing.
inline void verify(const char* what, double got, double want, double tolerance) {
  BF_CHECK(std::abs(got - want) <= tolerance, what, " is ", got, ", expected ", want);
}

}  // namespace bonafide::bench
