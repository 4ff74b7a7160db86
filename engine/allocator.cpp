// engine/allocator.cpp
#include "engine/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iomanip>

#include "engine/cuda_runtime.h"

namespace bonafide {
namespace {

// Large blocks ask for huge pages: kernels walk tens of megabytes with strides, and with pages of 4 KiB every few steps
// miss the address cache.
struct HostMemory final : MemorySource {
  void* allocate(std::size_t bytes) override {
    constexpr std::size_t kHugePage = std::size_t(2) << 20;
    if (bytes < 2 * kHugePage) return std::aligned_alloc(256, ceil_div<std::size_t>(bytes, 256) * 256);
    const std::size_t size = ceil_div<std::size_t>(bytes, kHugePage) * kHugePage;
    void* p = std::aligned_alloc(kHugePage, size);
    if (p) madvise(p, size, MADV_HUGEPAGE);  // a wish: nothing is lost where the system has none
    return p;
  }
  void release(void* p, std::size_t) noexcept override { std::free(p); }
};

struct DeviceMemory final : MemorySource {
  int device;
  explicit DeviceMemory(int d) : device(d) {}
  void* allocate(std::size_t bytes) override {
    cuda::set_device(device);
    return cuda::allocate(bytes);
  }
  void release(void* p, std::size_t) noexcept override { cuda::release(p); }
  std::size_t free_bytes() override {
    cuda::set_device(device);
    return cuda::free_bytes();
  }
};

std::string mib(std::size_t bytes) {
  std::ostringstream o;
  o << std::fixed << std::setprecision(1) << double(bytes) / (1 << 20) << " MiB";
  return o.str();
}

}  // namespace

std::unique_ptr<MemorySource> host_memory() { return std::make_unique<HostMemory>(); }
std::unique_ptr<MemorySource> device_memory(int device) { return std::make_unique<DeviceMemory>(device); }

std::string CachingAllocator::Stats::table() const {
  std::vector<std::pair<std::string, Usage>> rows(by_name.begin(), by_name.end());
  std::sort(rows.begin(), rows.end(), [](auto& a, auto& b) { return a.second.peak_bytes > b.second.peak_bytes; });
  std::ostringstream o;
  o << "memory: live " << mib(live_bytes) << ", peak " << mib(peak_bytes) << ", cached " << mib(cached_bytes) << "\n";
  for (auto& [name, u] : rows)
    o << "  " << std::left << std::setw(16) << name << std::right << std::setw(14) << mib(u.live_bytes) << " live"
      << std::setw(14) << mib(u.peak_bytes) << " peak" << std::setw(8) << u.live_blocks << " blocks\n";
  return o.str();
}

CachingAllocator::CachingAllocator(std::unique_ptr<MemorySource> source) : source_(std::move(source)) {}
CachingAllocator::~CachingAllocator() { release_cache(); }

std::size_t CachingAllocator::size_class(std::size_t bytes) {
  if (bytes <= 256) return 256;
  const std::size_t step = std::max<std::size_t>(256, std::bit_floor(bytes) / 8);
  return ceil_div(bytes, step) * step;
}

void* CachingAllocator::allocate(std::size_t bytes, const char* name) {
  if (bytes == 0) return nullptr;
  const std::size_t size = size_class(bytes);
  std::unique_lock lock(mutex_);
  void* p = nullptr;
  if (auto it = free_.find(size); it != free_.end() && !it->second.empty()) {
    p = it->second.back();
    it->second.pop_back();
    stats_.cached_bytes -= size;
  } else {
    ++stats_.system_allocations;
    p = source_->allocate(size);
    if (!p) {
      lock.unlock();
      release_cache();
      lock.lock();
      p = source_->allocate(size);
    }
    if (!p) {
      const std::string table = stats_.table();
      throw Error(str("out of memory: asked for ", mib(size), " for '", name, "'\n", batch_that_fits(size), table));
    }
  }
  stats_.live_bytes += size;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
  batch_.peak_bytes = std::max(batch_.peak_bytes, stats_.live_bytes);
  Usage& u = stats_.by_name[name];
  u.live_bytes += size, ++u.live_blocks, ++u.allocations;
  u.peak_bytes = std::max(u.peak_bytes, u.live_bytes);
  return p;
}

void CachingAllocator::release(void* p, std::size_t bytes, const char* name) noexcept {
  if (!p) return;
  const std::size_t size = size_class(bytes);
  const std::lock_guard lock(mutex_);
  free_[size].push_back(p);
  stats_.cached_bytes += size;
  stats_.live_bytes -= size;
  Usage& u = stats_.by_name[name];
  u.live_bytes -= size, --u.live_blocks;
}

void CachingAllocator::release_cache() {
  const std::lock_guard lock(mutex_);
  for (auto& [size, blocks] : free_)
    for (void* p : blocks) source_->release(p, size);
  free_.clear();
  stats_.cached_bytes = 0;
}

void CachingAllocator::begin_batch(std::int64_t images) {
  BF_CHECK(images >= 0, "a batch of ", images, " images");
  const std::lock_guard lock(mutex_);
  if (batch_.images > 0) last_bytes_per_image_ = batch_.bytes_per_image();
  batch_ = {images, stats_.live_bytes, stats_.live_bytes};
}

// For the message of exhaustion. The cache has been given back, so that all there is is what is live and what is free.
std::string CachingAllocator::batch_that_fits(std::size_t asked) const {
  if (batch_.images <= 0) return "";
  Batch now = batch_;
  now.peak_bytes = std::max(now.peak_bytes, stats_.live_bytes + asked);
  // A batch that has ended tells what a whole one needs; without one there is only what this one has taken so far.
  const bool whole = last_bytes_per_image_ > 0;
  const double each = std::max(now.bytes_per_image(), last_bytes_per_image_);
  const std::size_t all = stats_.live_bytes + source_->free_bytes();
  const double room = double(all) - double(std::min(now.fixed_bytes, all));
  constexpr double kClassWaste = 1.125;  // size classes of another batch size may round up where these did not
  const auto fits = std::min(std::int64_t(room / (each * kClassWaste)), now.images - 1);
  std::ostringstream o;
  o << "a batch of " << now.images << " images needs " << (whole ? "" : "at least ") << mib(std::size_t(each)) << " an image besides "
    << mib(now.fixed_bytes) << " for any batch; of " << mib(all) << " in all, ";
  if (fits <= 0) o << "not one image would fit\n";
  else o << (whole ? "" : "at most ") << "a batch size of " << fits << " would fit\n";
  return o.str();
}

CachingAllocator::Stats CachingAllocator::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peaks() {
  const std::lock_guard lock(mutex_);
  stats_.peak_bytes = stats_.live_bytes;
  for (auto& [name, u] : stats_.by_name) u.peak_bytes = u.live_bytes;
}

}  // namespace bonafide
