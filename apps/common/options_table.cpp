// apps/common/options_table.cpp — the table of settings. To add one: a field in options.h, a row here, a line in
// configs/default.json (a test compares them).
#include "apps/common/options_table.h"

namespace bonafide {
namespace {

Allowed one_of(std::vector<std::string> choices) { return {.choices = std::move(choices)}; }
Allowed at_least(double low) { return {.low = low}; }
Allowed above(double low) { return {.low = low, .low_excluded = true}; }
Allowed between(double low, double high) { return {.low = low, .high = high}; }
Allowed text_or_bool() { return {.or_bool = true}; }

}  // namespace

std::vector<Option> option_table(TrainConfig& c) {
  const Allowed probability = between(0, 1), classes = one_of({"genuine", "attacks", "both", "none"});
  return {
      {"seed", &c.seed, "names every random stream of the run", at_least(0)},
      {"device", &c.device, "auto takes a usable GPU, else the CPU, and says so; the others are used or refused",
       one_of({"auto", "cpu", "cuda"})},
      {"precision", &c.precision, "of activations and matrix products; weights, statistics and losses stay f32. auto is bf16 on a GPU, f32 on the CPU; "
       "tf32 is f32 with a GPU's faster products",
       one_of({"auto", "f32", "tf32", "bf16"})},
      {"model_input_size", &c.model_input_size, "side of the square the network sees, in pixels", between(32, 4096)},
      {"normalize", &c.normalize,
       "pixels as the network sees them: unit is [0, 1] as published, weights is the start weights' own mean and std, "
       "or "
       "{\"mean\": [r, g, b], \"std\": [r, g, b]}"},

      {"paths.train_csv", &c.paths.train_csv,
       "training list as published (path, label_original, paired_live_path, box)"},
      {"paths.train_manifest", &c.paths.train_manifest,
       "training list as a manifest of this program, instead of train_csv"},
      {"paths.val_manifest", &c.paths.val_manifest, "validation list as a manifest of this program"},
      {"paths.val_protocol", &c.paths.val_protocol,
       "validation list as published (`path label` a line), instead of val_manifest"},
      {"paths.val_bbox_csv", &c.paths.val_bbox_csv, "face boxes for val_protocol"},
      {"paths.root_dir", &c.paths.root_dir, "folder that the paths in all lists start from, or a file of bonafide pack that holds these photographs"},

      {"model.model_name", &c.model.model_name, "convnextv2_{atto,femto,pico,nano,tiny,small,base,large,huge}"},
      {"model.pretrained", &c.model.pretrained,
       "file of start weights, false to train from scratch, true to be told which file to bring", text_or_bool()},
      {"model.depths", &c.model.depths, "blocks in each of the four stages; [] for those of model_name", at_least(1)},
      {"model.dims", &c.model.dims, "channels of each of the four stages; [] for those of model_name", at_least(1)},
      {"model.drop_path",
       &c.model.drop_path,
       "rate of dropped residual branches in the last block, rising linearly from 0",
       {.low = 0, .high = 0.99}},
      {"model.block", &c.model.block,
       "how a block is computed: fused, or composed from the single operations (slower, more memory; the same but for "
       "rounding)",
       one_of({"fused", "composed"})},

      {"dataset.epoch_fraction",
       &c.dataset.epoch_fraction,
       "share of the pairs drawn in each epoch, without replacement",
       {.low = 0, .high = 1, .low_excluded = true}},
      {"pairs.unmatched_attacks", &c.pairs.unmatched_attacks,
       "attacks without a genuine partner: drop them, or give each a genuine face drawn anew every epoch",
       one_of({"drop", "class_partner"})},
      {"train_dataloader.batch_size", &c.train_dataloader.batch_size, "pairs in the global batch: twice as many images",
       at_least(1)},
      {"train_dataloader.num_workers", &c.train_dataloader.num_workers,
       "loading threads (0: none beside the main one, -1: one per CPU core); no result depends on it",
       between(-1, 1024)},
      {"train_dataloader.drop_last", &c.train_dataloader.drop_last, "leave out the last, incomplete batch of an epoch"},
      {"val_dataloader.batch_size", &c.val_dataloader.batch_size, "images in a validation batch", at_least(1)},
      {"val_dataloader.num_workers", &c.val_dataloader.num_workers, "as for training", between(-1, 1024)},

      {"crop.train_margin_min", &c.crop.train_margin_min, "training crops: face box times a factor drawn from here…",
       above(0)},
      {"crop.train_margin_max", &c.crop.train_margin_max, "…to here", above(0)},
      {"crop.eval_margin", &c.crop.eval_margin, "factor in validation and evaluation", above(0)},

      {"augment.apply_to", &c.augment.apply_to, "classes that get colour and JPEG augmentation", classes},
      {"augment.apply_flip_to", &c.augment.apply_flip_to, "classes that get the horizontal flip", classes},
      {"augment.color_order", &c.augment.color_order,
       "bgr mixes up red and blue in the hue shift, as the published code does", one_of({"bgr", "rgb"})},
      {"augment.flip_prob", &c.augment.flip_prob, "probability of the flip", probability},
      {"augment.brightness_contrast_prob", &c.augment.brightness_contrast_prob,
       "probability of a change of brightness and contrast", probability},
      {"augment.brightness_limit", &c.augment.brightness_limit, "largest shift, as a share of the range", probability},
      {"augment.contrast_limit", &c.augment.contrast_limit, "largest change of the gain", probability},
      {"augment.hue_saturation_value_prob", &c.augment.hue_saturation_value_prob, "probability of a shift in HSV",
       probability},
      {"augment.hue_limit", &c.augment.hue_limit, "largest shift of the hue (0 to 179)", between(0, 179)},
      {"augment.saturation_limit", &c.augment.saturation_limit, "largest shift of the saturation (0 to 255)",
       between(0, 255)},
      {"augment.value_limit", &c.augment.value_limit, "largest shift of the value (0 to 255)", between(0, 255)},
      {"augment.jpeg_prob", &c.augment.jpeg_prob, "probability of JPEG compression", probability},
      {"augment.jpeg_quality_min", &c.augment.jpeg_quality_min, "lowest quality", between(1, 100)},
      {"augment.jpeg_quality_max", &c.augment.jpeg_quality_max, "highest quality", between(1, 100)},

      {"cutmix_prob", &c.cutmix_prob, "probability that a batch is mixed", probability},
      {"cutmix_alpha", &c.cutmix_alpha, "both parameters of the Beta distribution of the kept share", above(0)},
      {"cutmix_partner", &c.cutmix_partner, "whose rectangle an image may receive", one_of({"any", "same_class"})},
      {"cutmix_supcon_labels", &c.cutmix_supcon_labels,
       "mixed labels in the contrastive loss: cut to 0 unless both are attacks, as published, or in proportion",
       one_of({"truncate", "soft"})},

      {"loss.type", &c.loss.type,
       "binary_focal is the paper's, focal the canonical one, BCE_smooth has label_smoothing",
       one_of({"binary_focal", "focal", "BCE", "BCE_smooth"})},
      {"loss.focal_form", &c.loss.focal_form,
       "weight of binary_focal: (1 - p)^gamma without gradient for both classes, or canonical",
       one_of({"detached_one_sided", "canonical"})},
      {"loss.alpha", &c.loss.alpha, "weight of the attacks (0.25 with loss.type=focal unless set)", probability},
      {"loss.gamma", &c.loss.gamma, "focusing exponent (2 with loss.type=focal unless set)", at_least(0)},
      {"loss.label_smoothing", &c.loss.label_smoothing, "of BCE_smooth", probability},
      {"loss.contrastive", &c.loss.contrastive, "add the supervised contrastive loss"},
      {"loss.supcon_form", &c.loss.supcon_form,
       "log of the summed positives, as published, or the mean of their logs (L_out)",
       one_of({"log_outside", "l_out"})},
      {"loss.supcon_weight", &c.loss.supcon_weight, "its weight in the total", at_least(0)},
      {"loss.supcon_temperature", &c.loss.supcon_temperature, "divides the cosine similarities", above(0)},
      {"loss.supcon_proj_dim", &c.loss.supcon_proj_dim, "width of the projected features", at_least(1)},

      {"optimizer.type", &c.optimizer.type, "AdamW with decoupled decay, or SGD with momentum",
       one_of({"adamw", "sgd"})},
      {"optimizer.weight_decay", &c.optimizer.weight_decay, "per step, times the rate", at_least(0)},
      {"optimizer.decay_norm_and_bias", &c.optimizer.decay_norm_and_bias, "decay norms and biases too, as published"},
      {"optimizer.beta1", &c.optimizer.beta1, "AdamW: decay of the first moment", {.low = 0, .high = 0.999999}},
      {"optimizer.beta2", &c.optimizer.beta2, "AdamW: decay of the second moment", {.low = 0, .high = 0.99999999}},
      {"optimizer.eps", &c.optimizer.eps, "AdamW: added to the root of the second moment", above(0)},
      {"optimizer.momentum", &c.optimizer.momentum, "SGD", {.low = 0, .high = 0.999999}},
      {"optimizer.clip_grad_norm", &c.optimizer.clip_grad_norm,
       "longest gradient, by L2 norm over all weights; 0: no limit", at_least(0)},
      {"optimizer.shard_state", &c.optimizer.shard_state,
       "several processes: each keeps its part of the optimiser's memory; the same bits"},

      {"scheduler.max_lr", &c.scheduler.max_lr, "rate after the warm-up", at_least(0)},
      {"scheduler.min_lr", &c.scheduler.min_lr, "rate at the first step and, by a cosine, at the last", at_least(0)},
      {"scheduler.warmup_fraction", &c.scheduler.warmup_fraction, "share of all steps in which the rate rises",
       probability},

      {"trainer.epochs", &c.trainer.epochs, "passes over the training list", at_least(1)},
      {"trainer.max_steps", &c.trainer.max_steps,
       "end after this many steps, to which the schedule is stretched; 0: by epochs", at_least(0)},
      {"trainer.eval_every", &c.trainer.eval_every, "steps between validations; 0: after each epoch", at_least(0)},
      {"trainer.checkpoint_every", &c.trainer.checkpoint_every, "steps between checkpoints; 0: after each epoch",
       at_least(0)},
      {"trainer.keep", &c.trainer.keep, "checkpoints kept besides the best; 0: all", at_least(0)},
      {"trainer.ema",
       &c.trainer.ema,
       "decay of averaged weights, which are then validated and saved; 0: off",
       {.low = 0, .high = 0.9999999}},
      {"trainer.check", &c.trainer.check,
       "stop at the first loss or gradient that is not finite, instead of skipping the step"},
      {"trainer.weights_save_folder", &c.trainer.weights_save_folder,
       "folder in which each run makes a folder of its own"},

      {"select.metric", &c.select.metric, "what the best checkpoint is best in",
       one_of({"val.eer", "val.auc", "val.worst_apcer@bpcer5"})},
      {"select.ties", &c.select.ties, "which of two equally good checkpoints is the best",
       one_of({"earlier", "later"})},

      {"simulate.enabled", &c.simulate.enabled,
       "draw attacks afresh for every batch from the genuine photographs of the list"},
      {"simulate.species", &c.simulate.species,
       "what to draw: [\"print\", \"replay\"], or weights {\"print\": 2, \"replay\": 1}", above(0)},
      {"simulate.genuine_partner", &c.simulate.genuine_partner,
       "the genuine half of a pair: the photograph the attack was made from, or any other one",
       one_of({"same", "other"})},
      {"simulate.donor", &c.simulate.donor, "the second face of a face swap: of another person, or of anybody",
       one_of({"other_subject", "any"})},
      {"simulate.steps_per_epoch", &c.simulate.steps_per_epoch, "length of an epoch; 0: every photograph once",
       at_least(0)},
      {"simulate.capture_size", &c.simulate.capture_size,
       "side of the square that the simulated camera takes, in pixels; 0: model_input_size", between(0, 16384)},
      {"simulate.cache_bytes", &c.simulate.cache_bytes, "decoded photographs kept in memory", at_least(0)},

      {"distributed.bucket_mb", &c.distributed.bucket_mb,
       "several processes: gradients that are sent at once, in MB, while the others are still computed", above(0)},
      {"distributed.reduce", &c.distributed.reduce, "several processes: gradients are added in f32, or rounded to bf16",
       one_of({"f32", "bf16"})},
      {"distributed.timeout_seconds", &c.distributed.timeout_seconds,
       "several processes: how long one waits for the others before it gives up", above(0)},

      {"control.shuffle_labels", &c.control.shuffle_labels,
       "train on shuffled labels: what is learned then is leakage"},
  };
}

const std::vector<KeyWithoutEffect>& keys_without_effect() {
  static const std::vector<KeyWithoutEffect> keys = {
      {"train_multihead", {"false"}, "the two-head model is not part of the published recipe"},
      {"paths.train_protocol", {"\"\"", "null"}, "training reads paths.train_csv or paths.train_manifest"},
      {"model.in_chans", {"3"}, "images are RGB"},
      {"model.num_classes", {"0", "1", "2"}, "the classifier has one logit, P(attack)"},
      {"dataset.oversample_live", {"false", "null"}, "every batch is half genuine, half attacks"},
      {"dataset.val_max_per_subclass", {"300", "0", "null"}, "validation uses every image of its list"},
      {"dataset.val_seed", {"42", "null"}, "validation draws nothing"},
      {"train_dataloader.shuffle", {"true"}, "every epoch is a fresh permutation"},
      {"train_dataloader.pin_memory", {}, ""},
      {"train_dataloader.prefetch_factor", {}, ""},
      {"val_dataloader.shuffle", {"false"}, "validation keeps the order of its list"},
      {"val_dataloader.drop_last", {"false"}, "validation uses every image of its list"},
      {"trainer.type", {}, ""},
      {"optimizer.lr", {"0.0001"}, "the rate is scheduler.max_lr"},
      {"scheduler.type", {}, ""},
      {"scheduler.cycle_mult", {"1", "1.0"}, "there is one cycle"},
      {"scheduler.gamma", {"1", "1.0"}, "there is one cycle"},
      {"scheduler.warmup_steps", {"0"}, "the warm-up is scheduler.warmup_fraction of all steps"},
      {"wandb.use", {"false"}, "metrics are files of the run folder"},
      {"wandb.*", {}, ""},
  };
  return keys;
}

}  // namespace bonafide
