// engine/no_cuda_runtime.cpp — the CUDA runtime of a build without CUDA: there is no device.
#include "engine/base.h"
#include "engine/cuda_runtime.h"

namespace bonafide::cuda {
namespace {
[[noreturn]] void none(const char* call) { throw Error(str(call, ": ", why_no_device())); }
}  // namespace

int device_count() { return 0; }
std::string why_no_device() { return "this build has no CUDA"; }
Properties properties(int) { none("cuda::properties"); }
std::size_t free_bytes() { none("cuda::free_bytes"); }
void set_device(int) { none("cuda::set_device"); }
void* allocate(std::size_t) { none("cuda::allocate"); }
void release(void*) noexcept {}
void* allocate_pinned(std::size_t) { none("cuda::allocate_pinned"); }
void release_pinned(void*) noexcept {}
Stream make_stream() { none("cuda::make_stream"); }
void destroy(Stream) noexcept {}
void synchronize(Stream) { none("cuda::synchronize"); }
bool capturing(Stream) { none("cuda::capturing"); }
Event make_event() { none("cuda::make_event"); }
void destroy(Event) noexcept {}
void record(Event, Stream) { none("cuda::record"); }
void wait(Stream, Event) { none("cuda::wait"); }
void synchronize(Event) { none("cuda::synchronize"); }
bool reached(Event) { none("cuda::reached"); }
void copy_to_device(void*, const void*, std::size_t, Stream) { none("cuda::copy_to_device"); }
void copy_to_host(void*, const void*, std::size_t, Stream) { none("cuda::copy_to_host"); }
void copy_on_device(void*, const void*, std::size_t, Stream) { none("cuda::copy_on_device"); }
void set_bytes(void*, unsigned char, std::size_t, Stream) { none("cuda::set_bytes"); }
void push_range(const char*) noexcept {}
void pop_range() noexcept {}

}  // namespace bonafide::cuda
