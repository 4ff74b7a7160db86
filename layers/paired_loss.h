// layers/paired_loss.h — classification loss + weight x contrastive loss, every variant behind a key of its own.
#pragma once
#include <string>

#include "layers/functional/losses.h"

namespace bonafide {

struct PairedLossConfig {
  // "binary_focal" (the published default), "focal" (canonical, alpha 0.25 and gamma 2 unless set), "BCE", and anything
  // else: BCE with `label_smoothing`, as the published code has it.
  std::string type = "binary_focal";
  std::string focal_form = "detached_one_sided";  // of binary_focal; or "canonical"
  float alpha = 0.528f, gamma = 0.73f;
  float label_smoothing = 0.1f;
  bool contrastive = true;
  float supcon_weight = 0.306f, supcon_temperature = 0.141f;
  std::string supcon_form = "log_outside";       // or "l_out"
  std::string cutmix_supcon_labels = "truncate";  // or "soft": mixtures count in proportion
};

struct PairedLoss {
  Tensor total, classification, contrastive;  // scalars; contrastive is empty when it is off
};

// logit, labels: [N]; labels are soft after CutMix. projection: [N, D] unit rows, or empty when contrastive is off. Where
// several processes call this with the same rows, `shares` are those that each has made: it computes the contrastive loss of
// these and asks the others for theirs.
PairedLoss paired_loss(const PairedLossConfig&, const Tensor& logit, const Tensor& projection, const Tensor& labels,
                       const fn::AnchorShares& shares = {});

}  // namespace bonafide
