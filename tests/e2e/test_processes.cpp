// tests/e2e/test_processes.cpp — several processes train as one: the same losses, gradients, curves and metrics. Here the
// processes are threads, connected as processes are; test_launch.cpp starts the program itself.
#include <cmath>
#include <map>
#include <mutex>

#include "apps/common/agreement.h"
#include "apps/common/trainer.h"
#include "engine/files.h"
#include "tests/e2e/toy_data.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Runs f(trainer) as each of `world` processes; what f returns, by rank.
template <class T>
std::vector<T> train_as(int world, const TrainConfig& c, const std::function<T(Trainer&)>& f) {
  std::vector<T> results(std::size_t(world), T{});
  on_ranks(world, [&](Communicator& comm) {
    const std::shared_ptr<Communicator> shared(&comm, [](Communicator*) {});
    Context ctx;
    Trainer t(ctx, c, {shared, shared});
    results[std::size_t(comm.rank())] = f(t);
  });
  return results;
}

std::vector<float> weights(Trainer& t) { return t.model().parameters().values().to_host(); }

std::vector<double> curve(Trainer& t, int steps) {
  std::vector<double> v;
  for (int i = 0; i < steps; ++i) v.push_back(t.step().loss);
  return v;
}

TrainConfig config_of(const ToyData& data, const std::string& name) {
  TrainConfig c = toy_config(data);
  const TrainConfig file = load_config({std::string(BF_SOURCE_DIR) + "/configs/" + name + ".json"}, {}).values;
  c.loss = file.loss, c.optimizer = file.optimizer, c.augment = file.augment, c.pairs = file.pairs, c.crop = file.crop, c.scheduler = file.scheduler;
  c.cutmix_prob = file.cutmix_prob, c.cutmix_alpha = file.cutmix_alpha, c.cutmix_supcon_labels = file.cutmix_supcon_labels;
  c.model.drop_path = file.model.drop_path, c.trainer.ema = file.trainer.ema;
  c.train_dataloader.batch_size = 4, c.trainer.epochs = 40;
  return c;
}

double norm(const float* p, std::int64_t n) {
  double s = 0;
  for (std::int64_t i = 0; i < n; ++i) s += double(p[i]) * p[i];
  return std::sqrt(s);
}

}  // namespace

TEST_CASE("processes: 1, 2 and 4 of them have the same losses, gradients and curves") {
  const ToyData data;
  for (const char* name : {"default", "recommended"}) {
    CAPTURE(name);
    const TrainConfig c = config_of(data, name);
    struct Seen {
      double loss = 0;
      std::vector<float> gradients, end;
      std::vector<double> curve;
    };
    const std::function<Seen(Trainer&)> run = [](Trainer& t) {
      Seen s;
      s.loss = t.step().loss;
      s.gradients = t.model().parameters().gradients().to_host();
      s.curve = curve(t, 29);
      s.end = weights(t);
      return s;
    };
    const Seen one = train_as(1, c, run)[0];
    Context ctx;
    const Trainer shapes(ctx, c);
    for (const int world : {2, 4}) {
      CAPTURE(world);
      const auto all = train_as(world, c, run);
      for (const Seen& s : all) {
        CHECK(s.gradients == all[0].gradients);  // ranks agree to the last bit
        CHECK(s.curve == all[0].curve);
        CHECK(s.end == all[0].end);
      }
      const Seen& s = all[0];
      CHECK(std::abs(s.loss - one.loss) <= 1e-6 * std::abs(one.loss));
      const double whole = norm(one.gradients.data(), std::int64_t(one.gradients.size()));
      for (const auto& p : const_cast<Trainer&>(shapes).model().parameters().all()) {
        std::vector<float> apart;
        const std::int64_t n = p.spec.shape.numel();
        for (std::int64_t i = p.offset; i < p.offset + n; ++i) apart.push_back(s.gradients[std::size_t(i)] - one.gradients[std::size_t(i)]);
        BF_CHECK(norm(apart.data(), n) <= 1e-5 * norm(&one.gradients[std::size_t(p.offset)], n) + 1e-7 * whole, p.spec.name, ": ", norm(apart.data(), n));
      }
      double worst = 0;
      for (std::size_t i = 0; i < s.curve.size(); ++i) worst = std::max(worst, std::abs(s.curve[i] - one.curve[i]) / std::abs(one.curve[i]));
      CHECK(worst <= 1e-5);
      const auto again = train_as(world, c, run);
      CHECK(again[0].curve == s.curve);
      CHECK(again[0].end == s.end);
    }
  }
}

