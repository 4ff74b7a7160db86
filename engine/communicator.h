// engine/communicator.h — what processes that train together say to each other. Today there is one process.
//
// Sums are in rank order, whatever arrives first: the result has the same bits on every rank and in every run.
// Every rank calls the same operations in the same order with the same lengths.
#pragma once
#include <memory>

#include "engine/base.h"

namespace bonafide {

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  virtual void all_reduce_sum(Span<float> values) = 0;                            // in place
  virtual void all_gather(Span<const float> mine, Span<float> all) = 0;           // all: world() pieces in rank order
  virtual void broadcast(Span<std::uint8_t> bytes, int root) = 0;                 // in place
  virtual void barrier() = 0;
};

// One process: rank 0 of 1.
std::unique_ptr<Communicator> single_process();

}  // namespace bonafide
