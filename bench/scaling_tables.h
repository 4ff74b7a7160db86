// bench/scaling_tables.h — what bench/scaling_model predicts for GPUs, and from which figures. NOTHING here has been
// measured on a GPU by this project: the tables say "predicted", and so must whoever quotes them.
//
// Two kinds of figures go in.
//
// Published by others, of NCCL's ring (which training asks for, because its sums repeat bit for bit), in GB/s of bus bandwidth:
//
//   NVLink 4     365 to 370 on 2 to 8 H100 SXM        https://github.com/NVIDIA/nccl/issues/1455
//                (370 of a line rate of 450, says a maintainer:  https://github.com/NVIDIA/nccl-tests/issues/212)
//   InfiniBand   46 to 48 for each adapter of 400 Gb/s, says a maintainer: https://github.com/NVIDIA/nccl-tests/issues/290.
//                Eight adapters a node: 8 x 46 = 368, the slowest link of a ring through all nodes
//   PCIe 5       28 of 8 and 35 of 4 RTX 5090         https://github.com/NVIDIA/nccl/issues/1639
//   one step around the ring   3.1 us: 93 us for 8 bytes on 16 A100 in two nodes, 30 steps:
//                https://github.com/NVIDIA/nccl/issues/812. And 4.0 to 5.6 us: a straight line through the times of 16 to
//                128 MB on 8 GPUs in two nodes begins at 56 to 79 us, 14 steps: https://github.com/NVIDIA/nccl/issues/1411.
//                Taken: 5 us
//
// Predicted by our own roofline of an H200 (bytes and FLOPs of every pass, at rates below the peak): ConvNeXt-V2 tiny, 224
// pixels, bf16, with every fusion that docs/gpu.md lists as to come: 4.57, 8.68 and 16.9 ms a step with batches of 64, 128 and
// 256. The kernels of today are slower than that, which hides more communication: the tables are the harder case.
#pragma once
#include <array>
#include <cstdio>

#include "bench/scaling_model.h"
#include "kernels/supcon/supcon.h"
#include "layers/gradient_buckets.h"
#include "layers/paired_model.h"