TEST_CASE("processes: metrics are those of one, to the last digit") {
  const ToyData data(7);  // 21 photographs: batches of 4 do not come out even
  TrainConfig c = toy_config(data);
  for (const std::int64_t batch : {4, 100}) {  // 100: one batch, the others have none
    c.val_dataloader.batch_size = batch;
    const std::function<std::vector<double>(Trainer&)> run = [](Trainer& t) {
      const Validation v = t.validate();
      return std::vector<double>{v.selected, v.report.auc, v.report.eer.value, v.report.eer.threshold, v.report.rates.acer_pooled(), t.info().threshold->low, t.info().threshold->high};
    };
    const auto one = train_as(1, c, run)[0];
    for (const int world : {2, 3, 4})
      for (const auto& got : train_as(world, c, run)) CHECK(got == one);
  }
}

TEST_CASE("processes: fewer pairs than processes, batches that do not divide, bf16 on the way") {
  const ToyData data(3);
  TrainConfig c = toy_config(data);
  c.train_dataloader.batch_size = 4, c.train_dataloader.drop_last = false, c.dataset.epoch_fraction = 1, c.cutmix_prob = 0.5;
  const std::function<std::vector<double>(Trainer&)> run = [](Trainer& t) { return curve(t, 6); };
  const auto one = train_as(1, c, run)[0];
  for (const int world : {3, 5}) {
    const auto all = train_as(world, c, run);
    for (const auto& got : all) CHECK(got == all[0]);
    for (std::size_t i = 0; i < one.size(); ++i) CHECK(std::abs(all[0][i] - one[i]) <= 1e-5 * std::abs(one[i]));
  }
  c.distributed.reduce = "bf16", c.distributed.bucket_mb = 0.01;
  const auto rounded = train_as(2, c, run);
  CHECK(rounded[0] == rounded[1]);
  CHECK(rounded[0] != one);
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(std::abs(rounded[0][i] - one[i]) <= 2e-2 * std::abs(one[i]));
}

TEST_CASE("processes: a checkpoint is gone on with by any number of them") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  c.trainer.ema = 0.9, c.model.drop_path = 0.2, c.cutmix_prob = 0.5, c.trainer.epochs = 40;
  for (const int saving : {1, 2}) {
    const TempFolder folder;
    struct Seen {
      std::vector<double> more;
      std::vector<float> end;
    };
    const auto first = train_as<Seen>(saving, c, [&](Trainer& t) {
      curve(t, 5);
      const Checkpoint saved = t.checkpoint();
      if (t.lead()) CheckpointFolder(folder.path(), 2).save(saved, false);
      return Seen{curve(t, 5), weights(t)};
    });
    for (const int world : {1, 2, 4}) {
      const auto resumed = train_as<Seen>(world, c, [&](Trainer& t) {
        t.restore(load_checkpoint(folder.path()));
        return Seen{curve(t, 5), weights(t)};
      });
      CAPTURE(saving);
      CAPTURE(world);
      for (const Seen& s : resumed) {
        CHECK((s.end == first[0].end) == (world == saving));
        for (std::size_t i = 0; i < s.more.size(); ++i) CHECK(std::abs(s.more[i] - first[0].more[i]) <= 1e-5 * std::abs(s.more[i]));
      }
    }
  }
}

TEST_CASE("processes: shards of the optimiser's state are the same bits in less memory, and go into whole checkpoints") {
  const ToyData data;
  for (const char* type : {"adamw", "sgd"})
    for (const char* precision : {"f32", "bf16"}) {
      CAPTURE(type);
      CAPTURE(precision);
      TrainConfig c = toy_config(data);
      c.optimizer.type = type, c.optimizer.decay_norm_and_bias = false, c.optimizer.weight_decay = 0.1, c.optimizer.clip_grad_norm = 0.5, c.precision = precision;
      if (c.optimizer.type == "sgd") c.scheduler.max_lr = 0.1;
      struct Seen {
        std::vector<double> losses;
        std::vector<float> end;
        std::int64_t bytes = 0;
      };
      for (const int world : {2, 3}) {
        const TempFolder folder;
        const auto run = [&](bool sharded, bool resume) {
          c.optimizer.shard_state = sharded;
          return train_as<Seen>(world, c, [&](Trainer& t) {
            Seen s;
            if (resume) t.restore(load_checkpoint(folder.path()));
            else {
              s.losses = curve(t, 4);
              const Checkpoint saved = t.checkpoint();
              if (t.lead()) CheckpointFolder(folder.path(), 2).save(saved, false);
            }
            for (const double loss : curve(t, 4)) s.losses.push_back(loss);
            s.end = weights(t);
            s.bytes = std::int64_t(t.model().parameters().context().allocator().stats().by_name.at("optimizer").live_bytes);
            return s;
          });
        };
        const auto whole = run(false, false), shards = run(true, false), resumed = run(true, true), resumed_whole = run(false, true);
        for (int r = 0; r < world; ++r) {
          CHECK(shards[std::size_t(r)].losses == whole[0].losses);
          CHECK(shards[std::size_t(r)].end == whole[0].end);
          CHECK(resumed[std::size_t(r)].end == whole[0].end);
          CHECK(resumed_whole[std::size_t(r)].end == whole[0].end);
          CHECK(shards[std::size_t(r)].bytes <= whole[0].bytes / world * 9 / 8 + 1024);  // the allocator rounds up by an eighth
        }
      }
    }
}

