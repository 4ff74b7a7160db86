// apps/common/trainer.cpp
#include "apps/common/trainer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "apps/common/device.h"
#include "apps/common/image_files.h"
#include "apps/common/open_source.h"
#include "apps/common/scoring.h"
#include "data/augment.h"
#include "data/cutmix.h"
#include "data/metrics/bootstrap.h"
#include "engine/digest.h"
#include "engine/host_values.h"
#include "layers/functional/all_gather.h"
#include "layers/functional/cutmix.h"
#include "layers/functional/normalize.h"
#include "layers/non_finite.h"
#include "layers/weights.h"

namespace bonafide {
namespace {

constexpr double kWorstPrecisionError = 0.25;  // of the features, relative, root mean square: bf16 is ten times better
constexpr const char* kUnknownLicence = "unknown; published ConvNeXt-V2 weights are CC-BY-NC-4.0";

// world: how many processes share the machine's cores, at most.
int workers(std::int64_t asked, int world) {
  return asked >= 0 ? int(asked) : int(std::max(1u, std::thread::hardware_concurrency() / unsigned(world)));
}

std::shared_ptr<const Manifest> split_of(Manifest all, const std::string& split) {
  const bool has_splits = std::any_of(all.records.begin(), all.records.end(), [](const Record& r) { return !r.split.empty(); });
  return std::make_shared<const Manifest>(has_splits ? all.only_split(split) : std::move(all));
}

AugmentSettings augment_settings(const TrainConfig::Augment& a, bool genuine) {
  const auto covers = [&](const std::string& to) { return to == "both" || to == (genuine ? "genuine" : "attacks"); };
  AugmentSettings s;
  const bool colour = covers(a.apply_to);
  s.flip_p = covers(a.apply_flip_to) ? a.flip_prob : 0;
  s.brightness_contrast_p = colour ? a.brightness_contrast_prob : 0;
  s.brightness_limit = float(a.brightness_limit), s.contrast_limit = float(a.contrast_limit);
  s.hue_saturation_value_p = colour ? a.hue_saturation_value_prob : 0;
  s.hue_limit = float(a.hue_limit), s.saturation_limit = float(a.saturation_limit), s.value_limit = float(a.value_limit);
  s.jpeg_p = colour ? a.jpeg_prob : 0;
  s.jpeg_quality_min = int(a.jpeg_quality_min), s.jpeg_quality_max = int(a.jpeg_quality_max);
  return s;
}

PlanSettings plan_settings(const TrainConfig& c) {
  PlanSettings s;
  s.seed = std::uint64_t(c.seed);
  s.batch_size = c.train_dataloader.batch_size;
  s.drop_last = c.train_dataloader.drop_last;
  s.epoch_fraction = c.dataset.epoch_fraction;
  s.margin_min = float(c.crop.train_margin_min), s.margin_max = float(c.crop.train_margin_max);
  s.unmatched = c.pairs.unmatched_attacks == "drop" ? UnmatchedAttacks::drop : UnmatchedAttacks::class_partner;
  s.shuffle_labels = c.control.shuffle_labels;
  const auto genuine = augment_settings(c.augment, true), attack = augment_settings(c.augment, false);
  s.augment_genuine = [genuine](Random& r) { return draw_augment(r, genuine); };
  s.augment_attack = [attack](Random& r) { return draw_augment(r, attack); };
  if (c.cutmix_prob > 0)
    s.cutmix = [m = CutMixSettings{.probability = c.cutmix_prob, .alpha = c.cutmix_alpha, .partner = c.cutmix_partner,
                                   .height = int(c.model_input_size), .width = int(c.model_input_size)}](
                   Random& r, const std::vector<SampleDraw>& samples) { return draw_cutmix(r, m, samples); };
  if (c.simulate.enabled) {
    s.simulate.on = true;
    for (const auto& [name, weight] : c.simulate.species) {
      const auto label = Label::parse(name);
      if (!label || label->genuine()) throw UsageError(str("simulate.species: '", name, "' is no attack species"));
      s.simulate.species.emplace_back(*label, weight);
    }
    s.simulate.partner = c.simulate.genuine_partner == "same" ? SimulateSettings::Partner::same_photo
                                                             : SimulateSettings::Partner::any;
    s.simulate.donor = c.simulate.donor == "any" ? SimulateSettings::Donor::any : SimulateSettings::Donor::other_subject;
    s.simulate.steps_per_epoch = c.simulate.steps_per_epoch;
  }
  return s;
}

PairedLossConfig loss_config(const TrainConfig& c) {
  PairedLossConfig l;
  l.type = c.loss.type, l.focal_form = c.loss.focal_form;
  l.alpha = float(c.loss.alpha), l.gamma = float(c.loss.gamma), l.label_smoothing = float(c.loss.label_smoothing);
  l.contrastive = c.loss.contrastive, l.supcon_form = c.loss.supcon_form;
  l.supcon_weight = float(c.loss.supcon_weight), l.supcon_temperature = float(c.loss.supcon_temperature);
  l.cutmix_supcon_labels = c.cutmix_supcon_labels;
  return l;
}

// Worst-species APCER with BPCER held at 5 %.
double worst_apcer_at_bpcer5(const Report& r) {
  for (const FixedPoint& p : r.apcer_at_bpcer)
    if (p.target == 0.05) return p.rates.worst_species().apcer.value();
  throw Error("the report has no point at BPCER 5 %");
}

OptimizerConfig optimizer_config(const TrainConfig::Optimizer& o) {
  return {.type = o.type, .weight_decay = o.weight_decay, .beta1 = o.beta1, .beta2 = o.beta2, .eps = o.eps,
          .momentum = o.momentum, .decay_norm_and_bias = o.decay_norm_and_bias, .clip_grad_norm = o.clip_grad_norm};
}

}  // namespace

Trainer::Trainer(Context& ctx, const TrainConfig& config, ProcessGroup group)
    : ctx_(ctx), config_(config), group_(std::move(group)), loss_(loss_config(config)) {
  read_lists();
  build_model();
  const std::int64_t planned = config_.trainer.epochs * planner_->steps_per_epoch();
  total_steps_ = config_.trainer.max_steps > 0 ? std::min(config_.trainer.max_steps, planned) : planned;
  schedule_ = {.max = config_.scheduler.max_lr, .min = config_.scheduler.min_lr,
               .warmup = warmup_steps(total_steps_, config_.scheduler.warmup_fraction), .total = total_steps_};
}
Trainer::~Trainer() = default;

void Trainer::read_lists() {
  const auto& p = config_.paths;
  if (!p.train_manifest.empty()) training_ = split_of(read_manifest(p.train_manifest), "train");
  else if (!p.train_csv.empty()) training_ = split_of(read_published_csv(p.train_csv), "train");
  else throw UsageError("nothing to train on: set paths.train_csv or paths.train_manifest");
  if (!p.val_manifest.empty()) {
    validation_ = split_of(read_manifest(p.val_manifest), "val");
  } else if (!p.val_protocol.empty()) {
    std::optional<BoxTable> boxes;
    if (!p.val_bbox_csv.empty()) boxes = read_box_csv(p.val_bbox_csv);
    validation_ = split_of(manifest_from_protocol(read_protocol(p.val_protocol), boxes ? &*boxes : nullptr), "val");
  }
  if (validation_) validation_digest_ = file_digest(p.val_manifest.empty() ? p.val_protocol : p.val_manifest);
  source_ = open_source(p.root_dir, std::max({double(float(config_.crop.train_margin_min)), double(float(config_.crop.train_margin_max)),
                                             config_.crop.eval_margin}));
  if (config_.simulate.enabled)
    simulator_ = make_simulator(int(config_.simulate.capture_size > 0 ? config_.simulate.capture_size : config_.model_input_size));
  planner_ = std::make_shared<const BatchPlanner>(training_, plan_settings(config_));
  const AugmentOptions options{.color_order = config_.augment.color_order == "bgr" ? ColorOrder::bgr : ColorOrder::rgb};
  make_sample_ = [options](const Image& image, const Box& face, const SampleDraw& draw, int height, int width, std::uint8_t* out) {
    make_sample(image, face, draw.margin, draw.augment, options, height, width,
                {out, std::int64_t(height) * width * 3});
  };
}

void Trainer::build_model() {
  PairedModelConfig m;
  m.backbone = ConvNeXtV2Config::by_name(config_.model.model_name);
  const auto custom = [&](const std::vector<std::int64_t>& from, std::array<std::int64_t, 4>& to, const char* key) {
    if (from.empty()) return;
    if (from.size() != 4) throw UsageError(str(key, " has ", from.size(), " entries, a ConvNeXt has 4 stages"));
    std::copy(from.begin(), from.end(), to.begin());
  };
  custom(config_.model.depths, m.backbone.depths, "model.depths");
  custom(config_.model.dims, m.backbone.dims, "model.dims");
  m.backbone.drop_path = float(config_.model.drop_path);
  if (config_.model.block == "composed") m.backbone.block = fn::BlockImplementation::composed;
  m.projection = config_.loss.supcon_proj_dim;
  const ChosenPrecision precision = choose_precision(config_.precision, ctx_.device());
  ctx_.set_f32_products(precision.f32_products);
  model_ = std::make_unique<PairedModel>(ctx_, m, precision.compute);
  model_->parameters().initialise(std::uint64_t(config_.seed));

  info_.architecture = m;
  info_.input_size = int(config_.model_input_size);
  info_.crop_margin = config_.crop.eval_margin;
  for (const auto& [species, weight] : planner_->species())
    if (weight > 0) info_.trained_species.push_back(species);
  const auto& n = config_.normalize;
  if (n.kind == "custom") {
    for (std::size_t i = 0; i < 3; ++i) info_.mean[i] = float(n.mean[i]), info_.std[i] = float(n.std[i]);
  } else if (n.kind == "weights") {  // what timm's ConvNeXt-V2 weights were trained with
    info_.mean = {0.485f, 0.456f, 0.406f}, info_.std = {0.229f, 0.224f, 0.225f};
  }
  if (config_.model.pretrained == "true")
    throw UsageError(str("model.pretrained is true, and no weights come with this program: set it to the path of ", m.backbone.name,
                         "'s weights, safetensors or .pth (timm publishes convnextv2_*.fcmae_ft_in22k_in1k on its model hub; licence "
                         "CC-BY-NC-4.0), or to false to train from scratch"));
  if (config_.model.pretrained != "false") {
    const WeightFile file(config_.model.pretrained);
    load_backbone(model_->parameters(), file);
    info_.start_weights = std::filesystem::path(config_.model.pretrained).filename().string();
    info_.start_licence = file.metadata("license", kUnknownLicence);
    info_.start_digest = file_digest(config_.model.pretrained);
  }
  optimizer_ = std::make_unique<Optimizer>(model_->parameters(), optimizer_config(config_.optimizer),
                                           config_.optimizer.shard_state && group_.world() > 1 ? group_.device : nullptr);
  if (group_.world() > 1) {
    const auto& d = config_.distributed;
    buckets_ = std::make_unique<GradientBuckets>(model_->parameters(), *group_.device,
                                                 BucketSettings{std::max<std::int64_t>(1, std::int64_t(d.bucket_mb * 1e6)), d.reduce == "bf16" ? DType::bf16 : DType::f32});
  }
  if (config_.trainer.ema > 0) ema_ = std::make_unique<Ema>(model_->parameters(), config_.trainer.ema);
}

void Trainer::start_loader() {
  LoaderSettings s;
  s.height = s.width = info_.input_size;
  s.workers = workers(config_.train_dataloader.num_workers, group_.world());
  s.rank = group_.rank(), s.world = group_.world();
  s.cache_bytes = std::size_t(config_.simulate.cache_bytes);
  s.first_step = next_step_, s.end_step = total_steps_;
  loader_ = make_training_loader(planner_, source_, simulator_, make_sample_, s);
}

Trainer::Input Trainer::load() {
  Input in;
  if (overfit_ && repeated_) {
    in.batch = *repeated_;
  } else {
    if (!loader_) start_loader();
    in.batch = loader_->next();
    if (overfit_) repeated_ = in.batch;
  }
  const Batch& b = in.batch;
  if (b.own == 0) return in;  // more processes than pairs in this batch
  in.images = Tensor::from_host(ctx_, {std::int64_t(b.rows.size()), b.height, b.width, 3}, std::span<const std::uint8_t>(b.images));
  in.labels = Tensor::from_host(ctx_, {std::int64_t(b.rows.size())}, b.labels);
  if (b.cutmix.on)
    in.partner = Tensor::from_host(ctx_, {std::int64_t(b.cutmix.partner.size())}, std::span<const std::int32_t>(b.cutmix.partner));
  return in;
}

// The batch as the network takes it, after CutMix; returns the labels, soft where images are mixed.
Tensor Trainer::labels_and_input(const Input& in, Tensor& x, DType compute) const {
  const auto& mix = in.batch.cutmix;
  x = fn::normalize(mix.on ? fn::cutmix(in.images, in.partner, {mix.x1, mix.y1, mix.x2, mix.y2}) : in.images, info_.mean, info_.std, compute);
  return mix.on ? fn::cutmix_labels(in.labels, in.partner, mix.keep) : in.labels;
}

// The loss of the global batch, from everybody's logits and projections. Every process knows all of it; each computes the
// contrastive loss of its own rows.
PairedLoss Trainer::forward(const Input& in, const ForwardState& state, Tensor& x) const {
  if (group_.world() == 1) {
    const Tensor labels = labels_and_input(in, x, model_->compute());
    const auto out = (*model_)(x, state, loss_.contrastive);
    return paired_loss(loss_, out.logit, out.projection, labels);
  }
  Tensor labels = Tensor::empty(ctx_, {0});
  PairedModel::Output out{Tensor::empty(ctx_, {0}), Tensor::empty(ctx_, {0, config_.loss.supcon_proj_dim})};
  if (in.batch.own > 0) {
    labels = labels_and_input(in, x, model_->compute());
    out = (*model_)(x, state, loss_.contrastive);
  }
  const auto& plan = in.batch.plan;
  const auto first = shares(std::int64_t(plan.samples.size()), plan.group, group_.world());
  const auto gathered = [&](const Tensor& t) { return fn::all_gather_rows(*group_.device, t, first); };
  return paired_loss(loss_, gathered(out.logit), loss_.contrastive ? gathered(out.projection) : Tensor(), gathered(labels),
                     {group_.device.get(), first});
}

// What was first not finite, of whichever process found it first.
std::string Trainer::culprit(const Tensor& x, const ForwardState& state) const {
  std::string mine = x ? first_non_finite(*model_, x, state, loss_.contrastive) : "";
  std::vector<float> lengths(std::size_t(group_.world()), 0);
  const std::vector<float> length{float(mine.size())};
  group_.host->all_gather(length, lengths);
  for (int r = 0; r < group_.world(); ++r) {
    if (lengths[std::size_t(r)] == 0) continue;
    std::vector<std::uint8_t> text(mine.begin(), mine.end());
    text.resize(std::size_t(lengths[std::size_t(r)]));
    group_.host->broadcast(text, r);
    return {text.begin(), text.end()};
  }
  return "";
}

StepResult Trainer::step() {
  const Input in = ahead_ ? *std::exchange(ahead_, {}) : load();
  const Batch& b = in.batch;
  ctx_.allocator().begin_batch(std::int64_t(b.rows.size()));
  ParameterSet& parameters = model_->parameters();
  parameters.zero_grad();
  const ForwardState state{.training = true, .seed = std::uint64_t(config_.seed), .step = next_step_, .first_sample = b.first};
  Tensor x;
  PairedLoss loss = forward(in, state, x);
  StepResult r;
  r.step = next_step_, r.epoch = b.plan.epoch, r.images = std::int64_t(b.plan.samples.size()), r.waited_seconds = b.waited_seconds;
  r.loss = loss.total.item(), r.classification = loss.classification.item();
  r.contrastive = loss.contrastive ? loss.contrastive.item() : 0;
  r.learning_rate = learning_rate(schedule_, next_step_);
  if (std::isfinite(r.loss)) {
    if (buckets_) buckets_->begin();
    if (loss.total.requires_grad()) loss.total.backward();
    if (next_step_ + 1 < total_steps_) ahead_ = load();  // over the bus while a GPU is busy with the backward pass
    if (buckets_) buckets_->finish();
    r.grad_norm = optimizer_->step(r.learning_rate);  // waits for it
  }
  r.skipped = !std::isfinite(r.loss) || !std::isfinite(r.grad_norm);
  if (r.skipped && explain_) r.culprit = culprit(x, state);
  if (r.skipped && config_.trainer.check)
    throw Error(str("step ", r.step, ": loss ", r.loss, " (classification ", r.classification, ", contrastive ", r.contrastive,
                    "), gradient norm ", r.grad_norm, r.culprit.empty() ? "" : "; first not finite: ", r.culprit,
                    "; the last checkpoint is intact"));
  if (ema_ && !r.skipped) ema_->update();
  ++next_step_;
  return r;
}

std::string Trainer::self_check() {
  const F32Products products = ctx_.f32_products();
  if (model_->compute() == DType::f32 && products == F32Products::full) return "";
  ahead_ = load();
  PairedModel reference(ctx_, model_->config(), DType::f32);
  Tensor(reference.parameters().values()).copy_from_host(model_->parameters().values().to_host());
  if (!ahead_->images) return "";  // nothing of this batch is here
  const NoGrad guard(ctx_);
  const auto features = [&](const PairedModel& model) {  // not logits: those of a new model are hardly more than rounding
    Tensor x, result;
    labels_and_input(*ahead_, x, model.compute());
    const std::function<void(const std::string&, const Tensor&)> keep = [&](const std::string& layer, const Tensor& t) {
      if (layer == "backbone.head.norm") result = t;
    };
    model(x, {.watch = &keep});
    return result.to_host();
  };
  const auto got = features(*model_);
  ctx_.set_f32_products(F32Products::full);
  const auto want = features(reference);
  ctx_.set_f32_products(products);
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    apart += std::pow(double(got[i]) - double(want[i]), 2), size += std::pow(double(want[i]), 2);
  const double error = std::sqrt(apart / size);
  const std::string result = str("self-check: on one batch the features in ", choose_precision(config_.precision, ctx_.device()).name, " are ",
                                 std::round(1e4 * error) / 100, " % from those in f32");
  if (!(error <= kWorstPrecisionError))
    throw Error(str(result, ": more than rounding explains; --no-check trains all the same"));
  return result;
}

Validation Trainer::validate() {
  BF_CHECK(validation_, "no validation list");
  if (ema_) ema_->swap();
  auto logits = score_manifest(Detector(*model_, info_), validation_, source_, config_.val_dataloader.batch_size,
                               workers(config_.val_dataloader.num_workers, group_.world()), {}, {group_.rank(), group_.world()});
  group_.host->all_reduce_sum(logits);  // each is 0 everywhere but where it was computed
  if (ema_) ema_->swap();
  std::vector<double> scores;
  std::vector<std::optional<Label>> labels;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    scores.push_back(probability(logits[i]));
    labels.push_back(validation_->records[i].label);
  }
  Validation v{make_report(scores, labels), 0};
  const Report& r = v.report;
  v.selected = config_.select.metric == "val.auc"   ? 1 - r.auc
               : config_.select.metric == "val.eer" ? r.eer.value
                                                    : worst_apcer_at_bpcer5(r);
  const auto [low, high] = eer_threshold_interval(scores, labels, std::uint64_t(config_.seed));
  info_.threshold = ModelThreshold{r.eer.threshold, "eer", validation_digest_, r.genuine, r.attacks, low, high};
  return v;
}

