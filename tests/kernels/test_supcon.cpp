// tests/kernels/test_supcon.cpp — the three forms of the contrastive loss against their formulas in double.
#include <utility>

#include "kernels/supcon/supcon.h"
#include "layers/functional/l2_normalize.h"
#include "layers/functional/losses.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::SupConForm;

namespace {

struct Batch {
  std::int64_t N, D;
  Buffer<float> f, labels;
  SupConForm form;
  float temperature = 0.141f;

  Batch(std::int64_t n, std::int64_t d, SupConForm frm)
      : N(n), D(d), f(Buffer<float>::random(n * d, 1)), labels(n), form(frm) {
    for (std::int64_t i = 0; i < N; ++i) {
      labels[i] = form == SupConForm::soft && i % 3 == 2 ? 0.3f : float(i % 2);
      double square = 0;
      for (std::int64_t k = i * D; k < (i + 1) * D; ++k) square += std::as_const(f)[k] * std::as_const(f)[k];
      for (std::int64_t k = i * D; k < (i + 1) * D; ++k) f[k] = float(std::as_const(f)[k] / std::sqrt(square));
    }
  }
  std::pair<Buffer<float>, Buffer<float>> forward() const {
    Buffer<float> loss(1);
    const Buffer<float> stats = rows(0, kernels::kToTheLast);
    backend::supcon_mean({.stats = stats.cspan(), .loss = loss.span(), .N = N});
    return {loss, stats};
  }
  Buffer<float> rows(std::int64_t begin, std::int64_t end) const {
    Buffer<float> stats(3 * ((end == kernels::kToTheLast ? N : end) - begin));
    backend::supcon_fwd({.f = f.cspan(),
                         .labels = labels.cspan(),
                         .stats = stats.span(),
                         .form = form,
                         .N = N,
                         .D = D,
                         .temperature = temperature,
                         .begin = begin,
                         .end = end});
    stats.check_guards("stats");
    return stats;
  }
  double loss() const {
    const auto r = forward();
    r.first.check_guards("loss");
    return std::as_const(r.first)[0];
  }
  Buffer<float> backward(float dloss, GradMode mode, Buffer<float> df) const {
    return backward(dloss, mode, std::move(df), forward().second);
  }
  Buffer<float> backward(float dloss, GradMode mode, Buffer<float> df, const Buffer<float>& stats, std::int64_t begin = 0, std::int64_t end = kernels::kToTheLast) const {
    const Buffer<float> d(1, dloss);
    backend::supcon_bwd({.dloss = d.cspan(),
                         .f = f.cspan(),
                         .labels = labels.cspan(),
                         .stats = stats.cspan(),
                         .df = df.span(),
                         .df_mode = mode,
                         .form = form,
                         .N = N,
                         .D = D,
                         .temperature = temperature,
                         .begin = begin,
                         .end = end});
    df.check_guards("df");
    return df;
  }

  // The definition, written without any of the kernel's rearrangements; features given in double.
  double reference(const std::vector<double>& x) const {
    const auto s = [&](std::int64_t i, std::int64_t j) {
      double dot = 0;
      for (std::int64_t k = 0; k < D; ++k) dot += x[std::size_t(i * D + k)] * x[std::size_t(j * D + k)];
      return dot / double(temperature);
    };
    double total = 0;
    for (std::int64_t i = 0; i < N; ++i) {
      double all = 0, positive = 0, weights = 0, logs = 0;
      for (std::int64_t j = 0; j < N; ++j)
        if (j != i) all += std::exp(s(i, j));
      for (std::int64_t j = 0; j < N; ++j) {
        if (j == i) continue;
        const double yi = labels[i], yj = labels[j];
        const double w = form == SupConForm::soft ? yi * yj + (1 - yi) * (1 - yj) : double(int(yi) == int(yj));
        positive += w * std::exp(s(i, j)), weights += w, logs += w * std::log(std::exp(s(i, j)) / all);
      }
      if (weights > 0) total += form == SupConForm::log_outside ? -std::log(positive / all) : -logs / weights;
    }
    return total / double(N);
  }
  void expect_right() const {
    std::vector<double> x, df;
    for (std::int64_t k = 0; k < N * D; ++k) x.push_back(f[k]);
    const auto [got_loss, stats] = forward();
    expect_close("loss", got_loss, {reference(x)}, 1e-6, 1e-7);
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double at = x[k], h = 1e-5;
      x[k] = at + h;
      const double up = reference(x);
      x[k] = at - h;
      df.push_back(2.5 * (up - reference(x)) / (2 * h));
      x[k] = at;
    }
    // stats are f32, so every q_ij carries a relative error of a few 1e-7; N terms of q_ij dloss / (N T) are summed.
    const double atol = 5e-7 * 2.5 / double(temperature);
    expect_close("df", backward(2.5f, GradMode::write, Buffer<float>(N * D), stats), df, 1e-6, atol);
    for (double& d : df) d += 8;
    expect_close("df added", backward(2.5f, GradMode::add, Buffer<float>(N * D, 8), stats), df, 1e-6, atol);
    expect_bitwise("df skipped", backward(2.5f, GradMode::skip, Buffer<float>(N * D, 8), stats),
                   Buffer<float>(N * D, 8));
  }
};
const SupConForm kForms[] = {SupConForm::log_outside, SupConForm::l_out, SupConForm::soft};