TEST_CASE("processes: a loss that is not finite names the same culprit on every rank") {
  const ToyData data;
  TrainConfig c = toy_config(data);
  const auto all = train_as<std::string>(2, c, [](Trainer& t) {
    auto values = weights(t);
    const auto& p = t.model().parameters().all()[3];
    values[std::size_t(p.offset)] = std::nanf("");
    Tensor(t.model().parameters().values()).copy_from_host(values);
    t.model().parameters().refresh_compute_copies();
    const StepResult r = t.step();
    CHECK(r.skipped);
    return r.culprit;
  });
  CHECK(all[0] != "");
  CHECK(all[0] == all[1]);
}

TEST_CASE("processes: settings, lists and weights must be rank 0's, not where they lie") {
  const ToyData data;
  const std::string train = read_file(data.train);
  const auto list = [&](const std::string& name, const std::string& text) {
    write_file_atomically(data.root / name, text);
    return (data.root / name).string();
  };
  const std::string copy = list("copy.csv", train), other = list("other.csv", train + train.substr(train.rfind('\n', train.size() - 2) + 1));
  const std::string weights[] = {list("a", "weights"), list("b", "weights"), list("c", "others")};
  // What each of three ranks does to its own; "": nobody may object.
  const auto expect_said = [&](const std::string& said, const std::function<void(int rank, TrainConfig&, std::string& weights, std::string& words)>& change) {
    on_ranks(3, [&](Communicator& comm) {
      TrainConfig c = toy_config(data);
      std::string start, words = "words";
      change(comm.rank(), c, start, words);
      const auto agree = [&] { agree_on_start(c, Device{}, start, words, comm); };
      if (said.empty()) CHECK_NOTHROW(agree());
      else expect_throw("not started alike (" + said + ")", agree);
    });
  };
  expect_said("", [&](int rank, TrainConfig& c, std::string& start, std::string&) {
    if (rank == 0) return void(start = weights[0]);
    c.paths.train_manifest = copy, c.paths.root_dir = "elsewhere", start = weights[1], c.device = "cpu", c.precision = "f32";
    c.train_dataloader.num_workers = c.val_dataloader.num_workers = 7, c.simulate.cache_bytes = 5, c.trainer.weights_save_folder = "there", c.distributed.timeout_seconds = 9;
  });
  expect_said("not the settings of rank 0: rank 1, 2", [](int rank, TrainConfig& c, std::string&, std::string&) { c.seed += rank; });
  expect_said("not the settings of rank 0: rank 2", [](int rank, TrainConfig&, std::string&, std::string& words) { words += rank == 2 ? "!" : ""; });
  expect_said("not the settings of rank 0: rank 1", [](int rank, TrainConfig& c, std::string&, std::string&) { if (rank == 1) c.precision = "bf16"; });
  expect_said("not the lists of rank 0: rank 2", [&](int rank, TrainConfig& c, std::string&, std::string&) { if (rank == 2) c.paths.train_manifest = other; });
  expect_said("not the lists of rank 0: rank 1", [](int rank, TrainConfig& c, std::string&, std::string&) { if (rank == 1) c.paths.val_manifest = ""; });
  expect_said("not the lists of rank 0: rank 1", [](int rank, TrainConfig& c, std::string&, std::string&) { if (rank == 1) c.paths.val_protocol = c.paths.val_manifest, c.paths.val_manifest = ""; });
  expect_said("not the settings of rank 0: rank 1; not the weights to start from of rank 0: rank 1, 2", [&](int rank, TrainConfig& c, std::string& start, std::string&) {
    if (rank == 0) c.model.pretrained = weights[0];
    if (rank == 1) start = weights[0];
    if (rank == 2) c.model.pretrained = weights[2];
  });
}
