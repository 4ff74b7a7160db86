// engine/communicator.cpp — the communicator of a process that trains alone.
#include "engine/communicator.h"

#include <algorithm>

namespace bonafide {
namespace {

// Checks what the real ones will rely on, so that a wrong call is found on one process.
class SingleProcess final : public Communicator {
 public:
  int rank() const override { return 0; }
  int world() const override { return 1; }
  void all_reduce_sum(Span<float> values) override { check(values.ptr, values.len); }
  void all_gather(Span<const float> mine, Span<float> all) override {
    check(mine.ptr, mine.len);
    BF_CHECK(all.len == mine.len * world(), "all_gather of ", mine.len, " values from ", world(), " into ", all.len);
    if (all.ptr != mine.ptr) std::copy(mine.begin(), mine.end(), all.begin());
  }
  void broadcast(Span<std::uint8_t> bytes, int root) override {
    check(bytes.ptr, bytes.len);
    BF_CHECK(root >= 0 && root < world(), "broadcast from rank ", root, " of ", world());
  }
  void barrier() override {}

 private:
  static void check(const void* p, std::int64_t n) { BF_CHECK(n >= 0 && (p || n == 0), n, " values at a null pointer"); }
};

}  // namespace

std::unique_ptr<Communicator> single_process() { return std::make_unique<SingleProcess>(); }

}  // namespace bonafide
