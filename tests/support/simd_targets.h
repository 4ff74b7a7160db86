// tests/support/simd_targets.h — runs a test once for every instruction set that kernels are compiled for and this
// machine has, so that a machine with AVX-512 also tests what others will run.
#pragma once
#include <hwy/targets.h>

#include <functional>

namespace bonafide::test {

inline void for_each_simd_target(const std::function<void()>& f) {
  struct Restore {
    ~Restore() { use(0); }
    static void use(std::int64_t targets) {  // 0: whatever the machine has
      hwy::SetSupportedTargetsForTest(targets);
      hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
  } restore;
  int runs = 0;
  for (const std::int64_t t : {std::int64_t(HWY_AVX3), std::int64_t(HWY_AVX2)}) {
    Restore::use(0);
    if (!(hwy::SupportedTargets() & t)) continue;
    Restore::use(t);
    f(), ++runs;
  }
  if (runs) return;
  Restore::use(0);
  f();
}

}  // namespace bonafide::test
