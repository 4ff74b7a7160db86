// tests/support/backend.h — the implementation that tests/kernels is compiled against: the same text is part of the host
// tier (CPU), of the emulated tier (bodies of CUDA kernels, on the CPU) and of the device tier (a GPU).
#pragma once
#include <omp.h>

#include <optional>
#include <tuple>

#include "engine/context.h"
#include "tests/support/support.h"

#if defined(BF_EMULATED_CUDA)
#include "kernels/emulator/launch.h"
#elif !defined(BF_TEST_DEVICE)
#include "tests/support/simd_targets.h"
#endif

#if defined(BF_EMULATED_CUDA) || defined(BF_TEST_DEVICE)
namespace bonafide::kernels::cuda {}
namespace backend = bonafide::kernels::cuda;
#else
namespace bonafide::kernels::cpu {}
namespace backend = bonafide::kernels::cpu;
#endif

namespace bonafide::test {

#if defined(BF_EMULATED_CUDA)
inline constexpr bool kCuda = true, kEmulated = true;
#elif defined(BF_TEST_DEVICE)
inline constexpr bool kCuda = true, kEmulated = false;
#else
inline constexpr bool kCuda = false, kEmulated = false;
#endif

inline constexpr Device::Kind kBackend = kCuda ? Device::cuda : Device::cpu;

// Where layers are tested.
inline Device device() { return {kCuda ? Device::cuda : Device::cpu}; }

// Runs a comparison with the reference once for every text that may differ: each instruction set on the CPU, each order of
// threads in the emulator.
inline void for_each_variant(const std::function<void()>& f) {
#if defined(BF_EMULATED_CUDA)
  struct Restore {
    simt::Emulation before = simt::emulation();
    ~Restore() { simt::emulation() = before; }
  } restore;
  for (const simt::Schedule& s : simt::kSchedules) simt::emulation().schedule = s, f();
#elif defined(BF_TEST_DEVICE)
  f();
#else
  for_each_simd_target(f);
#endif
}

// Runs f under every order in which the work may be done; what it computes must have the same bits each time. One and two
// threads on the CPU, the schedules of the emulator, the same again on a GPU.
inline void for_each_order(const std::function<void()>& f) {
#if defined(BF_EMULATED_CUDA)
  for_each_variant(f);
#elif defined(BF_TEST_DEVICE)
  f(), f();
#else
  struct Restore {
    int before = omp_get_max_threads();
    ~Restore() { omp_set_num_threads(before); }
  } restore;
  for (const int threads : {1, 2}) omp_set_num_threads(threads), f();
#endif
}

// The Buffers of the tuple that make() returns hold the same bits whatever the order of the work.
template <class Make>
void expect_order_free(Make&& make) {
  std::optional<decltype(make())> first;
  for_each_order([&] {
    auto now = make();
    if (!first) first = now;
    std::apply([&](const auto&... a) {
      std::apply([&](const auto&... b) { int i = 0; (expect_bitwise(str("result ", i++), a, b), ...); }, now);
    }, *first);
  });
}

}  // namespace bonafide::test
