// engine/communicator.h — what processes that train together say to each other: sums, gathers, broadcasts.
//
// Every rank calls the same operations in the same order with the same lengths. A sum is taken in an order that the length
// and the number of processes fix: it has the same bits on every rank and in every run with that many processes.
#pragma once
#include <memory>

#include "engine/base.h"
#include "engine/bf16.h"

namespace bonafide {

// An operation failed because of another process: it is gone, it hangs, or it is somewhere else in its program. The message
// names operation and ranks. Whatever ended the other process is the cause; this is the consequence.
struct PeerError : Error {
  using Error::Error;
};

class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  virtual void all_gather(Span<const float> mine, Span<float> all) = 0;  // all: world() pieces in rank order
  virtual void broadcast(Span<std::uint8_t> bytes, int root) = 0;        // in place
  virtual void barrier() = 0;
  void all_reduce_sum(Span<float> values) {  // in place
    begin_all_reduce_sum(values);
    finish();
  }

  // Sums in the background, in the order of their beginning: nobody touches `values` before finish(), which waits for all
  // that have begun and throws what went wrong. On a GPU they begin when the context's stream has come so far, and finish()
  // makes that stream wait, not the host.
  virtual void begin_all_reduce_sum(Span<float> values) = 0;
  virtual void begin_all_reduce_sum(Span<bf16> values) = 0;  // rounded after each addition
  virtual void finish() = 0;

  // Gives up, from an error on its way up: no sum in the background touches memory after this. The other processes notice, and
  // whatever is asked of the communicator now fails.
  virtual void abort() noexcept = 0;

 protected:
  // What every implementation asks of its arguments.
  void check_all_gather(Span<const float> mine, Span<float> all) const;
  void check_broadcast(Span<std::uint8_t> bytes, int root) const;
  static void check_array(const void* p, std::int64_t n);
};

// One process: rank 0 of 1.
std::unique_ptr<Communicator> single_process();

}  // namespace bonafide
