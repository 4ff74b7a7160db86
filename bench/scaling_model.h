// bench/scaling_model.h — the time of a training step of n processes, from the pieces of one process's step and the times
// of collective operations.
//
//   step = forward + gathers + loss + max(end of backward, end of the last sum) + optimiser
//
// Sums of gradient buckets run one after the other beside backward: sum i begins when bucket i is ready and sum i - 1 has
// ended. The question whether anybody was asked to stop goes around beside all of it. While a sum runs, backward loses the share `interference` of its speed: the processors that move and add the bytes.
// Everything is in seconds and bytes.
#pragma once
#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "bench/collectives.h"

namespace bonafide::bench {

struct Bucket {
  double bytes = 0;
  double ready = 0;  // how much of backward has to be computed before
};

struct StepPieces {
  double forward = 0, loss = 0, backward = 0, optimiser = 0;
  std::vector<Bucket> buckets;  // in the order of their sums
};

struct Communication {
  std::function<double(double bytes)> sum;  // seconds of the sum of a bucket
  double gathers = 0;                       // of logits, projections and labels: nothing hides them
  double ask = 0;                           // whether anybody was told to stop, on the hosts
  double interference = 0;                  // 0: others do the work; 1: backward stands still while a sum runs
};

struct StepTime {
  double step = 0;
  double backward_end = 0, sums_end = 0;  // from the beginning of backward
  double sums = 0;                        // of all buckets, if nothing else ran
  double gathers = 0;
  double exposed = 0;                     // how much longer backward and sums take together than backward alone
};

inline StepTime step_time(const StepPieces& p, const Communication& c) {
  BF_CHECK(c.interference >= 0 && c.interference <= 1, "interference ", c.interference);
  StepTime r;
  double now = 0, computed = 0;  // of backward; no sum runs now
  std::optional<double> end;     // of backward
  for (const Bucket& b : p.buckets) {
    if (computed < b.ready) now += b.ready - computed, computed = b.ready;
    const double seconds = c.sum(b.bytes), speed = 1 - c.interference, left = p.backward - computed;
    if (!end && left <= speed * seconds) end = left > 0 ? now + left / speed : now;
    computed = std::min(p.backward, computed + speed * seconds);
    now += seconds;
    r.sums += seconds;
  }
  r.sums_end = p.buckets.empty() ? 0 : now;
  r.backward_end = end ? *end : now + (p.backward - computed);
  const double both = std::max(r.backward_end, r.sums_end);
  r.exposed = both - p.backward;
  r.gathers = c.gathers;
  r.step = std::max(p.forward + c.gathers + p.loss + both + p.optimiser, c.ask);
  return r;
}

// The same images a process: how much of n times one process's speed is left. The same images in all: the same question.
constexpr double weak_efficiency(double step_of_one, double step_of_n) { return step_of_one / step_of_n; }
constexpr double strong_efficiency(double step_of_one, double step_of_n, int n) { return step_of_one / (n * step_of_n); }

}  // namespace bonafide::bench