Checkpoint Trainer::checkpoint() const {
  Checkpoint c;
  c.step = next_step_;
  ModelInfo info = info_;
  info.step = next_step_;
  c.model_metadata = info.to_metadata();
  c.model = stored_parameters(model_->parameters());
  c.state = optimizer_->state();
  if (ema_) {  // the model file holds what evaluation uses; the weights that training goes on from are state
    c.state.push_back(stored_tensor("current", model_->parameters().values()));
    c.model = stored_parameters(model_->parameters(), ema_->average());
    for (auto& a : ema_->state()) c.state.push_back(a);
  }
  nlohmann::json state{{"step", next_step_}, {"best_step", best_step}, {"config", nlohmann::json::parse(config_json(config_))}};
  if (best) state["best"] = *best;
  c.state_json = state.dump();
  return c;
}

void Trainer::restore(const LoadedCheckpoint& c) {
  const auto state = nlohmann::json::parse(c.state_json);
  load_strict(model_->parameters(), c.model);
  if (ema_) {
    write_values(model_->parameters().values(), [&](Span<float> values) { c.state.read<float>("current", values); });
    model_->parameters().refresh_compute_copies();
    ema_->restore(c.state);
  }
  next_step_ = state.at("step").get<std::int64_t>();
  optimizer_->restore(c.state, next_step_);
  best_step = state.at("best_step").get<std::int64_t>();
  if (state.contains("best")) best = state.at("best").get<double>();
  info_.threshold = ModelInfo::from_metadata(c.model.metadata(), c.model.path().string()).threshold;
  loader_.reset(), ahead_.reset();  // starts again at next_step_
}

