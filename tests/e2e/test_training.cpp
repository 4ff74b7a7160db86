// tests/e2e/test_training.cpp — the training loop as a whole: it learns, it repeats, it resumes to the last bit.
#include <omp.h>

#include "apps/common/trainer.h"
#include "tests/e2e/toy_data.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

std::vector<float> weights(Trainer& t) { return t.model().parameters().values().to_host(); }

std::vector<double> losses(Trainer& t, int steps) {
  std::vector<double> v;
  for (int i = 0; i < steps; ++i) v.push_back(t.step().loss);
  return v;
}

}  // namespace

TEST_CASE("training: learns the toy data and says so on people it has not seen") {
  const ToyData data;
  Context ctx;
  TrainConfig c = toy_config(data);
  c.trainer.epochs = 60;
  Trainer t(ctx, c);
  const auto v = losses(t, int(t.total_steps()));
  CHECK(t.done());
  CHECK(v.back() < 0.5 * v.front());
  const auto result = t.validate();
  CHECK(result.report.auc > 0.95);
  CHECK(t.info().threshold.has_value());
}

TEST_CASE("training: ten steps, save, ten more; reloaded, the same ten, bitwise") {
  const ToyData data;
  for (const bool everything : {false, true}) {
    CAPTURE(everything);
    TrainConfig c = toy_config(data);
    if (everything) {  // what has state or draws besides the defaults
      c.trainer.ema = 0.9, c.model.drop_path = 0.2, c.optimizer.clip_grad_norm = 1;
      c.cutmix_prob = 0.7, c.cutmix_supcon_labels = "soft", c.precision = "bf16";
      c.optimizer.decay_norm_and_bias = false;
    }
    TempFolder folder;
    Context ctx;
    Trainer first(ctx, c);
    losses(first, 10);
    CheckpointFolder checkpoints(folder.path(), 2);
    checkpoints.save(first.checkpoint(), false);
    const auto more = losses(first, 10);

    Context fresh;
    Trainer second(fresh, c);
    second.restore(load_checkpoint(folder.path()));
    CHECK(second.next_step() == 10);
    CHECK(losses(second, 10) == more);
    CHECK(weights(second) == weights(first));
    CHECK(second.validate().report.auc == first.validate().report.auc);
  }
}

TEST_CASE("training: threads and workers do not change a bit") {
  const ToyData data;
  const auto run = [&](int threads, int workers) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(threads);
    TrainConfig c = toy_config(data);
    c.train_dataloader.num_workers = workers;
    c.cutmix_prob = 0.5;
    Context ctx;
    Trainer t(ctx, c);
    losses(t, 6);
    omp_set_num_threads(before);
    return weights(t);
  };
  const auto reference = run(1, 1);
  CHECK(run(2, 1) == reference);
  CHECK(run(1, 8) == reference);
  CHECK(run(2, 0) == reference);
}

TEST_CASE("training: the third step asks the system for no memory") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  c.cutmix_prob = 0;
  Context ctx;
  Trainer t(ctx, c);
  losses(t, 2);
  const auto before = ctx.allocator().stats().system_allocations;
  losses(t, 2);
  CHECK(ctx.allocator().stats().system_allocations == before);
}

TEST_CASE("training: one batch over and over is learned") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  c.trainer.epochs = 100, c.cutmix_prob = 0;
  Context ctx;
  Trainer t(ctx, c);
  t.overfit_one_batch();
  const auto v = losses(t, 80);
  CHECK(v.back() < 0.35 * v.front());
}

TEST_CASE("training: what cannot work is refused before anything is decoded") {
  const ToyData data;
  Context ctx;
  const auto refuse = [&](const std::string& part, const std::function<void(TrainConfig&)>& change) {
    TrainConfig c = toy_config(data);
    change(c);
    expect_throw(part, [&] { Trainer t(ctx, c); });
  };
  refuse("set it to the path", [](TrainConfig& c) { c.model.pretrained = "true"; });
  refuse("known are convnextv2_atto", [](TrainConfig& c) { c.model.model_name = "resnet50"; });
  refuse("nothing to train on", [](TrainConfig& c) { c.paths.train_manifest = ""; });
  refuse("model.dims has 3 entries", [](TrainConfig& c) { c.model.dims = {8, 16, 24}; });
  refuse("nowhere.csv", [](TrainConfig& c) { c.paths.train_manifest = "nowhere.csv"; });
}

TEST_CASE("training: a loss that is not finite names the first layer and the parameter behind it") {
  const ToyData data;
  const auto culprit_of = [&](const std::string& parameter, TrainConfig c, bool explain = true) {
    Context ctx;
    Trainer t(ctx, c);
    t.explain_non_finite(explain);
    const Tensor& p = t.model().parameters()[parameter];
    std::vector<float> values = p.to_host();
    values[0] = std::nanf("");
    Tensor(p).copy_from_host(values);
    t.model().parameters().refresh_compute_copies();
    const auto before = weights(t);
    const StepResult r = t.step();
    CHECK(r.skipped);
    CHECK(!std::memcmp(weights(t).data(), before.data(), before.size() * sizeof(float)));  // NaN is not equal to itself
    return r.culprit;
  };
  TrainConfig c = toy_config(data);
  for (const char* precision : {"f32", "bf16"}) {
    c.precision = precision;
    const std::string block = culprit_of("backbone.stages.1.blocks.0.mlp.fc2.weight", c);
    CHECK_MESSAGE(block.find("values of the result of backbone.stages.1.blocks.0 are not finite; 1 of ") != block.npos, block);
    CHECK_MESSAGE(block.find("its parameter backbone.stages.1.blocks.0.mlp.fc2.weight are not finite") != block.npos, block);
    const std::string head = culprit_of("cls.weight", c);
    CHECK_MESSAGE(head.find("the result of cls are not finite; 1 of ") != head.npos, head);
  }
  CHECK(culprit_of("cls.weight", c, false) == "");
  c.trainer.check = true;
  expect_throw("first not finite: ", [&] { culprit_of("cls.weight", c); });
}

TEST_CASE("training: the self-check compares a precision with f32, finds a wrong one, and changes nothing") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  const auto train = [&](bool check) {
    Context ctx;
    Trainer t(ctx, c);
    if (check) {
      const std::string said = t.self_check();
      double percent = 0;
      REQUIRE_MESSAGE(std::sscanf(said.c_str(), "self-check: on one batch the features in bf16 are %lf %% from", &percent) == 1, said);
      CHECK(percent > 0.01);
      CHECK(percent < 5);
    }
    return losses(t, 3);
  };
  {
    Context ctx;
    CHECK(Trainer(ctx, c).self_check() == "");  // f32 itself
  }
  c.precision = "bf16";
  CHECK(train(true) == train(false));
  Context ctx;
  Trainer t(ctx, c);
  const Tensor copies = t.model().parameters().compute_copies();
  std::int64_t i = 0;
  for (bf16& v : copies.span<bf16>()) v = bf16(float(i++ % 3) - 1);
  expect_throw("more than rounding explains", [&] { t.self_check(); });
}
