// engine/cuda_runtime.h — the little of the CUDA runtime that the engine needs, as plain functions: who includes this file
// is compiled without CUDA's headers.
//
// There are three implementations, and a program has one of them:
//   engine/cuda_runtime.cpp             the real one, in a build with CUDA. libcuda is not linked: the program starts where
//                                       there is no driver, and device_count() is 0 then
//   engine/no_cuda_runtime.cpp          in a build without CUDA: no devices, and an Error from everything else
//   kernels/emulator/cuda_runtime.cpp   in tests: one emulated device, whose memory lies in this process
//
// What fails is an Error that names the call (a kernel that failed earlier is reported by the next call that waits).
#pragma once
#include <cstddef>
#include <string>

#include "engine/device.h"

namespace bonafide::cuda {

int device_count();          // usable devices; never throws
std::string why_no_device();  // for people, when device_count() is 0: "this build has no CUDA", "no driver", ...

struct Properties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  std::size_t memory_bytes = 0;
};
Properties properties(int device);
std::size_t free_bytes();  // of the current device, as the driver sees it

// The current device of this thread: everything below is done on it.
void set_device(int device);

void* allocate(std::size_t bytes);  // device memory, plain cudaMalloc; nullptr when there is not enough
void release(void* p) noexcept;     // waits for the device
void* allocate_pinned(std::size_t bytes);  // host memory that the copy engines reach
void release_pinned(void* p) noexcept;

// Streams are independent of each other and of the default stream; what is asked of one is done in order.
Stream make_stream();
void destroy(Stream) noexcept;
void synchronize(Stream);  // waits until all of it is done
bool capturing(Stream);    // its work goes into a CUDA graph instead of being done

// A point in a stream. A wait is for the last point recorded before it; an event never recorded is no reason to wait.
struct Event {
  void* handle = nullptr;
};
Event make_event();
void destroy(Event) noexcept;
void record(Event, Stream);
void wait(Stream, Event);    // work given to the stream from now on comes after the event
void synchronize(Event);     // this thread waits
bool reached(Event);         // without waiting

// Asynchronous; the host's side must be pinned and must stay as it is until the copy is done.
void copy_to_device(void* to, const void* from, std::size_t bytes, Stream);
void copy_to_host(void* to, const void* from, std::size_t bytes, Stream);
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream);
void set_bytes(void* p, unsigned char value, std::size_t bytes, Stream);

// Named bars in a profiler's timeline (NVTX): ranges nest.
void push_range(const char* name) noexcept;
void pop_range() noexcept;

}  // namespace bonafide::cuda