namespace bonafide::bench {

// ---- published

inline constexpr double kRingStep = 5e-6;
inline constexpr double kNvlink = 367e9, kNode = 8, kInfiniband = 8 * 46e9;
constexpr double pcie_bus_bandwidth(int gpus) { return gpus > 4 ? 28e9 : 35e9; }
inline constexpr double kH200Fp64 = 34e12;  // FLOP/s, NVIDIA's data sheet; SupCon's kernels work in f64

// ---- assumed

inline constexpr double kFp64Share = 0.5;        // of that rate, reached
inline constexpr double kHostStep = 30e-6;       // a small TCP message between two hosts, through Gloo's ring
inline constexpr double kInterference = 16.0 / 132;  // NCCL's 16 channels take a multiprocessor each

// ---- predicted by the roofline: seconds of one H200 with b images

constexpr double forward_seconds(double b) { return 0.075e-3 + 20.53e-6 * b; }
constexpr double backward_seconds(double b) { return 0.124e-3 + 43.7e-6 * b; }
inline constexpr double kOptimiser = 0.26e-3;
// Of backward, in the order of the stages: all of a stage's blocks, and what lies before them (stem, downsampling). Any unit.
inline constexpr std::array<double, 4> kBlocks = {2.796, 1.526, 3.315, 1.155}, kBefore = {0.081, 0.144, 0.082, 0.074};
inline constexpr double kHead = 0.006;

// Every process computes its own rows' part of the contrastive loss of the global batch.
constexpr double loss_seconds(std::int64_t global_batch, std::int64_t own, std::int64_t width) {
  return (kernels::supcon_fwd_cost(global_batch, width, own).flops + kernels::supcon_bwd_cost(global_batch, width, own).flops) / (kFp64Share * kH200Fp64);
}

// How much of backward has to be done before the gradient of this parameter is final.
inline double ready_share(const std::string& name, const std::array<std::int64_t, 4>& depths) {
  double before = kHead, whole = kHead;
  for (int s = 0; s < 4; ++s) whole += kBlocks[std::size_t(s)] + kBefore[std::size_t(s)];
  for (int s = 3; s >= 0; --s) {
    const auto i = std::size_t(s);
    const std::string stage = str("backbone.stages.", s, ".");
    if (name.rfind(stage + "blocks.", 0) == 0) {
      const std::int64_t block = std::stoll(name.substr(stage.size() + 7));
      return (before + kBlocks[i] * double(depths[i] - block) / double(depths[i])) / whole;
    }
    if (name.rfind(stage, 0) == 0 || (s == 0 && name.rfind("backbone.stem.", 0) == 0)) return (before + kBlocks[i] + kBefore[i]) / whole;
    before += kBlocks[i] + kBefore[i];
  }
  return kHead / whole;
}

// The buckets that training would make; `ready` as a share of backward.
inline std::vector<Bucket> bucket_shares(const PairedModelConfig& model, const BucketSettings& settings) {
  Context ctx;
  ParameterSet parameters(ctx, paired_model_parameters(model));
  const std::unique_ptr<Communicator> nobody = single_process();
  const GradientBuckets buckets(parameters, *nobody, settings);
  std::vector<Bucket> list;
  for (const auto& b : buckets.buckets()) {
    Bucket one{double((b.end - b.begin) * size_of(settings.type)), 0};
    for (const std::size_t i : b.parameters) one.ready = std::max(one.ready, ready_share(parameters.all()[i].spec.name, model.backbone.depths));
    list.push_back(one);
  }
  return list;
}

enum class Links { nvlink_infiniband, pcie };

// A step of n GPUs with `local` images each.
inline StepTime gpu_step(Links links, int n, double local, const std::vector<Bucket>& shares, std::int64_t projection = 128) {
  StepPieces p{forward_seconds(local), loss_seconds(std::int64_t(local * n), std::int64_t(local), projection), backward_seconds(local), kOptimiser, {}};
  Communication c;
  if (n > 1) {
    const Ring ring{kRingStep, links == Links::pcie ? pcie_bus_bandwidth(n) : n > kNode ? std::min(kNvlink, kInfiniband) : kNvlink};
    for (const Bucket& b : shares) p.buckets.push_back({b.bytes, b.ready * p.backward});
    c.sum = [=](double bytes) { return collective_seconds(ring, Collective::all_reduce, n, bytes); };
    for (const double floats : {1.0, double(projection), 1.0, 3.0})  // logits, projections, labels, what SupCon found of each row
      c.gathers += collective_seconds(ring, Collective::all_gather, n, 4 * floats * local * n);
    c.ask = ring_steps(Collective::all_reduce, n) * kHostStep;
    c.interference = kInterference;
  }
  return step_time(p, c);
}

// ---- the tables of docs/scaling.md, which a test compares with these

inline std::string row(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const auto& c : cells) line += " " + c + " |";
  return line + "\n";
}
inline std::string number(double v, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, v);
  return text;
}
inline PairedModelConfig table_model() { return {.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")}; }

inline std::string bucket_table() {
  std::string text = row({"bucket", "MB in f32", "ready after, of backward (predicted)", "its sum on 8 GPUs, NVLink, ms (predicted)"}) + "|---|---|---|---|\n";
  const auto list = bucket_shares(table_model(), {.bytes = 20'000'000});
  for (std::size_t i = 0; i < list.size(); ++i)
    text += row({std::to_string(i), number(list[i].bytes / 1e6, 1), number(100 * list[i].ready, 0) + " %",
                 number(1e3 * collective_seconds({kRingStep, kNvlink}, Collective::all_reduce, 8, list[i].bytes), 2)});
  return text;
}

inline std::string weak_table() {
  std::string text = row({"GPUs", "links", "images a GPU", "step, ms", "sums, ms", "exposed, ms", "SupCon, ms", "gathers, ms", "images/s", "efficiency"}) +
                     "|---|---|---|---|---|---|---|---|---|---|\n";
  const auto shares = bucket_shares(table_model(), {.bytes = 20'000'000});
  const auto line = [&](Links links, int n, double local) {
    const StepTime one = gpu_step(links, 1, local, shares), t = gpu_step(links, n, local, shares);
    text += row({std::to_string(n), n == 1 ? "" : links == Links::pcie ? "PCIe 5" : n > kNode ? "NVLink, InfiniBand" : "NVLink", number(local, 0), number(1e3 * t.step, 2),
                 number(1e3 * t.sums, 2), number(1e3 * t.exposed, 2), number(1e3 * loss_seconds(std::int64_t(local * n), std::int64_t(local), 128), 2), number(1e3 * t.gathers, 2), number(n * local / t.step, 0),
                 number(weak_efficiency(one.step, t.step), 3)});
  };
  for (const int n : {1, 2, 4, 8, 16, 32, 64}) line(Links::nvlink_infiniband, n, 256);
  for (const int n : {2, 4, 8}) line(Links::pcie, n, 256);
  for (const int n : {1, 2, 4, 8}) line(Links::nvlink_infiniband, n, 64);
  return text;
}

inline std::string strong_table() {
  std::string text = row({"GPUs", "images a GPU", "f32 sums: step, ms", "exposed, ms", "efficiency", "bf16 sums: step, ms", "exposed, ms", "efficiency"}) +
                     "|---|---|---|---|---|---|---|---|\n";
  const double batch = 1024;
  const auto f32 = bucket_shares(table_model(), {.bytes = 20'000'000}), bf16 = bucket_shares(table_model(), {.bytes = 20'000'000, .type = DType::bf16});
  const double one = gpu_step(Links::nvlink_infiniband, 1, batch, f32).step;
  for (const int n : {1, 2, 4, 8, 16, 32, 64}) {
    std::vector<std::string> cells{std::to_string(n), number(batch / n, 0)};
    for (const auto* shares : {&f32, &bf16}) {
      const StepTime t = gpu_step(Links::nvlink_infiniband, n, batch / n, *shares);
      for (const double v : {1e3 * t.step, 1e3 * t.exposed}) cells.push_back(number(v, 2));
      cells.push_back(number(strong_efficiency(one, t.step, n), 3));
    }
    text += row(cells);
  }
  return text;
}

}  // namespace bonafide::bench
