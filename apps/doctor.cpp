// apps/doctor.cpp — `bonafide doctor`: what this build is and what it runs on, to be pasted into a bug report.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/build_info.h"
#include "apps/common/exit_codes.h"

namespace bonafide {

int run_doctor(int argc, char**) {
  if (argc > 1) throw UsageError("takes no arguments");
  std::puts(version_line().c_str());
  for (const Facts& facts : {build_facts(), machine_facts()})
    for (const auto& [name, value] : facts) std::printf("  %-14s %s\n", name.c_str(), value.c_str());
  return kExitOk;
}

}  // namespace bonafide
