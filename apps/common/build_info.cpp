// apps/common/build_info.cpp — see build_info.h. BF_* texts come from cmake/targets.cmake.
#include "apps/common/build_info.h"

#include <omp.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#ifdef BF_WITH_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

#include "engine/base.h"

namespace bonafide {
namespace {

// The value of the first line `key : value` of a /proc file, or nothing.
std::string proc_value(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key))
      if (const auto at = line.find_first_not_of(" \t", line.find(':') + 1); at != line.npos) return line.substr(at);
  return {};
}

std::string cpu_features() {
  std::string list;
#if defined(__x86_64__)
  const std::string flags = " " + proc_value("/proc/cpuinfo", "flags") + " ";
  for (const char* f : {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_bf16"})
    if (flags.find(std::string(" ") + f + " ") != flags.npos) list += (list.empty() ? "" : " ") + std::string(f);
#endif
  return list;
}

std::string onednn_version() {
#ifdef BF_WITH_ONEDNN
  const dnnl_version_t& v = *dnnl_version();
  return str(v.major, ".", v.minor, ".", v.patch);
#else
  return "none: plain matrix products";
#endif
}

}  // namespace

std::string version_line() { return "bonafide " BF_VERSION " (git " BF_GIT_DESCRIBE ")"; }

int usable_cores() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return int(::sysconf(_SC_NPROCESSORS_ONLN));
}

Facts build_facts() {
  return {
    {"version", BF_VERSION}, {"git", BF_GIT_DESCRIBE},
#if defined(__clang__)
        {"compiler", "clang " __clang_version__},
#else
        {"compiler", "g++ " __VERSION__},
#endif
        {"build", str(BF_BUILD_TYPE, BF_CHECKED ? ", checked" : "")}, {"baseline", BF_BASELINE}, {"devices", "cpu"},
        {"oneDNN", onednn_version()}, {"OpenCV", BF_OPENCV_VERSION},
        {"OpenMP", str(_OPENMP)}, {
      "nlohmann-json",
          str(NLOHMANN_JSON_VERSION_MAJOR, ".", NLOHMANN_JSON_VERSION_MINOR, ".", NLOHMANN_JSON_VERSION_PATCH)
    }
  };
}

Facts machine_facts() {
  utsname system{};
  ::uname(&system);
  const double page = double(::sysconf(_SC_PAGESIZE)), gib = 1024.0 * 1024 * 1024;
  const auto memory = [&](int what) {
    return str(std::int64_t(double(::sysconf(what)) * page / gib * 10) / 10.0, " GiB");
  };
  return {{"host", system.nodename},
          {"system", str(system.sysname, " ", system.release, " ", system.machine)},
          {"processor", proc_value("/proc/cpuinfo", "model name")},
          {"features", cpu_features()},
          {"cores", str(usable_cores(), " usable of ", ::sysconf(_SC_NPROCESSORS_CONF))},
          {"threads", str(omp_get_max_threads(), " (OMP_NUM_THREADS)")},
          {"memory", memory(_SC_PHYS_PAGES)},
          {"free memory", memory(_SC_AVPHYS_PAGES)}};
}

}  // namespace bonafide
