// tests/host/test_cuda_support.cpp — on which GPUs a program's code runs, and what is said where there is none.
#include "engine/cuda_support.h"

#include "engine/cuda_runtime.h"
#include "tests/support/support.h"

using namespace bonafide;
using cuda::holds_code_for;

TEST_CASE("cuda support: code runs where CMAKE_CUDA_ARCHITECTURES says") {
  CHECK(holds_code_for("90a", 9, 0));  // of this architecture alone: no other runs it, older or newer
  CHECK(!holds_code_for("90a", 8, 9));
  CHECK(!holds_code_for("90a", 10, 0));
  CHECK(holds_code_for("80", 8, 0));  // the driver compiles it for what is newer
  CHECK(holds_code_for("80", 8, 6));
  CHECK(holds_code_for("80", 12, 0));
  CHECK(!holds_code_for("80", 7, 5));
  CHECK(holds_code_for("86-real", 8, 6));  // nothing that the driver could compile: the same major alone
  CHECK(holds_code_for("86-real", 8, 9));
  CHECK(!holds_code_for("86-real", 8, 0));
  CHECK(!holds_code_for("86-real", 9, 0));
  CHECK(holds_code_for("80-virtual", 9, 0));
  for (const char* any : {"all", "all-major", "native"}) CHECK(holds_code_for(any, 7, 5));
  CHECK(holds_code_for("75-real,80-real,90a", 9, 0));  // one of several is enough
  CHECK(holds_code_for("75-real,80-real,90a", 7, 5));
  CHECK(!holds_code_for("75-real,80-real,90a", 10, 0));
  CHECK(!holds_code_for("", 9, 0));
}

TEST_CASE("cuda support: a missing driver, one that is too old, and anything else are told apart") {
  CHECK(cuda::why_not_counted(0, 12080, "no CUDA-capable device is detected") == "no NVIDIA driver is installed");
  CHECK(cuda::why_not_counted(11040, 12080, "insufficient driver") ==
        "the NVIDIA driver is made for CUDA 11.4, this program needs one for CUDA 12.8");
  CHECK(cuda::why_not_counted(12080, 12080, "unknown error") == "CUDA reports: unknown error");
  CHECK(cuda::why_not_counted(13000, 12080, "unknown error") == "CUDA reports: unknown error");
}
