// kernels/emulator/cuda_runtime.cpp — engine/cuda_runtime.h on the emulated GPU (gpu.h).
#include "engine/cuda_runtime.h"

#include <sys/mman.h>

#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "engine/base.h"
#include "kernels/emulator/gpu.h"
#include "kernels/emulator/launch.h"

namespace bonafide::simt {
namespace {

bool counting() { return emulation().mode == Emulation::Mode::count; }

// Memory of this process with its allocations: which ranges may be touched.
class Ranges {
 public:
  void add(void* p, std::size_t bytes) { ranges_[static_cast<char*>(p)] = bytes; }
  std::size_t remove(void* p) {
    const auto it = ranges_.find(static_cast<char*>(p));
    if (it == ranges_.end()) return 0;
    const std::size_t bytes = it->second;
    ranges_.erase(it);
    return bytes;
  }
  bool contain(const void* p, std::size_t bytes) const {
    const char* first = static_cast<const char*>(p);
    auto it = ranges_.upper_bound(const_cast<char*>(first));
    if (it == ranges_.begin()) return false;
    --it;
    return first + bytes <= it->first + it->second;
  }

 private:
  std::map<char*, std::size_t> ranges_;
};

// Address space from which device memory is cut, each piece once: a pointer that has been released stays wrong. From its
// front what kernels use, from its back what a device that only counts is asked for: nobody may ever touch that.
class DeviceMemory {
 public:
  DeviceMemory() {
    void* p = mmap(nullptr, kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    BF_CHECK(p != MAP_FAILED, "no address space for the emulated GPU");
    begin_ = end_ = static_cast<char*>(p), back_ = begin_ + kSpace;
  }
  void* allocate(std::size_t bytes) {
    const std::size_t room = ceil_div(bytes, kPage) * kPage + kPage;  // and a page that belongs to nobody
    BF_CHECK(std::size_t(back_ - end_) >= room, "the emulated GPU has no addresses left");
    const bool counts = emulation().mode == Emulation::Mode::count;
    char* p = counts ? back_ -= room : end_;
    if (!counts) end_ += room;
    ranges_.add(p, bytes);
    if (accesses_ > 0) open(true);
    return p;
  }
  std::size_t release(void* p) {
    const std::size_t bytes = ranges_.remove(p);
    if (bytes) madvise(p, ceil_div(bytes, kPage) * kPage, MADV_DONTNEED);
    return bytes;
  }
  bool contain(const void* p, std::size_t bytes) const { return ranges_.contain(p, bytes); }
  void begin_access() {
    if (accesses_++ == 0) open(true);
  }
  void end_access() {
    if (--accesses_ == 0) open(false);
  }

 private:
  static constexpr std::size_t kSpace = std::size_t(1) << 42, kPage = 4096;
  void open(bool on) {
    if (end_ == begin_) return;
    const int failed = mprotect(begin_, std::size_t(end_ - begin_), on ? PROT_READ | PROT_WRITE : PROT_NONE);
    BF_CHECK(!failed, "no memory for the ", end_ - begin_, " bytes that the emulated GPU has given out");
  }
  char *begin_, *end_, *back_;
  int accesses_ = 0;
  Ranges ranges_;
};
DeviceMemory& device_memory() {
  static DeviceMemory m;
  return m;
}
Ranges& pinned_memory() {
  static Ranges r;
  return r;
}

struct StreamState;
struct Point {  // in a stream: what an event is each time it is recorded
  StreamState* stream;
  bool reached = false;
};
struct EventState {
  std::shared_ptr<Point> last;  // null: never recorded
};
struct Work {
  std::function<void()> run;         // empty: a wait
  std::shared_ptr<Point> for_point;  // for this; null: for nothing
};
struct StreamState {
  std::deque<Work> queue;
};
std::set<StreamState*>& streams() {
  static std::set<StreamState*> s;
  return s;
}
StreamState& state(Stream s) {
  auto* p = static_cast<StreamState*>(s.handle);
  BF_CHECK(streams().count(p), "not a stream of the emulated GPU");
  return *p;
}
EventState& state(cuda::Event e) {
  BF_CHECK(e.handle, "not an event");
  return *static_cast<EventState*>(e.handle);
}

bool blocked(const Work& w) { return !w.run && w.for_point && !w.for_point->reached; }
void run_first(StreamState& s) {
  const Work w = std::move(s.queue.front());
  s.queue.pop_front();
  if (w.run) w.run();
}
// All of a stream, or all up to a point of it. Whom it waits for goes first.
void finish(StreamState& s, const Point* until = nullptr) {
  while (!s.queue.empty() && !(until && until->reached)) {
    if (const Work& first = s.queue.front(); blocked(first)) {
      const std::shared_ptr<Point> point = first.for_point;
      finish(*point->stream, point.get());
    }
    run_first(s);
  }
}

// After something was added: what the other streams, and this one, do meanwhile.
void meanwhile() {
  using Order = EmulatedGpu::Order;
  const EmulatedGpu& gpu = emulated_gpu();
  static std::mt19937 draw;
  static unsigned seeded = 0;
  if (gpu.seed != seeded) draw.seed(seeded = gpu.seed);
  if (gpu.order == Order::late) return;
  for (bool progress = true; progress;) {
    progress = false;
    for (StreamState* s : streams())
      if (!s->queue.empty() && !blocked(s->queue.front()) && (gpu.order == Order::soon || draw() % 2))
        run_first(*s), progress = true;
  }
}
void add(Stream s, Work w) {
  state(s).queue.push_back(std::move(w));
  meanwhile();
}

void check_device_range(const char* call, const void* p, std::size_t bytes) {
  BF_CHECK(device_memory().contain(p, bytes), call, ": ", bytes, " bytes that do not lie within one allocation of the device");
}
void check_pinned_range(const char* call, const void* p, std::size_t bytes) {
  BF_CHECK(pinned_memory().contain(p, bytes), call, ": ", bytes, " bytes of the host that are not pinned memory");
}

void copy(const char* name, void* to, const void* from, std::size_t bytes, Stream s, const void* host) {
  LaunchCount& count = launch_counts()[name];
  ++count.launches, count.bytes += double(bytes);
  add(s, {[=] {
            if (host) check_pinned_range(name, host, bytes);  // still
            if (!counting()) {
              const DeviceAccess access;
              std::memcpy(to, from, bytes);
            } else if (host == to) {
              std::memset(to, 0, bytes);
            }
          },
          nullptr});
}

}  // namespace

EmulatedGpu& emulated_gpu() {
  static EmulatedGpu g;
  return g;
}
DeviceAccess::DeviceAccess() { device_memory().begin_access(); }
DeviceAccess::~DeviceAccess() { device_memory().end_access(); }
void catch_up(Stream s) {
  if (s.handle) finish(state(s));
}
void check_on_device(const char* kernel, const char* array, const void* p, std::size_t bytes) {
  if (p && bytes && !device_memory().contain(p, bytes))
    throw Error(str("emulator: ", kernel, ": the array ", array, " is not memory of the device"));
}

}  // namespace bonafide::simt

namespace bonafide::cuda {
using namespace simt;

int device_count() { return 1; }
std::string why_no_device() { return ""; }
Properties properties(int device) {
  BF_CHECK(device == 0, "GPU ", device, " of 1");
  return {"emulated GPU", 9, 0, 132, emulated_gpu().capacity_bytes};
}
std::size_t free_bytes() {
  const EmulatedGpu& gpu = emulated_gpu();
  return gpu.capacity_bytes > gpu.live_bytes ? gpu.capacity_bytes - gpu.live_bytes : 0;
}
void set_device(int device) { BF_CHECK(device == 0, "GPU ", device, " of 1"); }

void* allocate(std::size_t bytes) {
  EmulatedGpu& gpu = emulated_gpu();
  BF_CHECK(bytes > 0, "0 bytes of device memory");
  if (gpu.live_bytes + bytes > gpu.capacity_bytes) return nullptr;
  gpu.live_bytes += bytes, ++gpu.allocations;
  gpu.peak_bytes = std::max(gpu.peak_bytes, gpu.live_bytes);
  void* p = device_memory().allocate(bytes);
  if (!counting()) {
    const DeviceAccess access;
    std::memset(p, 0xff, bytes);
  }
  return p;
}
void release(void* p) noexcept {  // waits, as cudaFree does
  if (!p) return;
  for (StreamState* s : streams()) finish(*s);
  emulated_gpu().live_bytes -= device_memory().release(p);
}
void* allocate_pinned(std::size_t bytes) {
  void* p = ::operator new(bytes, std::align_val_t(256));
  std::memset(p, 0xff, bytes);
  pinned_memory().add(p, bytes);
  return p;
}
void release_pinned(void* p) noexcept {  // null is nobody's; copies that have not been waited for will fail
  pinned_memory().remove(p);
  ::operator delete(p, std::align_val_t(256));
}

Stream make_stream() {
  auto* s = new StreamState;
  streams().insert(s);
  return {s};
}
void destroy(Stream s) noexcept {
  auto* p = static_cast<StreamState*>(s.handle);
  if (!streams().count(p)) return;
  finish(*p);
  streams().erase(p);
  delete p;
}
void synchronize(Stream s) { finish(state(s)); }
bool capturing(Stream) { return false; }  // there are no graphs

Event make_event() { return {new EventState}; }
void destroy(Event e) noexcept { delete static_cast<EventState*>(e.handle); }
void record(Event e, Stream s) {
  const auto point = std::make_shared<Point>(Point{&state(s)});
  state(e).last = point;
  add(s, {[point] { point->reached = true; }, nullptr});
}
void wait(Stream s, Event e) { add(s, {nullptr, state(e).last}); }
void synchronize(Event e) {
  const std::shared_ptr<Point> point = state(e).last;
  if (point && !point->reached) finish(*point->stream, point.get());
}
bool reached(Event e) {
  const std::shared_ptr<Point> point = state(e).last;
  return !point || point->reached;
}

void copy_to_device(void* to, const void* from, std::size_t bytes, Stream s) {
  check_device_range("copy_to_device", to, bytes), check_pinned_range("copy_to_device", from, bytes);
  copy("copy_to_device", to, from, bytes, s, from);
}
void copy_to_host(void* to, const void* from, std::size_t bytes, Stream s) {
  check_pinned_range("copy_to_host", to, bytes), check_device_range("copy_to_host", from, bytes);
  copy("copy_to_host", to, from, bytes, s, to);
}
void copy_on_device(void* to, const void* from, std::size_t bytes, Stream s) {
  check_device_range("copy_on_device", to, bytes), check_device_range("copy_on_device", from, bytes);
  copy("copy_on_device", to, from, bytes, s, nullptr);
}
void set_bytes(void* p, unsigned char value, std::size_t bytes, Stream s) {
  check_device_range("set_bytes", p, bytes);
  LaunchCount& count = launch_counts()[value == 0xff ? "poison" : "set_bytes"];  // a checked build fills with NaN
  ++count.launches, count.bytes += double(bytes);
  add(s, {[=] {
            if (counting()) return;
            const DeviceAccess access;
            std::memset(p, value, bytes);
          },
          nullptr});
}

void push_range(const char*) noexcept {}
void pop_range() noexcept {}

}  // namespace bonafide::cuda
