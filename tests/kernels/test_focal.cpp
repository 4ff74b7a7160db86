// tests/kernels/test_focal.cpp — both forms of the focal loss against their formulas in double.
#include <utility>

#include "kernels/focal/focal.h"
#include "layers/functional/losses.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::FocalForm;

namespace {

constexpr double kAlpha = 0.528, kGamma = 0.73;

struct Batch {
  Buffer<float> z, y;
  FocalForm form;
  double alpha = kAlpha, gamma = kGamma;
  Batch(std::int64_t n, FocalForm f, float mean = 0) : z(Buffer<float>::random(n, 1, mean, 3)), y(n), form(f) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = i % 3 == 2 ? 0.3f : float((i + 1) % 2);
  }
  Buffer<float> loss() const {
    Buffer<float> l(1);
    backend::focal_fwd(
        {.z = z.cspan(), .y = y.cspan(), .loss = l.span(), .form = form, .alpha = alpha, .gamma = gamma});
    return l;
  }
  Buffer<float> gradient(float dloss, GradMode mode, Buffer<float> dz) const {
    const Buffer<float> d(1, dloss);
    backend::focal_bwd({.dloss = d.cspan(),
                        .z = z.cspan(),
                        .y = y.cspan(),
                        .dz = dz.span(),
                        .dz_mode = mode,
                        .form = form,
                        .alpha = alpha,
                        .gamma = gamma});
    return dz;
  }
  // Term i of the mean as a function of its logit; `weight_z` is where the published form's detached weight is taken.
  double term(std::int64_t i, double logit, double weight_z, double a) const {
    const double p = 1 / (1 + std::exp(-logit)), t = y[i], lp = std::log(p), lq = std::log(1 - p);
    if (form == FocalForm::detached_one_sided)
      return a * std::pow(1 - 1 / (1 + std::exp(-weight_z)), gamma) * -(t * lp + (1 - t) * lq);
    return -t * alpha * std::pow(1 - p, gamma) * lp - (1 - t) * (1 - alpha) * std::pow(p, gamma) * lq;
  }
  void expect_right() const {
    const std::int64_t n = z.size();
    double sum = 0, labels = 0;
    for (std::int64_t i = 0; i < n; ++i) labels += y[i];
    const double a = labels != 0 ? alpha : 1 - alpha;
    std::vector<double> dz;
    for (std::int64_t i = 0; i < n; ++i) {
      sum += term(i, z[i], z[i], a);
      const double h = 1e-5;
      dz.push_back(2.5 * (term(i, z[i] + h, z[i], a) - term(i, z[i] - h, z[i], a)) / (2 * h) / double(n));
    }
    expect_close("loss", loss(), {sum / double(n)}, 1e-6, 0);
    expect_close("dz", gradient(2.5f, GradMode::write, Buffer<float>(n)), dz, 1e-6, 1e-9);
    for (double& d : dz) d += 8;
    expect_close("dz added", gradient(2.5f, GradMode::add, Buffer<float>(n, 8)), dz, 1e-6, 0);
    expect_bitwise("dz skipped", gradient(2.5f, GradMode::skip, Buffer<float>(n, 8)), Buffer<float>(n, 8));
  }
};
const FocalForm kForms[] = {FocalForm::detached_one_sided, FocalForm::canonical};

}  // namespace

TEST_CASE("focal: both forms, both passes against double; the published weight is a constant to the gradient") {
  for_each_variant([] {
    for (const FocalForm form : kForms) {
      for (const std::int64_t n : {1, 2, 17, 33, 101, 601}) Batch(n, form).expect_right();
      Batch gamma2(17, form);
      gamma2.gamma = 2, gamma2.alpha = 0.25;
      gamma2.expect_right();
      gamma2.gamma = 0;
      gamma2.expect_right();
    }
  });
}

