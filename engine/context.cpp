// engine/context.cpp — see context.h.
#include "engine/context.h"

#include <cstring>

#include "engine/cuda_runtime.h"
#include "engine/staging.h"

namespace bonafide {

Context::Context(Device device, std::shared_ptr<CachingAllocator> allocator)
    : device_(device), allocator_(std::move(allocator)) {
  if (!on_gpu()) {
    if (!allocator_) allocator_ = std::make_shared<CachingAllocator>();
    return;
  }
  const int count = cuda::device_count();
  if (count == 0) throw Error(str("no GPU can be used: ", cuda::why_no_device()));
  if (device.index < 0 || device.index >= count)
    throw Error(str("there is no GPU ", device.index, ": ", count, count == 1 ? " is" : " are", " usable, counted from 0"));
  use_in_this_thread();
  if (!allocator_) allocator_ = std::make_shared<CachingAllocator>(device_memory(device.index));
  stream_ = cuda::make_stream();
  staging_ = std::make_unique<Staging>(stream_, *allocator_);
}

Context::~Context() {
  if (!on_gpu()) return;
  staging_.reset();  // waits for both streams
  cuda::destroy(stream_);
}

void Context::use_in_this_thread() {
  if (on_gpu()) cuda::set_device(device_.index);
}
void Context::synchronize() {
  if (on_gpu()) cuda::synchronize(stream_);
}

void Context::upload(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if (on_gpu()) staging_->upload(to, from, bytes);
  else std::memcpy(to, from, bytes);
}
void Context::download(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if (on_gpu()) staging_->download(to, from, bytes);
  else std::memcpy(to, from, bytes);
}
void Context::copy(void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if (on_gpu()) cuda::copy_on_device(to, from, bytes, stream_);
  else std::memcpy(to, from, bytes);
}
void Context::set_bytes(void* p, unsigned char value, std::size_t bytes) {
  if (bytes == 0) return;
  if (on_gpu()) cuda::set_bytes(p, value, bytes, stream_);
  else std::memset(p, value, bytes);
}

ProfilerRange::ProfilerRange(const Context& ctx, const char* name) : on_(ctx.on_gpu()) {
  if (on_) cuda::push_range(name);
}
ProfilerRange::~ProfilerRange() {
  if (on_) cuda::pop_range();
}

}  // namespace bonafide
