// engine/staging.cpp — see staging.h.
#include "engine/staging.h"

#include <algorithm>
#include <cstring>

namespace bonafide {
namespace {

constexpr std::size_t kAlign = 256;
constexpr std::size_t kSmallThings = std::size_t(1) << 20;    // room for labels and the like beside the images
constexpr std::size_t kDownloadBytes = std::size_t(4) << 20;
constexpr const char* kName = "staging";

}  // namespace

Staging::Staging(Stream compute, CachingAllocator& allocator, std::size_t largest_piece)
    : compute_(compute), copy_(cuda::make_stream()), allocator_(allocator), largest_piece_(largest_piece) {}

Staging::~Staging() {
  try {
    cuda::synchronize(copy_), cuda::synchronize(compute_);
  } catch (const Error&) {  // the device has failed, and somebody has been told
  }
  free_rings();
  cuda::release_pinned(download_);
  for (const Piece& p : pieces_) cuda::destroy(p.copied), cuda::destroy(p.consumed);
  for (const cuda::Event e : events_) cuda::destroy(e);
  cuda::destroy(copy_);
}

void Staging::free_rings() noexcept {
  cuda::release_pinned(pinned_);
  allocator_.release(device_, bytes_, kName);
  pinned_ = device_ = nullptr, bytes_ = next_ = 0;
}

cuda::Event Staging::event() {
  if (events_.empty()) return cuda::make_event();
  const cuda::Event e = events_.back();
  events_.pop_back();
  return e;
}

void Staging::retire_oldest() {
  const Piece p = pieces_.front();
  pieces_.pop_front();
  events_.push_back(p.copied), events_.push_back(p.consumed);
  cuda::synchronize(p.copied);
  cuda::wait(copy_, p.consumed);
}

// Twice the largest piece: the next batch is on its way while the last one is still being read.
void Staging::grow(std::size_t bytes) {
  largest_ = std::max(largest_, bytes);
  const std::size_t wanted = 2 * largest_ + kSmallThings;
  if (wanted <= bytes_) return;
  while (!pieces_.empty()) retire_oldest();
  cuda::synchronize(copy_);
  free_rings();
  pinned_ = static_cast<char*>(cuda::allocate_pinned(wanted));
  device_ = static_cast<char*>(allocator_.allocate(wanted, kName));
  bytes_ = wanted;
  const cuda::Event now = event();  // the memory may have been a tensor's a moment ago, whose kernels have not run yet
  cuda::record(now, compute_);
  cuda::wait(copy_, now);
  events_.push_back(now);
}

std::size_t Staging::reserve(std::size_t bytes) {
  grow(bytes);
  const std::size_t begin = next_ + bytes <= bytes_ ? next_ : 0, end = begin + bytes;
  const auto in_the_way = [&](const Piece& p) { return p.begin < end && begin < p.end; };
  while (std::any_of(pieces_.begin(), pieces_.end(), in_the_way)) retire_oldest();
  next_ = end;
  return begin;
}

void Staging::upload(void* to, const void* from, std::size_t bytes) {
  for (std::size_t done = 0; done < bytes; done += largest_piece_) {
    const std::size_t n = std::min(bytes - done, largest_piece_), room = ceil_div(n, kAlign) * kAlign;
    const std::size_t at = reserve(room);
    std::memcpy(pinned_ + at, static_cast<const char*>(from) + done, n);
    const Piece piece{at, at + room, event(), event()};
    cuda::copy_to_device(device_ + at, pinned_ + at, n, copy_);
    cuda::record(piece.copied, copy_);
    cuda::wait(compute_, piece.copied);
    cuda::copy_on_device(static_cast<char*>(to) + done, device_ + at, n, compute_);
    cuda::record(piece.consumed, compute_);
    pieces_.push_back(piece);
  }
}

void Staging::download(void* to, const void* from, std::size_t bytes) {
  if (!download_ && bytes) download_ = static_cast<char*>(cuda::allocate_pinned(kDownloadBytes));
  for (std::size_t done = 0; done < bytes; done += kDownloadBytes) {
    const std::size_t n = std::min(bytes - done, kDownloadBytes);
    cuda::copy_to_host(download_, static_cast<const char*>(from) + done, n, compute_);
    cuda::synchronize(compute_);
    std::memcpy(static_cast<char*>(to) + done, download_, n);
  }
}

}  // namespace bonafide
