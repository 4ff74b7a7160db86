// bench/process_step.cpp — a training step of several processes, taken to pieces: what bench/scaling_model predicts from,
// and what it is held against.
//
//   process_step [--procs N] [--device cpu|cuda] [--batch IMAGES] [--model NAME] [--side PIXELS] [--precision f32|bf16]
//                [--bucket-mb MB] [--reduce f32|bf16] [--steps N] [--json FILE]
//
// --batch is the global one, in pairs. The step is Trainer::step() of apps/common/trainer.cpp without its loader: the same
// images every time; forward of the own share, gathers of logits, projections and labels, the loss of the global batch,
// backward with the sums of gradient buckets in the background, and the optimiser. The question whether anybody was asked to
// stop goes around meanwhile. Prints medians of rank 0, in ms:
//
//   forward, gather, loss   as above
//   backward   until the last gradient is there; on a GPU, which computes behind the host's back, `wait` holds that too
//   wait       for what is left of the sums then: what overlap did not hide
//   optimiser
//   ask        for what is left of the question then
//   step       all of it
//
// and each bucket's size with the moment, from the beginning of backward, at which its sum begins. One process alone has no
// sums; its moments are those at which buckets are ready.
#include <chrono>
#include <cmath>
#include <map>

#include "bench/collectives.h"
#include "bench/processes.h"
#include "data/loader.h"
#include "layers/functional/all_gather.h"
#include "layers/gradient_buckets.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"

using namespace bonafide;

namespace {

struct Options {
  int procs = 1;
  bool gpu = false;
  std::int64_t batch = 8, side = 224, steps = 9;
  std::string model = "convnextv2_atto", precision = "f32", reduce = "f32", json;
  double bucket_mb = 20;
};

Options parse(int argc, char** argv) {
  Options o;
  o.gpu = cuda::device_count() > 0;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc) throw Error(option + " needs a value");
    const std::string value = argv[i + 1];
    const bool type = value == "f32" || value == "bf16";
    if (option == "--procs") o.procs = bench::number<int>(option, value);
    else if (option == "--device" && (value == "cpu" || value == "cuda")) o.gpu = value == "cuda";
    else if (option == "--batch") o.batch = bench::number<std::int64_t>(option, value);
    else if (option == "--model") o.model = value;
    else if (option == "--side") o.side = bench::number<std::int64_t>(option, value);
    else if (option == "--precision" && type) o.precision = value;
    else if (option == "--bucket-mb") o.bucket_mb = bench::number<double>(option, value);
    else if (option == "--reduce" && type) o.reduce = value;
    else if (option == "--steps") o.steps = bench::number<std::int64_t>(option, value);
    else if (option == "--json") o.json = value;
    else throw Error(str("unknown: ", option, " ", value, " (the first lines of bench/process_step.cpp list the options)"));
  }
  if (o.batch % 2 != 0) throw Error(str("--batch ", o.batch, ": expected pairs"));
  return o;
}

