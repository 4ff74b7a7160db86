// kernels/emulator/gpu.h — the emulated GPU as a device: what tests can set and ask besides engine/cuda_runtime.h.
//
// Its memory lies in this process, but nobody may touch it outside of kernels and copies: host code that does dies of
// SIGSEGV, as it would of a wrong answer or worse with a GPU. (A debugger shows the line.) It is filled with NaN when it is
// allocated, never handed out twice, and only as much as the capacity.
//
// Streams do what they are asked for as late as they may, or as soon, or in a random order between them: copies whose
// waits are missing read what is not there yet, or overwrite what is still needed. Kernels run when they are launched, after
// everything that their stream has been asked for. Copies must stay within one allocation, and the host's side of them must be
// pinned memory.
//
// In Emulation::Mode::count no memory is touched: copies to the host give zeros.
#pragma once
#include <cstddef>
#include <cstdint>

#include "engine/device.h"

namespace bonafide::simt {

struct EmulatedGpu {
  std::size_t capacity_bytes = std::size_t(1) << 40;
  enum class Order { late, soon, random } order = Order::late;
  unsigned seed = 0;

  std::size_t live_bytes = 0, peak_bytes = 0;
  std::int64_t allocations = 0;
};
EmulatedGpu& emulated_gpu();

// While one lives, this process may touch the device's memory. Kernels' launches and copies hold one; so must stand-ins for
// libraries (a matrix product).
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

// Does all that a stream has been asked for.
void catch_up(Stream);

// Throws, naming the array, unless [p, p + bytes) lies within one live allocation of the device: for what is launched on a
// stream. Null is all right.
void check_on_device(const char* kernel, const char* array, const void* p, std::size_t bytes);

}  // namespace bonafide::simt
