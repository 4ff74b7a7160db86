// bench/processes.h — a benchmark as several processes: it starts itself, or is started by torchrun, srun or mpirun.
#pragma once
#include <nlohmann/json.hpp>
#include <sys/utsname.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "apps/common/launcher.h"
#include "engine/comm/process_group.h"
#include "engine/cuda_runtime.h"

namespace bonafide::bench {

// The value of an option: a positive number.
template <class T>
T number(const std::string& option, const std::string& text) {
  T v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size() || !(v > 0)) throw Error(option + " " + text + ": expected a positive number");
  return v;
}

// Calls body(ctx, group) in each of `processes` processes, with a GPU each where `gpu`, else on the CPU with an equal share
// of the cores (OMP_NUM_THREADS). Returns the exit code of the program. Call it before anything starts threads.
inline int in_processes(int argc, char** argv, int processes, bool gpu, const std::function<void(Context&, const ProcessGroup&)>& body) {
  const auto place = process_place();
  if (!place && !environment_variable("WORLD_SIZE") && processes > 1) {
    LaunchPlan plan;
    plan.argv = {argv, argv + argc};
    plan.argv[0] = std::filesystem::read_symlink("/proc/self/exe").string();
    plan.world = processes;
    plan.environment = [&](int) -> std::vector<std::string> {
      if (environment_variable("OMP_NUM_THREADS")) return {};
      return {str("OMP_NUM_THREADS=", std::max(1u, std::thread::hardware_concurrency() / unsigned(processes)))};
    };
    return launch(plan);
  }
  const ProcessPlace here = place.value_or(ProcessPlace{});
  try {
    Context ctx(Device{gpu ? Device::cuda : Device::cpu, gpu ? here.local_rank : 0});
    const ProcessGroup group = connect(ctx, here, {.meeting_timeout = std::chrono::seconds(60), .timeout = std::chrono::seconds(120)});
    body(ctx, group);
    group.host->barrier();  // nobody leaves while others still talk
    return 0;
  } catch (const std::exception& e) {
    if (!report_failure(e.what())) std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

// What a reader of the results has to know about this machine.
inline nlohmann::json machine(bool gpu) {
  utsname system{};
  ::uname(&system);
  double load = 0;
  if (::getloadavg(&load, 1) != 1) load = -1;
  std::string cpu;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; cpu.empty() && std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) cpu = line.substr(line.find(':') + 2);
  char date[16];
  const std::time_t now = std::time(nullptr);
  std::strftime(date, sizeof date, "%Y-%m-%d", std::gmtime(&now));
  nlohmann::json m{{"date", date},
                   {"cpu", cpu},
                   {"cores", std::thread::hardware_concurrency()},
                   {"system", str(system.sysname, "-", system.release, "-", system.machine)},
                   {"load_before", load}};
  if (gpu) m["gpu"] = cuda::properties(0).name;
  return m;
}

inline void write_json(const std::string& file, const nlohmann::json& j) {
  if (!file.empty() && !(std::ofstream(file) << j.dump(1) << "\n")) throw Error("cannot write " + file);
}

}  // namespace bonafide::bench
