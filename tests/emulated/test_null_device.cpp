// tests/emulated/test_null_device.cpp — the whole training step of ConvNeXt-V2 tiny at batch 256 on a device that computes
// nothing: what it launches, moves and keeps is a checked-in table.
#include <fstream>
#include <iomanip>

#include "kernels/emulator/launch.h"
#include "layers/functional/cutmix.h"
#include "layers/functional/normalize.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr std::int64_t kImages = 256, kSide = 224;
const std::string kTable = std::string(BF_SOURCE_DIR) + "/tests/fixtures/null_device.txt";

// The emulated GPU in Mode::count, with counts and settings of its own.
struct NullDevice {
  std::map<std::string, simt::LaunchCount> counts = std::move(simt::launch_counts());
  NullDevice() {
    simt::launch_counts().clear();
    simt::emulation().mode = simt::Emulation::Mode::count;
  }
  ~NullDevice() {
    simt::emulation().mode = simt::Emulation::Mode::watch;
    simt::launch_counts() = std::move(counts);
  }
};

std::string mib(double bytes) {
  std::ostringstream o;
  o << std::fixed << std::setprecision(1) << bytes / (1 << 20);
  return o.str();
}

// Everything that a training step of `bonafide train` asks of the device.
struct Walk {
  Context ctx{device()};
  DType compute;
  PairedModel model;
  Optimizer optimizer;
  std::int64_t steps = 0;

  Walk(DType t, fn::BlockImplementation block) : compute(t), model(ctx, config(block), t), optimizer(model.parameters(), {}) {}
  static PairedModelConfig config(fn::BlockImplementation block) {
    PairedModelConfig c;  // tiny
    c.backbone.block = block;
    return c;
  }
  void step(std::int64_t n) {
    const std::vector<std::uint8_t> pixels(std::size_t(n * kSide * kSide * 3));
    const std::vector<float> ones(std::size_t(n), 1);
    const std::vector<std::int32_t> partners(std::size_t(n), 0);
    ctx.allocator().begin_batch(n);
    Tensor images = Tensor::from_host(ctx, {n, kSide, kSide, 3}, std::span<const std::uint8_t>(pixels));
    Tensor labels = Tensor::from_host(ctx, {n}, ones);
    const Tensor partner = Tensor::from_host(ctx, {n}, std::span<const std::int32_t>(partners));
    images = fn::cutmix(images, partner, {5, 3, 121, 119});
    labels = fn::cutmix_labels(labels, partner, 0.75f);
    const Tensor x = fn::normalize(images, {0, 0, 0}, {1, 1, 1}, compute);
    images = {};
    model.parameters().zero_grad();
    const auto out = model(x, {.training = true, .step = steps++}, true);
    CHECK(out.logit.shape() == Shape{n});
    CHECK(out.projection.shape() == Shape{n, 128});
    PairedLoss loss = paired_loss({}, out.logit, out.projection, labels);
    loss.total.backward();
    CHECK(loss.total.item() == 0);  // nothing has computed anything
    optimizer.step(1e-3);
    for (const auto& p : model.parameters().all())
      if (!p.value.grad_written()) FAIL_CHECK("no gradient reached ", p.spec.name);
  }
};

std::string table_of_a_step(DType compute, fn::BlockImplementation block) {
  const NullDevice null;
  Walk walk(compute, block);
  CachingAllocator& memory = walk.ctx.allocator();
  walk.step(kImages), walk.step(kImages);
  simt::launch_counts().clear();
  const auto before = memory.stats().system_allocations;
  walk.step(kImages);
  const auto stats = memory.stats();
  CHECK(stats.system_allocations == before);

  std::ostringstream o;
  const auto line = [&](const std::string& name, const std::string& number, const std::string& size) {
    o << "  " << std::left << std::setw(28) << name << std::right << std::setw(8) << number << std::setw(12) << size << "\n";
  };
  o << "convnextv2_tiny, batch " << kImages << ", " << kSide << "x" << kSide << ", " << name_of(compute) << ", "
    << (block == fn::BlockImplementation::fused ? "fused" : "composed") << "\n";
  line("memory", "blocks", "peak MiB");
  for (const auto& [name, u] : stats.by_name) line(name, std::to_string(u.live_blocks), mib(double(u.peak_bytes)));
  line("all", "", mib(double(stats.peak_bytes)));
  line("launched in a step", "times", "MiB");
  std::int64_t launches = 0;
  double bytes = 0;
  for (const auto& [name, c] : simt::launch_counts()) {
    if (name == "poison") continue;  // in checked builds alone
    line(name, std::to_string(c.launches), mib(c.bytes));
    launches += c.launches, bytes += c.bytes;
  }
  line("all", std::to_string(launches), mib(bytes));
  return o.str();
}

}  // namespace

TEST_CASE("cuda null device: the step of tiny at batch 256 is the table's") {
  const std::string now = table_of_a_step(DType::bf16, fn::BlockImplementation::fused) + "\n" +
                          table_of_a_step(DType::bf16, fn::BlockImplementation::composed);
  CHECK(simt::emulated_gpu().live_bytes == 0);
  std::ifstream in(kTable);
  const std::string want{std::istreambuf_iterator<char>(in), {}};
  if (now == want) return;
  const std::string written = std::string(BF_BINARY_DIR) + "/null_device.txt";
  std::ofstream(written) << now;
  FAIL_CHECK("memory, launches or bytes of a training step have changed; if that was meant:\n  cp ", written,
             " tests/fixtures/null_device.txt\n  git diff tests/fixtures/null_device.txt");
}

TEST_CASE("cuda null device: a batch too large for the memory is refused with one that fits") {
  const NullDevice null;
  struct Restore {
    std::size_t capacity = simt::emulated_gpu().capacity_bytes;
    ~Restore() { simt::emulated_gpu().capacity_bytes = capacity; }
  } restore;
  simt::emulated_gpu().capacity_bytes = std::size_t(3) << 30;
  const auto refused = [](Walk& walk, std::int64_t images) {
    try {
      walk.step(images);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const auto block : {fn::BlockImplementation::fused, fn::BlockImplementation::composed}) {
    Walk walk(DType::bf16, block);
    CHECK(refused(walk, 128).find("at most a batch size of ") != std::string::npos);  // the first step has not seen all
    walk.step(16);
    const std::string message = refused(walk, 128);
    const auto at = message.find(", a batch size of ");
    REQUIRE_MESSAGE(at != message.npos, message);
    const std::int64_t fits = std::stoll(message.substr(at + 18));
    MESSAGE("of 3 GiB, a batch size of ", fits, " would fit");
    CHECK(fits > 20);
    walk.step(fits), walk.step(fits);
    CHECK(refused(walk, fits * 5 / 4) != "");
  }
}
