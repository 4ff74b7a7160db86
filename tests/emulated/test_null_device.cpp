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

std::string table_of_a_step(DType compute, fn::BlockImplementation block) {
  const NullDevice null;
  Context ctx(device());
  PairedModelConfig config;
  config.backbone.block = block;
  PairedModel model(ctx, config, compute);
  ParameterSet& parameters = model.parameters();
  Optimizer optimizer(parameters, {});
  const std::vector<std::uint8_t> pixels(std::size_t(kImages * kSide * kSide * 3));
  const std::vector<float> ones(std::size_t(kImages), 1);
  const std::vector<std::int32_t> partners(std::size_t(kImages), 0);
  const auto step = [&](std::int64_t number) {
    ctx.allocator().begin_batch(kImages);
    Tensor images = Tensor::from_host(ctx, {kImages, kSide, kSide, 3}, std::span<const std::uint8_t>(pixels));
    Tensor labels = Tensor::from_host(ctx, {kImages}, ones);
    const Tensor partner = Tensor::from_host(ctx, {kImages}, std::span<const std::int32_t>(partners));
    images = fn::cutmix(images, partner, {5, 3, 121, 119});
    labels = fn::cutmix_labels(labels, partner, 0.75f);
    const Tensor x = fn::normalize(images, {0, 0, 0}, {1, 1, 1}, compute);
    images = {};
    parameters.zero_grad();
    const auto out = model(x, {.training = true, .step = number}, true);
    CHECK(out.logit.shape() == Shape{kImages});
    CHECK(out.projection.shape() == Shape{kImages, 128});
    PairedLoss loss = paired_loss({}, out.logit, out.projection, labels);
    loss.total.backward();
    CHECK(loss.total.item() == 0);  // nothing has computed anything
    optimizer.step(1e-3);
    for (const auto& p : parameters.all())
      if (!p.value.grad_written()) FAIL_CHECK("no gradient reached ", p.spec.name);
  };
  step(0);
  step(1);
  simt::launch_counts().clear();
  const auto before = ctx.allocator().stats().system_allocations;
  step(2);
  const auto stats = ctx.allocator().stats();
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
  const std::string now = table_of_a_step(DType::bf16, fn::BlockImplementation::composed);
  CHECK(simt::emulated_gpu().live_bytes == 0);
  std::ifstream in(kTable);
  const std::string want{std::istreambuf_iterator<char>(in), {}};
  if (now == want) return;
  const std::string written = std::string(BF_BINARY_DIR) + "/null_device.txt";
  std::ofstream(written) << now;
  FAIL_CHECK("memory, launches or bytes of a training step have changed; if that was meant:\n  cp ", written,
             " tests/fixtures/null_device.txt\n  git diff tests/fixtures/null_device.txt");
}
