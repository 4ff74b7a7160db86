// tests/support/formula_training.h — the training run of tests/reference/make_training.py, in C++, held against it.
#pragma once
#include "engine/safetensors.h"
#include "layers/functional/cutmix.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "layers/schedule.h"
#include "tests/support/formula_model.h"

namespace bonafide::test {

// The requirement: at each step the loss is PyTorch's within 1e-4 (relative); after the last the weights have moved
// alike within 3e-2 (norm of the difference of the changes over norm of the change); and the loss has fallen by a
// tenth. PyTorch's own float32 stays within 2e-5 of the float64 fixture in both (its keys float32_loss_error and
// float32_change_error).
inline void train_beside_torch(const std::string& name) {
  const auto want = fixture("training_" + name + ".json");
  const SafetensorsFile sketches(std::string(BF_SOURCE_DIR) + "/tests/fixtures/training_" + name + ".safetensors");
  const int size = want["size"], pairs = want["pairs"], steps = want["steps"], taken = want["taken"],
            buckets = want["buckets"];

  Context ctx;
  PairedModel model(ctx, {.backbone = ConvNeXtV2Config::by_name(want["backbone"])});
  ParameterSet& parameters = model.parameters();
  load_formula(parameters);
  Optimizer optimizer(parameters, {.weight_decay = want["weight_decay"]});
  const CosineSchedule schedule{want["max_lr"], want["min_lr"], warmup_steps(steps), steps};

  std::vector<int> labels;
  for (int i = 0; i < pairs; ++i) labels.insert(labels.end(), {1, 0});
  double first = 0, last = 0, worst_loss = 0;
  for (int step = 0; step < taken; ++step) {
    Tensor x = formula_batch(ctx, "train." + std::to_string(step), labels, size, size);
    Tensor y = Tensor::from_host(ctx, {2 * pairs}, std::vector<float>(labels.begin(), labels.end()));
    if (const auto& cut = want["cutmix"][std::size_t(step)]; !cut.is_null()) {
      const auto indices = cut["partner"].get<std::vector<std::int32_t>>();
      const Tensor partner = Tensor::from_host(ctx, {2 * pairs}, indices);
      const fn::CutMixBox box{cut["x1"], cut["y1"], cut["x2"], cut["y2"]};
      x = fn::cutmix(x, partner, box);
      y = fn::cutmix_labels(y, partner, 1 - float((box.x2 - box.x1) * (box.y2 - box.y1)) / float(size * size));
    }
    const auto out = model(x, {.training = true, .step = step}, true);
    PairedLoss loss = paired_loss({}, out.logit, out.projection, y);
    const auto& torch = want["float64"];
    const double total = torch["total"][std::size_t(step)];
    for (const auto& [key, value] :
         {std::pair{"total", loss.total}, {"focal", loss.classification}, {"supcon", loss.contrastive}}) {
      // A part that is smaller than the total is held to the total's absolute error: SupCon itself goes down to 1e-5.
      const double w = torch[key][std::size_t(step)], error = std::abs(value.item() - w) / std::max(w, total);
      CHECK_MESSAGE(error <= 1e-4, "step ", step, ": ", key, " ", value.item(), ", PyTorch ", w);
      worst_loss = std::max(worst_loss, error);
    }
    last = loss.total.item();
    if (step == 0) first = last;
    parameters.zero_grad();
    loss.total.backward();
    const double rate = learning_rate(schedule, step);
    CHECK(rate == doctest::Approx(want["rates"][std::size_t(step)].get<double>()).epsilon(1e-12));
    optimizer.step(rate);
  }
  CHECK(last <= 0.9 * first);

  double difference = 0, change = 0, worst_tensor = 0;
  for (const auto& p : parameters.all()) {
    auto moved = to_double(p.value.to_host());
    const auto start = formula_parameter(p.spec.name, dims(p.spec.shape));
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] -= double(start[i]);
    std::vector<float> sketch(static_cast<std::size_t>(buckets));
    sketches.read<float>(p.spec.name, sketch);
    const double d = sketched_difference(p.spec.name, moved, to_double(sketch));
    const double norm_of_change = want["change_norms"][p.spec.name];
    CHECK_MESSAGE(d <= 3e-2 * norm_of_change, p.spec.name, ": change differs by ", d / norm_of_change);
    CHECK_MESSAGE(std::abs(norm(moved) - norm_of_change) <= 3e-2 * norm_of_change, p.spec.name, ": moved ",
                  norm(moved));
    worst_tensor = std::max(worst_tensor, d / norm_of_change);
    difference += d * d, change += norm_of_change * norm_of_change;
  }
  const double ratio = std::sqrt(difference / change);
  CHECK(ratio <= 3e-2);
  CHECK(std::sqrt(change) == doctest::Approx(want["change_norm"].get<double>()).epsilon(1e-6));
  CHECK(sketches.arrays().size() == parameters.all().size());
  MESSAGE(name, ": loss ", first, " -> ", last, ", worst step ", worst_loss, "; change differs by ", ratio,
          " (worst tensor ", worst_tensor, "); PyTorch's float32: ", want["float32_loss_error"].get<double>(), " and ",
          want["float32_change_error"].get<double>());
}

}  // namespace bonafide::test
