// tests/host/test_paired_loss.cpp — every key chooses the loss that it names, and the two losses are added as it says.
#include "layers/paired_loss.h"

#include <set>

#include "engine/context.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/losses.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("paired_loss: the type of the classification loss, and its own settings") {
  Context ctx;
  const std::vector<float> z{-2, -0.5f, 0.25f, 3}, y{1, 0, 0.7f, 1};
  const Tensor logit = Tensor::from_host(ctx, {4}, z), labels = Tensor::from_host(ctx, {4}, y);
  const auto classification = [&](PairedLossConfig c) {
    c.contrastive = false, c.alpha = 0.3f, c.gamma = 1.5f, c.label_smoothing = 0.2f;
    const PairedLoss loss = paired_loss(c, logit, {}, labels);
    CHECK(loss.total.item() == loss.classification.item());
    CHECK(!loss.contrastive);
    return loss.classification.item();
  };
  const auto focal = [&](fn::FocalForm form) { return fn::focal(logit, labels, form, 0.3f, 1.5f).item(); };
  const float canonical = focal(fn::FocalForm::canonical), one_sided = focal(fn::FocalForm::detached_one_sided);
  const float plain = fn::bce(logit, labels, 0).item(), smooth = fn::bce(logit, labels, 0.2f).item();
  CHECK(std::set<float>{canonical, one_sided, plain, smooth}.size() == 4);
  CHECK(classification({}) == one_sided);
  CHECK(classification({.focal_form = "canonical"}) == canonical);
  CHECK(classification({.type = "focal"}) == canonical);  // whatever focal_form says
  CHECK(classification({.type = "BCE"}) == plain);
  CHECK(classification({.type = "LabelSmoothing"}) == smooth);
}

TEST_CASE("paired_loss: the contrastive part, by form, temperature and weight") {
  Context ctx;
  const std::vector<float> z{-1, 0.5f, 2, 0}, y{1, 0, 1, 0.4f}, f{1, 2, -1, 0, 2, 1, 1, 1, 1, 0, 1, 0};
  const Tensor logit = Tensor::from_host(ctx, {4}, z), labels = Tensor::from_host(ctx, {4}, y);
  const Tensor unit = fn::l2_normalize(Tensor::from_host(ctx, {4, 3}, f));
  const auto check = [&](PairedLossConfig c, fn::SupConForm form) {
    c.supcon_temperature = 0.5f, c.supcon_weight = 0.25f;
    const PairedLoss loss = paired_loss(c, logit, unit, labels);
    CHECK(loss.contrastive.item() == fn::supcon(unit, labels, form, 0.5f).item());
    CHECK(loss.total.item() == doctest::Approx(loss.classification.item() + 0.25 * loss.contrastive.item()));
  };
  check({}, fn::SupConForm::log_outside);
  check({.supcon_form = "l_out"}, fn::SupConForm::l_out);
  check({.cutmix_supcon_labels = "soft"}, fn::SupConForm::soft);
}
