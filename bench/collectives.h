// bench/collectives.h — what a collective operation costs, in the two bandwidths that nccl-tests print.
//
//   algorithm bandwidth   bytes of the result / time: how long an operation of this size takes
//   bus bandwidth         algorithm bandwidth x the share of those bytes that every link has to carry at the least. It does
//                         not depend on the number of processes, so that it can be held against the hardware:
//
//     all_reduce  2 (n - 1) / n   every byte goes around the ring of n processes twice, once as a partial sum and once as
//                                 the sum; each link carries all but one n-th, both times
//     all_gather    (n - 1) / n   bytes: of all pieces together; each process has its own n-th already
//     broadcast       1           every byte goes over every link of a chain once
//
// Derivations: NVIDIA/nccl-tests, doc/PERFORMANCE.md.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide::bench {

enum class Collective { all_reduce, all_gather, broadcast };

inline const char* name_of(Collective c) {
  return c == Collective::all_reduce ? "all_reduce" : c == Collective::all_gather ? "all_gather" : "broadcast";
}

// Bytes over a link for one byte of the result.
constexpr double bus_factor(Collective c, int processes) {
  if (c == Collective::broadcast) return 1;
  const double share = double(processes - 1) / processes;
  return c == Collective::all_reduce ? 2 * share : share;
}
constexpr double algorithm_bandwidth(double bytes, double seconds) { return bytes / seconds; }
constexpr double bus_bandwidth(Collective c, int processes, double bytes, double seconds) {
  return algorithm_bandwidth(bytes, seconds) * bus_factor(c, processes);
}

// Messages one after the other on the way around a ring: what makes small operations slow.
constexpr int ring_steps(Collective c, int processes) {
  return c == Collective::all_reduce ? 2 * (processes - 1) : processes - 1;
}

// Links of which a published bus bandwidth and the time of one step around the ring are known.
struct Ring {
  double step_s = 0, bus_bytes_per_s = 1;
};
constexpr double collective_seconds(const Ring& r, Collective c, int processes, double bytes) {
  return processes == 1 ? 0 : ring_steps(c, processes) * r.step_s + bus_factor(c, processes) * bytes / r.bus_bytes_per_s;
}

// Measured times by size, rising, with straight lines between them; below the smallest size its time, above the largest in
// proportion.
struct MeasuredTimes {
  std::vector<double> bytes, seconds;
  double operator()(double n) const {
    BF_CHECK(!bytes.empty() && bytes.size() == seconds.size(), bytes.size(), " sizes with ", seconds.size(), " times");
    const auto at = std::size_t(std::upper_bound(bytes.begin(), bytes.end(), n) - bytes.begin());
    if (at == 0) return seconds.front();
    if (at == bytes.size()) return seconds.back() * n / bytes.back();
    const double part = (n - bytes[at - 1]) / (bytes[at] - bytes[at - 1]);
    return seconds[at - 1] + part * (seconds[at] - seconds[at - 1]);
  }
};

inline double median(std::vector<double> v) {
  BF_CHECK(!v.empty(), "the median of nothing");
  std::sort(v.begin(), v.end());
  return v.size() % 2 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

}  // namespace bonafide::bench
