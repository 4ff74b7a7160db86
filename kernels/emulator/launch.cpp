// kernels/emulator/launch.cpp — the emulated GPU's settings and counts.
#include "kernels/emulator/launch.h"

namespace bonafide::simt {

Emulation& emulation() {
  static Emulation e;
  return e;
}
std::map<std::string, LaunchCount>& launch_counts() {
  static std::map<std::string, LaunchCount> counts;
  return counts;
}

}  // namespace bonafide::simt
