// layers/gradient_buckets.h — sums the gradients of a ParameterSet over the processes, while backward still runs.
//
// The arena of gradients is cut into buckets from its end, where the layers lie that backward reaches first. A bucket's sum
// begins as soon as backward has finished its last gradient, always in the same order on every rank.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/communicator.h"
#include "layers/parameters.h"

namespace bonafide {

struct BucketSettings {
  std::int64_t bytes = 20 << 20;  // of gradients in a bucket, about: a parameter is never cut
  DType type = DType::f32;        // bf16: half the traffic; gradients are rounded before they are added
};

class GradientBuckets {
 public:
  // `parameters` and `comm` outlive this object, which owns the parameters' hooks. `comm` speaks of the memory of the
  // parameters' device.
  GradientBuckets(ParameterSet& parameters, Communicator& comm, BucketSettings settings = {});
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  // Before backward: from here on finished gradients are sent. After it, finish(): what backward did not reach counts as
  // zero; then the gradients in the arena are the sums. Without a backward in between (a process without rows in this batch)
  // its share of the sums is zero. Where backward throws, the sums
  // that have begun are given up with this object.
  void begin();
  void finish();

  struct Bucket {
    std::int64_t begin = 0, end = 0;  // elements of the arena
    std::vector<std::size_t> parameters;
  };
  const std::vector<Bucket>& buckets() const { return buckets_; }  // in the order of their sums
  // What happened, for tests and benchmarks: called with the index of a bucket when its sum begins.
  void on_begin(std::function<void(std::size_t)> f) { on_begin_ = std::move(f); }

 private:
  void finished(std::size_t parameter);
  void begin_ready(bool all);

  ParameterSet& parameters_;
  Communicator& comm_;
  BucketSettings settings_;
  std::vector<Bucket> buckets_;
  std::vector<std::size_t> bucket_of_;
  std::vector<std::int64_t> waiting_;  // parameters of each bucket whose gradient is not final
  std::size_t next_ = 0;               // the first bucket whose sum has not begun
  bool armed_ = false;
  Tensor rounded_;  // bf16: the arena as it is sent
  std::function<void(std::size_t)> on_begin_;
};

}  // namespace bonafide