// In [-1, 1], without a short period.
std::vector<float> numbers(std::int64_t n, std::uint32_t salt) {
  std::vector<float> v(std::size_t(n), 0.0f);
  for (float& x : v) salt = salt * 1664525u + 1013904223u, x = float(int(salt >> 24) - 128) / 128;
  return v;
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void measure(Context& ctx, const ProcessGroup& group, const Options& o) {
  const nlohmann::json about = bench::machine(ctx.on_gpu());
  const DType precision = o.precision == "bf16" ? DType::bf16 : DType::f32;
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name(o.model)}, precision);
  ParameterSet& parameters = model.parameters();
  parameters.initialise(1);
  Optimizer optimizer(parameters, {});
  GradientBuckets buckets(parameters, *group.device, {.bytes = std::int64_t(o.bucket_mb * 1e6), .type = o.reduce == "bf16" ? DType::bf16 : DType::f32});

  const std::vector<std::int64_t> first = shares(o.batch, 2, group.world());
  const std::int64_t begin = first[std::size_t(group.rank())], own = first[std::size_t(group.rank()) + 1] - begin;
  if (own == 0) throw Error(str("--batch ", o.batch, ": nothing for rank ", group.rank(), " of ", group.world()));
  const Tensor x = Tensor::from_host(ctx, {own, o.side, o.side, 3}, numbers(own * o.side * o.side * 3, std::uint32_t(group.rank()) + 1), precision);
  std::vector<float> half(std::size_t(own), 0.0f);
  for (std::size_t i = 0; i < half.size(); i += 2) half[i] = 1;
  const Tensor labels = Tensor::from_host(ctx, {own}, half);

  std::map<std::string, std::vector<double>> times;
  std::vector<std::vector<double>> begins(buckets.buckets().size());
  double backward_began = 0, loss_value = 0;
  buckets.on_begin([&](std::size_t i) { begins[i].push_back(now() - backward_began); });
  const auto gathered = [&](const Tensor& t) { return group.world() == 1 ? t : fn::all_gather_rows(*group.device, t, first); };
  const auto step = [&] {
    double mark = now();
    const double start = mark;
    std::vector<float> asked{0, 0};
    group.host->begin_all_reduce_sum(asked);
    const auto piece = [&](const char* name) {
      const double t = now();
      times[name].push_back(t - mark);
      mark = t;
    };
    parameters.zero_grad();
    const PairedModel::Output out = model(x, {.training = true, .seed = 1, .first_sample = begin}, true);
    ctx.synchronize();
    piece("forward");
    const Tensor logit = gathered(out.logit), projection = gathered(out.projection), all_labels = gathered(labels);
    ctx.synchronize();
    piece("gather");
    PairedLoss loss = paired_loss({}, logit, projection, all_labels, group.world() == 1 ? fn::AnchorShares{} : fn::AnchorShares{group.device.get(), first});
    loss_value = loss.total.item();
    piece("loss");
    backward_began = mark;
    buckets.begin();
    loss.total.backward();
    piece("backward");
    buckets.finish();
    ctx.synchronize();
    piece("wait");
    optimizer.step(1e-4);
    ctx.synchronize();
    piece("optimiser");
    group.host->finish();
    piece("ask");
    times["step"].push_back(mark - start);
  };
  for (int i = 0; i < 2; ++i) step();  // memory, plans
  times.clear();
  for (auto& b : begins) b.clear();
  for (std::int64_t i = 0; i < o.steps; ++i) step();
  BF_CHECK(std::isfinite(loss_value), "loss ", loss_value);
  if (!group.lead()) return;

  nlohmann::json pieces, list = nlohmann::json::array();
  std::printf("%s, %lld pixels, %s, batch %lld of %d processes, sums in %s; medians of %lld steps, ms\n", o.model.c_str(), static_cast<long long>(o.side),
              o.precision.c_str(), static_cast<long long>(o.batch), group.world(), o.reduce.c_str(), static_cast<long long>(o.steps));
  for (const char* name : {"forward", "gather", "loss", "backward", "wait", "optimiser", "ask", "step"}) {
    pieces[name] = bench::median(times[name]);
    std::printf("  %-10s %9.2f\n", name, 1e3 * bench::median(times[name]));
  }
  for (std::size_t i = 0; i < begins.size(); ++i) {
    const auto& b = buckets.buckets()[i];
    const double bytes = double(b.end - b.begin) * (o.reduce == "bf16" ? 2 : 4), at = bench::median(begins[i]);
    std::printf("  bucket %-3zu %9.2f MB begins at %9.2f\n", i, bytes / 1e6, 1e3 * at);
    list.push_back({{"bytes", bytes}, {"begins", at}});
  }
  bench::write_json(o.json, {{"machine", about},
                             {"model", o.model},
                             {"side", o.side},
                             {"precision", o.precision},
                             {"reduce", o.reduce},
                             {"batch", o.batch},
                             {"processes", group.world()},
                             {"threads", environment_variable("OMP_NUM_THREADS").value_or("")},
                             {"steps", times["step"]},
                             {"seconds", pieces},
                             {"buckets", list}});
}

}  // namespace

int main(int argc, char** argv) try {
  const Options o = parse(argc, argv);
  return bench::in_processes(argc, argv, o.procs, o.gpu, [&](Context& ctx, const ProcessGroup& group) { measure(ctx, group, o); });
} catch (const std::exception& e) {
  std::fprintf(stderr, "process_step: %s\n", e.what());
  return 2;
}
