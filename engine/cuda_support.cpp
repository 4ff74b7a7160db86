// engine/cuda_support.cpp
#include "engine/cuda_support.h"

#include <cstdlib>
#include <sstream>

#include "engine/base.h"

namespace bonafide::cuda {

bool holds_code_for(const std::string& architectures, int major, int minor) {
  const int device = 10 * major + minor;
  std::istringstream list(architectures);
  for (std::string one; std::getline(list, one, ',');) {
    char* end = nullptr;
    const int built = int(std::strtol(one.c_str(), &end, 10));
    const std::string rest = end;
    if (built == 0) return true;
    if (rest.starts_with("a") ? device == built
        : rest == "-real"     ? device / 10 == built / 10 && device >= built
                              : device >= built)
      return true;
  }
  return false;
}

std::string why_not_counted(int driver, int runtime, const std::string& reported) {
  const auto version = [](int v) { return str(v / 1000, ".", v % 1000 / 10); };
  if (driver == 0) return "no NVIDIA driver is installed";
  if (driver < runtime)
    return str("the NVIDIA driver is made for CUDA ", version(driver), ", this program needs one for CUDA ", version(runtime));
  return "CUDA reports: " + reported;
}

}  // namespace bonafide::cuda
