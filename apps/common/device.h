// apps/common/device.h — which device a command computes on, and in which precision, from what the user asked for.
#pragma once
#include <string>

#include "engine/device.h"
#include "engine/tensor.h"

namespace bonafide {

struct ChosenDevice {
  Device device;
  std::string words;  // for the banner: "GPU 0 (NVIDIA H200)", "CPU (no GPU can be used: no NVIDIA driver is installed)"
};
// device: auto (a usable GPU, else the CPU), cpu or cuda; gpus: "" or the numbers of GPUs, "0,1", which means cuda. What is
// asked for by name and cannot be used is a UsageError that says why. `process`: of those that share this machine, from 0:
// each takes a GPU of its own.
ChosenDevice choose_device(const std::string& device, const std::string& gpus, int process = 0);
// On how many devices of this machine a run computes: all usable GPUs, or those of the list; `cpu_processes` (at least 1) on
// the CPU. Throws as choose_device() does, and where more than one CPU process is asked for on GPUs.
int device_count(const std::string& device, const std::string& gpus, int cpu_processes);

struct ChosenPrecision {
  DType compute = DType::f32;  // of activations and matrix products
  F32Products f32_products = F32Products::full;
  std::string name;  // f32, tf32, bf16
};
// auto is bf16 on a GPU and f32 on the CPU. tf32 is the GPU's: a UsageError on the CPU.
ChosenPrecision choose_precision(const std::string& precision, Device);

}  // namespace bonafide
