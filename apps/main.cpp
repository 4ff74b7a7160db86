// apps/main.cpp — checks the processor, then runs the program. Compiled for the plain baseline (cmake/targets.cmake):
// this is the one file that must run on a processor which cannot run the others.
#include "apps/commands.h"

#if defined(BF_NEEDS_V3)
#include <unistd.h>

namespace {

// Before main and before the constructors of other files, which may use what the processor lacks.
__attribute__((constructor(101))) void check_processor() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return;
  constexpr char kText[] =
      "bonafide: this program needs a processor with AVX2, FMA and BMI2 (x86-64-v3, 2013 or later); this one lacks "
      "them.\n";
  (void)!::write(STDERR_FILENO, kText, sizeof kText - 1);
  ::_exit(1);
}

}  // namespace
#endif

int main(int argc, char** argv) { return bonafide::run_program(argc, argv); }
