// tests/device/blocking_launches.cpp — kernels of the device tier finish before their call returns: the tests read what
// they wrote without waiting, and a fault is reported where it was made.
#include <cstdlib>

namespace {
// Before main, hence before anything of CUDA is called.
[[maybe_unused]] const int blocking = ::setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
}  // namespace