Batch equal_features(std::int64_t n, SupConForm form) {
  Batch b(n, 4, form);
  for (std::int64_t i = 0; i < n; ++i) {
    b.labels[i] = float(i % 2);
    for (int k = 0; k < 4; ++k) b.f[i * 4 + k] = k == 1;
  }
  return b;
}

}  // namespace

TEST_CASE("supcon: three forms, both passes against the definition in double") {
  for_each_variant([] {
    for (const SupConForm form : kForms)
      for (const auto& [n, d] : {std::pair{4, 1}, {2, 3}, {5, 17}, {13, 8}, {17, 9}, {6, 33}, {3, 300}})
        Batch(n, d, form).expect_right();
  });
}

// The gradient in closed form, because a difference quotient of the reference costs N^2 D for each of N D numbers.
TEST_CASE("supcon: batches longer than a tile of any kind, both passes against the definition in double") {
  for (const SupConForm form : kForms) {
    const Batch b(131, 5, form);
    const std::int64_t N = b.N, D = b.D;
    const double T = double(b.temperature);
    const auto zeros = [](std::int64_t n) { return std::vector<double>(static_cast<std::size_t>(n), 0.0); };
    std::vector<double> x, e = zeros(N * N), all = zeros(N), positive = all, weights = all, df = zeros(N * D);
    for (std::int64_t k = 0; k < N * D; ++k) x.push_back(b.f[k]);
    const auto w = [&](std::int64_t i, std::int64_t j) {
      const double yi = b.labels[i], yj = b.labels[j];
      return form == SupConForm::soft ? yi * yj + (1 - yi) * (1 - yj) : double(int(yi) == int(yj));
    };
    for (std::int64_t i = 0; i < N; ++i)
      for (std::int64_t j = 0; j < N; ++j) {
        if (j == i) continue;
        double dot = 0;
        for (std::int64_t k = 0; k < D; ++k) dot += x[std::size_t(i * D + k)] * x[std::size_t(j * D + k)];
        const double v = e[std::size_t(i * N + j)] = std::exp(dot / T);
        all[std::size_t(i)] += v, positive[std::size_t(i)] += w(i, j) * v, weights[std::size_t(i)] += w(i, j);
      }
    for (std::int64_t i = 0; i < N; ++i)
      for (std::int64_t j = 0; j < N; ++j) {
        if (j == i) continue;
        const double v = e[std::size_t(i * N + j)];
        const double pull = form == SupConForm::log_outside ? w(i, j) * v / positive[std::size_t(i)]
                                                            : w(i, j) / weights[std::size_t(i)];
        const double slope = (v / all[std::size_t(i)] - pull) / (double(N) * T);
        for (std::int64_t k = 0; k < D; ++k) {
          df[std::size_t(i * D + k)] += slope * x[std::size_t(j * D + k)];
          df[std::size_t(j * D + k)] += slope * x[std::size_t(i * D + k)];
        }
      }
    expect_close("loss", b.forward().first, {b.reference(x)}, 1e-6, 1e-7);
    expect_close("df", b.backward(1, GradMode::write, Buffer<float>(N * D)), df, 1e-6, 5e-7 / T);
  }
}

