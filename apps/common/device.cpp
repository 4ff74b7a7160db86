// apps/common/device.cpp
#include "apps/common/device.h"

#include <cstdlib>

#include "apps/common/exit_codes.h"
#include "engine/cuda_runtime.h"

namespace bonafide {
namespace {

ChosenDevice cpu(const std::string& why) { return {{Device::cpu}, str("CPU (", why, ")")}; }

ChosenDevice gpu(int index) {
  const int count = cuda::device_count();
  if (index >= count) throw UsageError(str("--gpus ", index, ": there ", count == 1 ? "is" : "are", " ", count, ", counted from 0"));
  return {{Device::cuda, index}, str("GPU ", index, " (", cuda::properties(index).name, ")")};
}

}  // namespace

ChosenDevice choose_device(const std::string& device, const std::string& gpus) {
  if (device == "cpu") {
    if (!gpus.empty()) throw UsageError("--gpus and device=cpu exclude each other");
    return cpu("asked for");
  }
  const bool insists = device == "cuda" || !gpus.empty();
  if (cuda::device_count() == 0) {
    const std::string why = "no GPU can be used: " + cuda::why_no_device();
    if (insists) throw UsageError(why + "; device=auto or cpu computes on the CPU");
    return cpu(why);
  }
  if (gpus.find(',') != gpus.npos) throw UsageError(str("--gpus ", gpus, ": a run uses one GPU; expected its number"));
  char* end = nullptr;
  const long index = gpus.empty() ? 0 : std::strtol(gpus.c_str(), &end, 10);
  if ((end && *end) || index < 0) throw UsageError(str("--gpus ", gpus, ": expected the number of a GPU"));
  return gpu(int(index));
}

ChosenPrecision choose_precision(const std::string& precision, Device device) {
  const bool on_gpu = device.kind == Device::cuda;
  const std::string name = precision != "auto" ? precision : on_gpu ? "bf16" : "f32";
  if (name == "tf32" && !on_gpu) throw UsageError("precision tf32 is the GPU's; the CPU has f32 and bf16");
  return {name == "bf16" ? DType::bf16 : DType::f32, name == "tf32" ? F32Products::tf32 : F32Products::full, name};
}

}  // namespace bonafide