void Trainer::init_from(const std::string& model_file) {
  const WeightFile file(model_file);
  load_strict(model_->parameters(), file);
  if (ema_) *ema_ = Ema(model_->parameters(), config_.trainer.ema);
  info_.start_weights = std::filesystem::path(model_file).filename().string();
  // What the first weights allow holds for all that comes of them. Published state dicts say nothing.
  info_.start_licence = file.metadata().count("bonafide.format") ? ModelInfo::from_metadata(file.metadata(), model_file).start_licence
                                                                 : file.metadata("license", kUnknownLicence);
  info_.start_digest = file_digest(model_file);
}

std::string Trainer::data_summary() const {
  std::string s = "training " + training_->origin + "\n" + training_->summary() + planner_->summary();
  if (validation_) s += "validation " + validation_->origin + "\n" + validation_->summary();
  return s;
}

std::string Trainer::data_json() const {
  const auto list = [](const Manifest& m) {
    return nlohmann::json{{"origin", m.origin}, {"records", m.records.size()}, {"counts", m.counts()},
                          {"dropped", m.dropped_counts()}, {"full_frame", m.full_frame}};
  };
  nlohmann::json j{{"train", list(*training_)}};
  j["train"]["left_out"] = planner_->left_out();
  j["train"]["pairs"] = planner_->pairs();
  if (validation_) j["val"] = list(*validation_);
  return j.dump(2);
}

}  // namespace bonafide