TEST_CASE("supcon: known answers for 64 equal features, half of each class") {
  CHECK(equal_features(64, SupConForm::log_outside).loss() == doctest::Approx(-std::log(31.0 / 63)).epsilon(1e-6));
  CHECK(equal_features(64, SupConForm::log_outside).loss() == doctest::Approx(0.7091).epsilon(1e-4));
  CHECK(equal_features(64, SupConForm::l_out).loss() == doctest::Approx(std::log(63.0)).epsilon(1e-6));
  CHECK(equal_features(64, SupConForm::soft).loss() == doctest::Approx(4.1431).epsilon(1e-5));
}

TEST_CASE("supcon: soft labels of 0 and 1 are the hard form; the hard forms take a label's integer part") {
  Batch hard(12, 5, SupConForm::l_out), soft = hard;
  soft.form = SupConForm::soft;
  CHECK(hard.loss() == soft.loss());
  expect_bitwise("df", hard.backward(1, GradMode::write, Buffer<float>(60)),
                 soft.backward(1, GradMode::write, Buffer<float>(60)));
  for (const SupConForm form : {SupConForm::log_outside, SupConForm::l_out}) {
    Batch mixed(12, 5, form), truncated = mixed;
    mixed.labels[3] = 0.99f, truncated.labels[3] = 0;  // an attack with a speck of a genuine face in it
    CHECK(mixed.loss() == truncated.loss());
    mixed.expect_right();
  }
}

TEST_CASE("supcon: an anchor without a positive adds nothing, and the mean stays over all rows") {
  for (const SupConForm form : {SupConForm::log_outside, SupConForm::l_out}) {
    Batch b(7, 5, form);
    for (int i = 0; i < 7; ++i) b.labels[i] = i == 2;
    b.expect_right();
    Batch alone(2, 3, form);  // nobody has a positive
    CHECK(alone.loss() == 0);
    expect_close("df", alone.backward(1, GradMode::write, Buffer<float>(6)), std::vector<double>(6, 0.0), 0, 1e-30);
    Batch one(1, 3, form);
    CHECK(one.loss() == 0);
  }
  Batch one(1, 3, SupConForm::soft);
  CHECK(one.loss() == 0);
  expect_close("df", one.backward(1, GradMode::write, Buffer<float>(3)), std::vector<double>(3, 0.0), 0, 1e-30);
}

TEST_CASE("supcon: similarities of 80 and 2000 stay finite") {
  for (const SupConForm form : kForms)
    for (const float t : {1.0f / 80, 1.0f / 2000}) {
      Batch b = equal_features(4, form);  // rows 0 and 2 of class 0, 1 and 3 of class 1
      b.temperature = t;
      for (int k = 0; k < 4; ++k)
        b.f[4 + k] = -(k == 1), b.f[8 + k] = -(k == 1);  // positives point away from each other
      // Every anchor: one positive at -1/t, one negative at -1/t, one negative at 1/t.
      CHECK(b.loss() == doctest::Approx(2 / double(t)).epsilon(1e-6));
      Buffer<float> df = b.backward(1, GradMode::write, Buffer<float>(16));
      for (const float d : df.span()) CHECK(std::isfinite(d));
    }
}

TEST_CASE("supcon does not depend on the order of the work") {
  for (const SupConForm form : kForms) {
    const Batch b(37, 65, form);
    expect_order_free([&] {
      const auto [loss, stats] = b.forward();
      return std::tuple{loss, stats, b.backward(1, GradMode::add, Buffer<float>(37 * 65, 1), stats)};
    });
  }
}

