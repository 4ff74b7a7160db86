// layers/paired_loss.cpp
#include "layers/paired_loss.h"

#include "layers/functional/residual.h"

namespace bonafide {

PairedLoss paired_loss(const PairedLossConfig& c, const Tensor& logit, const Tensor& projection, const Tensor& labels,
                       const fn::AnchorShares& shares) {
  PairedLoss loss;
  if (c.type == "binary_focal") loss.classification = fn::focal(logit, labels, fn::focal_form(c.focal_form), c.alpha, c.gamma);
  else if (c.type == "focal") loss.classification = fn::focal(logit, labels, fn::FocalForm::canonical, c.alpha, c.gamma);
  else loss.classification = fn::bce(logit, labels, c.type == "BCE" ? 0.0f : c.label_smoothing);
  loss.total = loss.classification;
  if (c.contrastive) {
    const auto form = fn::supcon_form(c.cutmix_supcon_labels == "soft" ? "soft" : c.supcon_form);
    loss.contrastive = fn::supcon(projection, labels, form, c.supcon_temperature, shares);
    loss.total = fn::weighted_add(loss.classification, loss.contrastive, c.supcon_weight);
  }
  return loss;
}

}  // namespace bonafide
