// apps/common/options.h — every setting of `bonafide train`: plain structs, and one table that binds each to its key.
//
// The table (options_table.cpp) is the only list of keys: the parser, --help, --print-config and a run's config.json
// are made from it. Keys have the names of the published configuration where it has them. Defaults are the paper's;
// configs/default.json says the same with comments, configs/recommended.json is what we would defend. Paths are
// relative to the folder the program is started in.
#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/common/exit_codes.h"

namespace bonafide {

// `normalize`: what the network sees of a pixel v in [0, 1].
struct Normalization {
  std::string kind = "unit";            // "unit": v; "weights": the start weights' own mean and std; "custom": these
  std::array<double, 3> mean{0, 0, 0};  // RGB: (v - mean) / std
  std::array<double, 3> std{1, 1, 1};
  friend bool operator==(const Normalization&, const Normalization&) = default;
};

struct SpeciesWeight {
  std::string species;  // a label's name or code: "print", "1_0_0"
  double weight = 1;    // draws are in proportion
  friend bool operator==(const SpeciesWeight&, const SpeciesWeight&) = default;
};

struct TrainConfig {
  std::int64_t seed = 42;
  std::string device = "auto";    // auto, cpu, cuda
  std::string precision = "auto";  // auto, f32, tf32, bf16
  std::int64_t model_input_size = 224;
  Normalization normalize;
  double cutmix_prob = 0.3, cutmix_alpha = 0.592;
  std::string cutmix_partner = "any";             // any, same_class
  std::string cutmix_supcon_labels = "truncate";  // truncate, soft

  struct Paths {
    std::string train_csv, train_manifest, val_manifest, val_protocol, val_bbox_csv, root_dir;
  } paths;
  struct Model {
    std::string model_name = "convnextv2_tiny";
    std::string pretrained = "true";         // "true" (a file is needed), "false" (from scratch), or the file
    std::vector<std::int64_t> depths, dims;  // empty: those of model_name
    double drop_path = 0;
    std::string block = "fused";  // fused, composed
  } model;
  struct Crop {
    double train_margin_min = 1.1, train_margin_max = 1.3, eval_margin = 1.2;
  } crop;
  struct Augment {
    std::string apply_to = "genuine", apply_flip_to = "genuine";  // genuine, attacks, both, none
    std::string color_order = "bgr";                              // bgr (as published), rgb
    double flip_prob = 0.5;
    double brightness_contrast_prob = 0.1, brightness_limit = 0.1, contrast_limit = 0.1;
    double hue_saturation_value_prob = 0.1, hue_limit = 10, saturation_limit = 10, value_limit = 10;
    double jpeg_prob = 0.3;
    std::int64_t jpeg_quality_min = 40, jpeg_quality_max = 60;
  } augment;
  struct Pairs {
    std::string unmatched_attacks = "drop";  // drop, class_partner
  } pairs;
  struct Dataset {
    double epoch_fraction = 0.5;
  } dataset;
  struct TrainLoader {
    std::int64_t batch_size = 32;   // pairs: twice as many images
    std::int64_t num_workers = -1;  // -1: one per CPU core
    bool drop_last = true;
  } train_dataloader;
  struct ValLoader {
    std::int64_t batch_size = 32;  // images
    std::int64_t num_workers = -1;
  } val_dataloader;
  struct Simulate {
    bool enabled = false;
    std::vector<SpeciesWeight> species = {{"print", 1}, {"replay", 1}, {"cutout", 1}};
    std::string genuine_partner = "same";  // same, other
    std::string donor = "other_subject";   // other_subject, any
    std::int64_t steps_per_epoch = 0, capture_size = 0, cache_bytes = std::int64_t(512) << 20;
  } simulate;
  struct Trainer {
    std::int64_t epochs = 20, max_steps = 0, eval_every = 0, checkpoint_every = 0, keep = 3;
    double ema = 0;  // 0: off
    bool check = false;
    std::string weights_save_folder = "runs";
  } trainer;
  struct Loss {
    std::string type = "binary_focal";              // binary_focal, focal, BCE, BCE_smooth
    std::string focal_form = "detached_one_sided";  // detached_one_sided, canonical
    double alpha = 0.528, gamma = 0.73, label_smoothing = 0.1;
    bool contrastive = true;
    std::string supcon_form = "log_outside";  // log_outside, l_out
    double supcon_weight = 0.306, supcon_temperature = 0.141;
    std::int64_t supcon_proj_dim = 128;
  } loss;
  struct Optimizer {
    std::string type = "adamw";  // adamw, sgd
    double weight_decay = 1.1e-5, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, momentum = 0.9;
    bool decay_norm_and_bias = true;
    double clip_grad_norm = 0;  // 0: off
    bool shard_state = false;
  } optimizer;
  struct Scheduler {
    double max_lr = 1.8e-4, min_lr = 6.8e-7, warmup_fraction = 0.05;
  } scheduler;
  struct Select {
    std::string metric = "val.eer", ties = "later";  // earlier, later
  } select;
  struct Distributed {
    double bucket_mb = 20;
    std::string reduce = "f32";  // f32, bf16
    double timeout_seconds = 300;
  } distributed;
  struct Control {
    bool shuffle_labels = false;
  } control;
};

// A configuration and where each of its values came from.
struct LoadedConfig {
  TrainConfig values;
  std::map<std::string, std::string> origin;  // key -> "default", "configs/my.json:12", "command line"
  std::vector<std::string> warnings;          // one line each: published keys that have no effect here
};

// Defaults, then the files in order (JSON with comments; sections nest, or keys are dotted), then `key=value`
// overrides. Throws a UsageError, naming the file and line or the command line, for: an unknown key (with the nearest
// one), a wrong type, a value out of range, a key given twice in one file, values that contradict each other.
LoadedConfig load_config(const std::vector<std::string>& files, const std::vector<std::string>& overrides);

// The same from a text instead of files; `name` is what errors and origins call it.
LoadedConfig load_config_text(const std::string& json, const std::string& name,
                              const std::vector<std::string>& overrides = {});

std::string print_config(const LoadedConfig&);        // for people: one line a key, value and origin
std::string config_json(const TrainConfig&);          // every key; reading it back gives the same values
std::string config_origin_json(const LoadedConfig&);  // {key: origin}
std::string option_help();                            // the table for --help: key, default, meaning
// "trainer.epochs: 20 -> 40" for every value that differs.
std::vector<std::string> changed_values(const TrainConfig& from, const TrainConfig& to);

}  // namespace bonafide
