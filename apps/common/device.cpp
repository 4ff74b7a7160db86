// apps/common/device.cpp
#include "apps/common/device.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <vector>

#include "apps/common/exit_codes.h"
#include "engine/cuda_runtime.h"

namespace bonafide {
namespace {

ChosenDevice cpu(const std::string& why) { return {{Device::cpu}, str("CPU (", why, ")")}; }

std::string count_text() {
  const int count = cuda::device_count();
  return str(count == 1 ? "is " : "are ", count, ", counted from 0");
}

// "0,1": each once.
std::vector<int> numbers(const std::string& gpus) {
  std::vector<int> list;
  std::istringstream words(gpus);
  for (std::string word; std::getline(words, word, ',');) {
    int number = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc() || end != word.data() + word.size() || number < 0 || std::find(list.begin(), list.end(), number) != list.end())
      throw UsageError(str("--gpus ", gpus, ": expected the numbers of GPUs, each once, as in 0,1"));
    list.push_back(number);
  }
  if (!gpus.empty() && gpus.back() == ',') throw UsageError(str("--gpus ", gpus, ": expected the numbers of GPUs, each once, as in 0,1"));
  return list;
}

ChosenDevice gpu(int index) {
  if (index >= cuda::device_count()) throw UsageError(str("--gpus ", index, ": there ", count_text()));
  return {{Device::cuda, index}, str("GPU ", index, " (", cuda::properties(index).name, ")")};
}

}  // namespace

ChosenDevice choose_device(const std::string& device, const std::string& gpus, int process) {
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
  const std::vector<int> list = numbers(gpus);
  if (list.empty()) {
    if (process >= cuda::device_count()) throw UsageError(str("process ", process, " of this machine has no GPU of its own: there ", count_text()));
    return gpu(process);
  }
  if (std::size_t(process) >= list.size()) throw UsageError(str("--gpus ", gpus, ": none for process ", process, " of this machine"));
  return gpu(list[std::size_t(process)]);
}

int device_count(const std::string& device, const std::string& gpus, int cpu_processes) {
  if (choose_device(device, gpus).device.kind == Device::cpu) return cpu_processes;
  if (cpu_processes > 1) throw UsageError("--procs starts processes that compute on the CPU: add --device cpu, or choose GPUs with --gpus 0,1");
  return gpus.empty() ? cuda::device_count() : int(numbers(gpus).size());
}

ChosenPrecision choose_precision(const std::string& precision, Device device) {
  const bool on_gpu = device.kind == Device::cuda;
  const std::string name = precision != "auto" ? precision : on_gpu ? "bf16" : "f32";
  if (name == "tf32" && !on_gpu) throw UsageError("precision tf32 is the GPU's; the CPU has f32 and bf16");
  return {name == "bf16" ? DType::bf16 : DType::f32, name == "tf32" ? F32Products::tf32 : F32Products::full, name};
}

}  // namespace bonafide
