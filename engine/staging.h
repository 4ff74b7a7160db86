// engine/staging.h — copies between the host and a device: they go through pinned memory, on a stream of their own, and
// overlap with what the device computes.
//
// An upload is copied at once into a ring of pinned memory (the caller's memory is free again), from there by the copy
// stream into a ring of device memory beside it, and from there by the compute stream to its place, after an event. So the
// slow part, over the bus, waits only until its piece of the ring is free, not for kernels; and the tensors' own memory is
// touched by the compute stream alone, which is what makes the caching allocator safe. (Writing tensors from the copy stream
// would save the last hop, 20 us for a batch of 256 photographs at 4 TB/s, and would have to wait for all kernels before
// it, or for memory that must not be handed out again while the copy is on its way.)
#pragma once
#include <deque>
#include <vector>

#include "engine/allocator.h"
#include "engine/cuda_runtime.h"

namespace bonafide {

class Staging {
 public:
  // Device memory for the ring comes from the allocator. Both must outlive this object. Longer uploads are cut into
  // pieces of at most `largest_piece` bytes.
  Staging(Stream compute, CachingAllocator&, std::size_t largest_piece = std::size_t(64) << 20);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void upload(void* to, const void* from, std::size_t bytes);    // `from` may change on return
  void download(void* to, const void* from, std::size_t bytes);  // waits for the compute stream
  std::size_t ring_bytes() const { return bytes_; }

 private:
  struct Piece {  // of both rings
    std::size_t begin, end;
    cuda::Event copied;    // by the copy stream: the pinned part may be written again
    cuda::Event consumed;  // by the compute stream: the device part may be written again
  };
  std::size_t reserve(std::size_t bytes);
  void grow(std::size_t bytes);
  void retire_oldest();
  void free_rings() noexcept;
  cuda::Event event();

  Stream compute_, copy_;
  CachingAllocator& allocator_;
  std::size_t largest_piece_;
  char *pinned_ = nullptr, *device_ = nullptr, *download_ = nullptr;
  std::size_t bytes_ = 0, next_ = 0, largest_ = 0;
  std::deque<Piece> pieces_;  // in use, oldest first
  std::vector<cuda::Event> events_;
};

}  // namespace bonafide
