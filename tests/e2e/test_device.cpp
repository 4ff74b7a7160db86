// tests/e2e/test_device.cpp — from what the user asks for to a device and a precision. (The test build has no CUDA.)
#include "apps/common/device.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("device: auto takes the CPU where there is no GPU, and says why") {
  const ChosenDevice c = choose_device("auto", "");
  CHECK(c.device.kind == Device::cpu);
  CHECK(c.words == "CPU (no GPU can be used: this build has no CUDA)");
  CHECK(choose_device("cpu", "").words == "CPU (asked for)");
}

TEST_CASE("device: what is asked for by name and cannot be used is an error") {
  for (const auto& [device, gpus] : {std::pair{"cuda", ""}, {"auto", "0"}, {"cuda", "1"}})
    expect_throw("no GPU can be used: this build has no CUDA", [&] { choose_device(device, gpus); });
  expect_throw("--gpus and device=cpu exclude each other", [] { choose_device("cpu", "0"); });
}

TEST_CASE("device: precision follows the device unless it is named") {
  const Device cpu{Device::cpu}, gpu{Device::cuda};
  CHECK(choose_precision("auto", cpu).name == "f32");
  CHECK(choose_precision("auto", gpu).name == "bf16");
  CHECK(choose_precision("auto", gpu).compute == DType::bf16);
  CHECK(choose_precision("bf16", cpu).compute == DType::bf16);
  CHECK(choose_precision("f32", gpu).compute == DType::f32);
  CHECK(choose_precision("f32", gpu).f32_products == F32Products::full);
  const ChosenPrecision tf32 = choose_precision("tf32", gpu);
  CHECK(tf32.f32_products == F32Products::tf32);
  CHECK(tf32.compute == DType::f32);
  expect_throw("precision tf32 is the GPU's", [&] { choose_precision("tf32", cpu); });
}
