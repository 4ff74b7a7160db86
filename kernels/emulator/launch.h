// kernels/emulator/launch.h — Launch into the emulator, for kernels that are called through kernels::cuda and not by a
// test that holds an Emulator. How they run is a setting of the process.
#pragma once
#include <map>
#include <string>

#include "engine/device.h"
#include "kernels/emulator/emulator.h"

namespace bonafide::simt {

struct Emulation {
  enum class Mode {
    watch,  // run, and report races, divergence and bad accesses: what operations are tested with
    count,  // do not run: a device without results, for shapes, memory and launches at full size
  } mode = Mode::watch;
  Schedule schedule;
};
Emulation& emulation();

// What was asked of the emulated GPU since the last reset.
struct LaunchCount {
  std::int64_t launches = 0;
  double bytes = 0;  // of the arrays that were named, each once
};
std::map<std::string, LaunchCount>& launch_counts();

class Launch {
 public:
  Launch(const char*, Stream) {}

  template <class Kernel, class Args>
  void operator()(Kernel, const Args& args) const {
    const LaunchShape shape = Kernel::shape(args);
    if (shape.grid.x * shape.grid.y == 0) return;
    LaunchCount& count = launch_counts()[Kernel::kName];
    ++count.launches;
    for_each_array(args, [&](const char*, auto span) { count.bytes += double(span.len) * sizeof(*span.ptr); });
    if (emulation().mode == Emulation::Mode::watch) Emulator(emulation().schedule)(Kernel(), args);
  }
};

}  // namespace bonafide::simt