TEST_CASE("supcon: anchors shared out have the bits of one call for all, other rows' gradient is left alone") {
  const auto expect_shared = [](const Batch& b, const std::vector<std::pair<std::int64_t, std::int64_t>>& shares) {
    const std::int64_t N = b.N, D = b.D;
    const Buffer<float> stats = b.forward().second;
    const Buffer<float> all = b.backward(2, GradMode::write, Buffer<float>(N * D), stats), added = b.backward(2, GradMode::add, Buffer<float>(N * D, 8), stats);
    for (const auto& [begin, end] : shares) {
      Buffer<float> expected(3 * (end - begin)), written(N * D, 0), kept(N * D, 8);
      for (std::int64_t k = 3 * begin; k < 3 * end; ++k) expected[k - 3 * begin] = float(stats[k]);
      for (std::int64_t k = begin * D; k < end * D; ++k) written[k] = float(all[k]), kept[k] = float(added[k]);
      expect_bitwise("stats", b.rows(begin, end), expected);
      expect_bitwise("df", b.backward(2, GradMode::write, Buffer<float>(N * D), stats, begin, end), written);
      expect_bitwise("df added", b.backward(2, GradMode::add, Buffer<float>(N * D, 8), stats, begin, end), kept);
    }
  };
  for_each_variant([&] {
    for (const SupConForm form : kForms) expect_shared(Batch(7, 3, form), {{0, 3}, {3, 3}, {3, 4}, {4, 7}, {0, 0}, {7, 7}});
  });
  expect_shared(Batch(3, 300, SupConForm::log_outside), {{1, 2}});  // more columns than one pass takes
  expect_shared(Batch(131, 1, SupConForm::log_outside), {{127, 130}});  // more rows than a tile has
}

TEST_CASE("supcon gradient check through the normalisation, and names") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {6, 5}, 1);
  const std::vector<float> labels{0, 1, 0.2f, 1, 0, 0.9f};
  const Tensor y = Tensor::from_host(ctx, {6}, std::span<const float>(labels));
  for (const SupConForm form : kForms)
    check_gradients(
        {x}, [&] { return fn::supcon(fn::l2_normalize(x), y, form, 0.5f); }, 1e-3, 1e-3);
  CHECK(fn::supcon_form("log_outside") == SupConForm::log_outside);
  CHECK(fn::supcon_form("l_out") == SupConForm::l_out);
  CHECK(fn::supcon_form("soft") == SupConForm::soft);
  expect_throw("unknown supcon form 'out'", [&] { fn::supcon_form("out"); });
}

TEST_CASE("supcon explains wrong arguments") {
  Batch b(3, 4, SupConForm::l_out);
  Buffer<float> l(1), stats(9);
  expect_throw("f has 12 elements, expected [4, 4]", [&] {
    backend::supcon_fwd(
        {.f = b.f.cspan(), .labels = b.labels.cspan(), .stats = stats.span(), .N = 4, .D = 4});
  });
  expect_throw("stats has 1 elements, expected [3, 3]", [&] {
    backend::supcon_fwd({.f = b.f.cspan(), .labels = b.labels.cspan(), .stats = l.span(), .N = 3, .D = 4});
  });
  expect_throw("stats has 9 elements, expected [2, 3]", [&] {
    backend::supcon_fwd({.f = b.f.cspan(), .labels = b.labels.cspan(), .stats = stats.span(), .N = 3, .D = 4, .begin = 1});
  });
  for (const auto& [begin, end] : {std::pair{-1, 2}, {2, 1}, {2, 4}})
    expect_throw(str("anchors ", begin, " to ", end, " of 3"), [&] {
      backend::supcon_fwd({.f = b.f.cspan(), .labels = b.labels.cspan(), .stats = stats.span(), .N = 3, .D = 4, .begin = begin, .end = end});
    });
  expect_throw("stats has 9 elements, expected [2, 3]", [&] { backend::supcon_mean({.stats = stats.cspan(), .loss = l.span(), .N = 2}); });
  expect_throw("the loss has 9 elements", [&] { backend::supcon_mean({.stats = stats.cspan(), .loss = stats.span(), .N = 3}); });
  expect_throw("temperature 0", [&] {
    backend::supcon_fwd({.f = b.f.cspan(),
                         .labels = b.labels.cspan(),
                         .stats = stats.span(),
                         .N = 3,
                         .D = 4,
                         .temperature = 0});
  });
  expect_throw("the mean over 0 rows", [&] { backend::supcon_fwd({.D = 4}); });
  expect_throw("the mean over 0 rows", [&] { backend::supcon_mean({.loss = l.span()}); });
  Context ctx(device());
  expect_throw("expected features [N, D], got [3]",
               [&] { fn::supcon(Tensor::zeros(ctx, {3}), Tensor::zeros(ctx, {3}), SupConForm::l_out, 1); });
}
