// kernels/emulator/launch.h — Launch into the emulator, for kernels that are called through kernels::cuda and not by a
// test that holds an Emulator. How they run is a setting of the process.
#pragma once
#include <map>
#include <string>

#include "engine/device.h"
#include "kernels/emulator/emulator.h"
#include "kernels/emulator/gpu.h"

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
  std::int64_t runs = 0;  // of them: not in Mode::count
  double bytes = 0;  // of the arrays that were named, each once
};
std::map<std::string, LaunchCount>& launch_counts();

class Launch {
 public:
  Launch(const char*, Stream stream) : stream_(stream) {}
  Stream stream() const { return stream_; }

  template <class Kernel, class Args>
  void operator()(Kernel, const Args& args) const {
    const LaunchShape shape = Kernel::shape(args);
    if (shape.grid.x * shape.grid.y == 0) return;
    LaunchCount& count = launch_counts()[Kernel::kName];
    ++count.launches;
    for_each_array(args, [&](const char* name, auto span) {
      count.bytes += double(span.len) * sizeof(*span.ptr);
      if (stream_.handle) check_on_device(Kernel::kName, name, span.ptr, std::size_t(span.len) * sizeof(*span.ptr));
    });
    catch_up(stream_);
    if (emulation().mode == Emulation::Mode::count) return;
    ++count.runs;
    const DeviceAccess access;
    Emulator(emulation().schedule)(Kernel(), args);
  }

 private:
  Stream stream_;  // null: the arrays may be the test's own
};

}  // namespace bonafide::simt
