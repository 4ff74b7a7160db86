// engine/allocator.cpp
#include "engine/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <iomanip>

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

std::string mib(std::size_t bytes) {
  std::ostringstream o;
  o << std::fixed << std::setprecision(1) << double(bytes) / (1 << 20) << " MiB";
  return o.str();
}

}  // namespace

std::unique_ptr<MemorySource> host_memory() { return std::make_unique<HostMemory>(); }

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
      throw Error(str("out of memory: asked for ", mib(size), " for '", name, "'\n", table));
    }
  }
  stats_.live_bytes += size;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.live_bytes);
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
