// apps/common/trainer.h — training as an object: one step, one validation, one checkpoint. `bonafide train` is a loop
// around it, and tests drive it directly. It prints nothing and writes no files.
//
// Several processes train as one: each has a Trainer over the same configuration and the same files. Batches, losses and
// metrics are those of all of them, the same on each. What every process must call in the same order: step(), self_check(),
// validate(), checkpoint().
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "apps/common/options.h"
#include "data/detector.h"
#include "data/loader.h"
#include "data/metrics/report.h"
#include "engine/checkpoint.h"
#include "engine/comm/process_group.h"
#include "layers/gradient_buckets.h"
#include "layers/optimizer.h"
#include "layers/paired_loss.h"
#include "layers/paired_model.h"
#include "layers/schedule.h"

namespace bonafide {

struct StepResult {
  std::int64_t step = 0, epoch = 0;  // the step just done, from 0
  double loss = 0, classification = 0, contrastive = 0;
  double learning_rate = 0, grad_norm = 0;
  std::int64_t images = 0;  // of all processes
  double waited_seconds = 0;  // for data
  bool skipped = false;       // loss or gradient was not finite: no weight changed
  std::string culprit;        // then: what was first not finite (layers/non_finite.h), unless nobody wants to know
};

struct Validation {
  Report report;
  double selected = 0;  // the metric that select.metric names; smaller is better
};

class Trainer {
 public:
  // Reads the lists, builds model and optimiser. Throws UsageError or Error before anything is decoded.
  Trainer(Context&, const TrainConfig&, ProcessGroup = alone());
  ~Trainer();

  std::int64_t total_steps() const { return total_steps_; }
  std::int64_t steps_per_epoch() const { return planner_->steps_per_epoch(); }
  std::int64_t next_step() const { return next_step_; }
  bool done() const { return next_step_ >= total_steps_; }
  bool lead() const { return group_.lead(); }  // of all processes the one that writes files

  StepResult step();
  // The next batch in this precision and in f32, same weights: how far the features are apart, in words; "" in f32 itself.
  // Throws where they have little in common: then a kernel is wrong, or this precision does not suit the weights.
  std::string self_check();
  void explain_non_finite(bool on) { explain_ = on; }  // StepResult::culprit; on by default
  // The batch of step 0 over and over: a model that cannot learn it has a bug.
  void overfit_one_batch() { overfit_ = true; }

  bool has_validation() const { return validation_ != nullptr; }
  // Scores the validation list with the current weights (the averaged ones under trainer.ema) and sets info().threshold.
  Validation validate();

  // What to save, and going on from it. The arrays borrow this object's memory.
  Checkpoint checkpoint() const;
  void restore(const LoadedCheckpoint&);
  void init_from(const std::string& model_file);  // weights only

  PairedModel& model() { return *model_; }
  const ModelInfo& info() const { return info_; }
  std::string data_summary() const;  // for the banner
  std::string data_json() const;     // for data.json
  Loader::Stats loader_stats() const { return loader_ ? loader_->stats() : Loader::Stats{}; }

  // Carried in checkpoints, so that the best result survives a resumption.
  std::optional<double> best;
  std::int64_t best_step = -1;

 private:
  void read_lists();
  void build_model();
  void start_loader();
  struct Input {  // a batch, and what of it is on the device
    Batch batch;
    Tensor images, labels, partner;  // partner: of the CutMix, where there is one
  };
  Input load();
  Tensor labels_and_input(const Input&, Tensor& x, DType compute) const;
  PairedLoss forward(const Input&, const ForwardState&, Tensor& x) const;  // x: what the network saw of the own images
  std::string culprit(const Tensor& x, const ForwardState&) const;

  Context& ctx_;
  TrainConfig config_;
  ProcessGroup group_;
  ModelInfo info_;
  PairedLossConfig loss_;
  std::shared_ptr<const Manifest> training_, validation_;
  std::string validation_digest_;
  std::shared_ptr<const ImageSource> source_;
  std::shared_ptr<const AttackSimulator> simulator_;
  std::shared_ptr<const BatchPlanner> planner_;
  MakeSample make_sample_;
  std::unique_ptr<Loader> loader_;
  std::unique_ptr<PairedModel> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Ema> ema_;
  std::unique_ptr<GradientBuckets> buckets_;  // of several processes
  CosineSchedule schedule_;
  std::int64_t total_steps_ = 0, next_step_ = 0;
  bool overfit_ = false, explain_ = true;
  std::optional<Batch> repeated_;  // by overfit_
  std::optional<Input> ahead_;     // of the next step
};

}  // namespace bonafide
