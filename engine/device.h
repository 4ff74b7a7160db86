// engine/device.h — names of devices and of the queues of work on them.
#pragma once
#include <cstdint>

namespace bonafide {

struct Device {
  enum Kind : std::uint8_t { cpu, cuda } kind = cpu;
  int index = 0;
};

// A CUDA stream (cudaStream_t), opaque: host code is compiled without CUDA's headers. Null is the default stream.
struct Stream {
  void* handle = nullptr;
};

// How a GPU multiplies f32 matrices: with all 24 bits, or, several times faster, with 11 of them (sums stay f32).
enum class F32Products : std::uint8_t { full, tf32 };

// Where an operation runs: in this thread, or on a stream of a GPU.
struct Target {
  Device::Kind kind = Device::cpu;
  Stream stream = {};
};

}  // namespace bonafide
