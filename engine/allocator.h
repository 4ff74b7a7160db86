// engine/allocator.h — where tensor memory comes from: a caching allocator with named statistics.
#pragma once
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/base.h"

namespace bonafide {

// The system's memory. A device's cudaMalloc, or a failing one in tests, stands behind the same two calls.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  virtual void* allocate(std::size_t bytes) = 0;  // 256-byte aligned, or nullptr when there is none
  virtual void release(void* p, std::size_t bytes) noexcept = 0;
  virtual std::size_t free_bytes() { return 0; }  // what it could still give, as far as it knows
};
std::unique_ptr<MemorySource> host_memory();
std::unique_ptr<MemorySource> device_memory(int device);  // plain cudaMalloc

// Keeps what is released and hands it out again for the same size class, so that a training loop stops asking the
// system after its second step. Names (string literals such as "activation") group the statistics.
//
// On a device, memory is released while kernels that use it may not have run yet, and handed out at once. That is safe
// because every use of it, by the old owner and by the new one, is work of one and the same stream (Context has one for
// all that computes; what its copy stream writes is memory of its own, see staging.h), and a stream keeps its order.
// Memory that goes back to the system is waited for: cudaFree does.
class CachingAllocator {
 public:
  struct Usage {
    std::size_t live_bytes = 0, peak_bytes = 0;
    std::int64_t live_blocks = 0, allocations = 0;  // allocations: requests, served from the cache or not
  };
  struct Stats {
    std::size_t live_bytes = 0, peak_bytes = 0, cached_bytes = 0;
    std::int64_t system_allocations = 0;  // how often the source was asked: must stand still in a steady loop
    std::map<std::string, Usage> by_name;
    std::string table() const;  // for people, largest peak first
  };

  explicit CachingAllocator(std::unique_ptr<MemorySource> source = host_memory());
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;
  CachingAllocator& operator=(const CachingAllocator&) = delete;

  // On exhaustion the cache is given back and the source asked once more; then an Error with the table of allocations
  // and, if begin_batch() has been called, the batch size that would fit.
  void* allocate(std::size_t bytes, const char* name);
  void release(void* p, std::size_t bytes, const char* name) noexcept;
  void release_cache();
  Stats stats() const;
  void reset_peaks();

  // To be called before each batch of `images`: what is live now (weights, gradients, optimiser) is there for any batch,
  // what comes on top grows with the batch.
  void begin_batch(std::int64_t images);

  // Size class of a request: at most 1/8 above it, so that batches of slightly different size share blocks.
  static std::size_t size_class(std::size_t bytes);

 private:
  std::string batch_that_fits(std::size_t asked) const;

  mutable std::mutex mutex_;
  std::unique_ptr<MemorySource> source_;
  std::map<std::size_t, std::vector<void*>> free_;
  Stats stats_;
  struct Batch {
    std::int64_t images = 0;  // 0: nobody has said
    std::size_t fixed_bytes = 0, peak_bytes = 0;
    double bytes_per_image() const { return images > 0 ? double(peak_bytes - fixed_bytes) / double(images) : 0; }
  } batch_;
  double last_bytes_per_image_ = 0;  // of the last batch that ended
};

}  // namespace bonafide