TEST_CASE("focal: known answers") {
  // z = 0, y = 1 gives alpha (1/2)^gamma ln 2, in either form.
  for (const FocalForm form : kForms) {
    Batch b(1, form);
    b.z[0] = 0, b.y[0] = 1;
    expect_close("z = 0", b.loss(), {0.528 * std::pow(0.5, 0.73) * std::log(2.0)}, 1e-6, 0);
    CHECK(std::abs(b.loss().span()[0] - 0.2207f) < 5e-5f);
  }
  // Only a batch without any attack takes 1 - alpha, and then for every sample.
  Batch genuine(4, FocalForm::detached_one_sided);
  for (int i = 0; i < 4; ++i) genuine.z[i] = 0, genuine.y[i] = 0;
  expect_close("genuine", genuine.loss(), {0.472 * std::pow(0.5, 0.73) * std::log(2.0)}, 1e-6, 0);
  genuine.expect_right();
  Batch many(601, FocalForm::detached_one_sided);  // the one attack is far from the first logits
  for (int i = 0; i < 601; ++i) many.y[i] = i == 600 ? 1.0f : 0.0f;
  many.expect_right();
  genuine.y[3] = 0.01f;
  expect_close("one soft label", genuine.loss(), {0.528 * std::pow(0.5, 0.73) * std::log(2.0)}, 1e-6, 0);
  // The one-sided weight lowers a genuine sample that is taken for an attack: (1 - p)^gamma is small there.
  Batch hard(1, FocalForm::detached_one_sided), canonical(1, FocalForm::canonical);
  hard.z[0] = canonical.z[0] = 4, hard.y[0] = canonical.y[0] = 0;
  CHECK(hard.loss().span()[0] < 0.1f * canonical.loss().span()[0]);
}

TEST_CASE("focal: logits of 80 and 1000 give finite results on both sides") {
  for (const FocalForm form : kForms)
    for (const float z : {80.0f, -80.0f, 1000.0f, -1000.0f})
      for (const float y : {0.0f, 0.5f, 1.0f}) {
        Batch b(1, form);
        b.z[0] = z, b.y[0] = y;
        const Buffer<float> dz = b.gradient(1, GradMode::write, Buffer<float>(1));
        CHECK(std::isfinite(std::as_const(dz)[0]));
        // Of an attack taken for genuine, both forms see alpha |z| with slope -alpha.
        if (z < 0 && y == 1) {
          expect_close("loss", b.loss(), {-kAlpha * double(z)}, 1e-6, 0);
          expect_close("dz", dz, {-kAlpha}, 1e-6, 0);
        }
        CHECK(std::isfinite(b.loss().span()[0]));
      }
}

TEST_CASE("focal: order of the work, gradient check of the canonical form, wrong arguments") {
  for (const FocalForm form : kForms) {
    const Batch b(601, form, 3);
    expect_order_free([&] { return std::tuple{b.loss(), b.gradient(2, GradMode::add, Buffer<float>(601, 1))}; });
  }
  Context ctx(device());
  const Tensor z = random_leaf(ctx, {7, 1}, 1);
  const std::vector<float> labels{0, 1, 0.2f, 1, 0, 0.9f, 1};
  const Tensor y = Tensor::from_host(ctx, {7}, std::span<const float>(labels));
  check_gradients(
      {z}, [&] { return fn::focal(z, y, FocalForm::canonical, 0.25, 2); }, 1e-3, 1e-4);
  CHECK(fn::focal_form("canonical") == FocalForm::canonical);
  CHECK(fn::focal_form("detached_one_sided") == FocalForm::detached_one_sided);
  expect_throw("unknown focal form 'focal'", [&] { fn::focal_form("focal"); });
  Buffer<float> l(1);
  expect_throw("2 labels for 3 logits", [&] {
    backend::focal_fwd({.z = Buffer<float>(3).cspan(), .y = Buffer<float>(2).cspan(), .loss = l.span()});
  });
  expect_throw("the mean of no logits", [&] { backend::focal_fwd({.loss = l.span()}); });
  expect_throw("alpha 2", [&] { backend::focal_fwd({.z = l.cspan(), .y = l.cspan(), .loss = l.span(), .alpha = 2}); });
}
