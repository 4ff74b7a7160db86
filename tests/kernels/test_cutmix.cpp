// tests/kernels/test_cutmix.cpp — the drawn rectangle, the pasting, the labels.
#include <algorithm>
#include <set>

#include "data/cutmix.h"
#include "kernels/cutmix/cutmix.h"
#include "layers/functional/cutmix.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Every element of every image has a value of its own (mod 251 for u8). `offset`: elements that lie before the images,
// so that they do not begin where a vector may.
template <class T>
std::vector<T> numbered(std::int64_t n, std::int64_t offset) {
  std::vector<T> v(std::size_t(offset), T(0.0f));
  for (std::int64_t i = 0; i < n; ++i) v.push_back(T(float(i % 251)));
  return v;
}
template <class T>
double value(T v) {
  if constexpr (std::is_same_v<T, std::uint8_t>)
    return v;
  else
    return double(to_f32(v));
}

struct Case {
  std::int64_t M, H, W, C;
  std::vector<std::int32_t> partner;
  int x1, y1, x2, y2;
};
const std::vector<Case> kCases = {{3, 5, 7, 3, {2, 0, 1}, 2, 1, 5, 4},   {3, 5, 7, 3, {2, 2, 2}, 0, 0, 7, 5},
                                  {2, 4, 4, 1, {1, 0}, 3, 2, 3, 4},      {4, 3, 33, 3, {3, 1}, 32, 2, 33, 3},
                                  {1, 1, 1, 1, {0}, 0, 0, 1, 1},         {2, 3, 3, 2, {}, 0, 0, 1, 1},
                                  {3, 5, 32, 3, {1, 2, 0}, 3, 1, 21, 4}, {2, 3, 256, 3, {1, 0}, 100, 0, 101, 3}};

template <class T>
std::vector<T> paste(const Case& c, const std::vector<T>& image, std::int64_t offset) {
  const std::int64_t all = c.M * c.H * c.W * c.C, n = std::int64_t(c.partner.size()) * c.H * c.W * c.C;
  std::vector<T> out(std::size_t(offset + all) + 8, T(7.0f));  // rows beyond N and guards stay as they are
  backend::cutmix<T>({.image = {image.data() + offset, all},
                      .partner = c.partner,
                      .out = {out.data() + offset, n},
                      .M = c.M,
                      .H = c.H,
                      .W = c.W,
                      .C = c.C,
                      .x1 = c.x1,
                      .y1 = c.y1,
                      .x2 = c.x2,
                      .y2 = c.y2});
  for (std::int64_t i = 0; i < std::int64_t(out.size()); ++i)
    if (i < offset || i >= offset + n) REQUIRE(value(out[std::size_t(i)]) == 7);
  return {out.begin() + offset, out.begin() + offset + n};
}

std::vector<SampleDraw> samples(std::int64_t n) {
  std::vector<SampleDraw> v(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) v[std::size_t(i)].label = float((i + 1) % 2);
  return v;
}
CutMixDraw draw(std::uint64_t step, const CutMixSettings& s, std::int64_t n = 64) {
  Random random(42, "cutmix", step);
  return draw_cutmix(random, s, samples(n));
}

}  // namespace

TEST_CASE_TEMPLATE("cutmix: the rectangle is the partner's, everything else the image's own", T, std::uint8_t, float,
                   bf16) {
  for_each_order([] {
    for (const Case& c : kCases)
      for (const std::int64_t offset : {0, 1}) {
        const auto image = numbered<T>(c.M * c.H * c.W * c.C, offset);
        const std::vector<T> out = paste(c, image, offset);
        std::int64_t at = 0, wrong = 0;
        for (std::size_t n = 0; n < c.partner.size(); ++n)
          for (std::int64_t y = 0; y < c.H; ++y)
            for (std::int64_t x = 0; x < c.W; ++x)
              for (std::int64_t k = 0; k < c.C; ++k, ++at) {
                const bool inside = c.x1 <= x && x < c.x2 && c.y1 <= y && y < c.y2;
                const std::int64_t source = inside ? c.partner[n] : std::int64_t(n);
                wrong += value(out[std::size_t(at)]) !=
                         value(image[std::size_t(offset + ((source * c.H + y) * c.W + x) * c.C + k)]);
              }
        REQUIRE(wrong == 0);
      }
  });
}

TEST_CASE("cutmix labels: no area leaves them, the whole area exchanges them, two attacks stay exactly 1") {
  const std::vector<float> y{1, 0, 1, 0.25f};
  const std::vector<std::int32_t> partner{1, 2, 0, 3};
  const auto mix = [&](float keep) {
    std::vector<float> out(4);
    backend::cutmix_labels({.labels = y, .partner = partner, .mixed = out, .keep = keep});
    return out;
  };
  CHECK(mix(1) == y);
  CHECK(mix(0) == std::vector<float>{0, 1, 1, 0.25f});
  CHECK(mix(0.75f) == std::vector<float>{0.75f, 0.25f, 1, 0.25f});
  const std::int64_t pixels = 224 * 224, step = kEmulated ? 224 : 1;
  for (std::int64_t area = 0; area <= pixels; area += step)
    REQUIRE(mix(float(1 - double(area) / double(pixels)))[2] == 1.0f);
}

TEST_CASE("draw_cutmix: boxes lie in the image, keep is the share outside, partners are a permutation") {
  CutMixSettings s;
  s.probability = 1, s.height = 96, s.width = 160;
  int full = 0, empty = 0, cut_off = 0;
  for (std::uint64_t step = 0; step < 2000; ++step) {
    const CutMixDraw d = draw(step, s);
    REQUIRE(d.on);
    REQUIRE((0 <= d.x1 && d.x1 <= d.x2 && d.x2 <= 160 && 0 <= d.y1 && d.y1 <= d.y2 && d.y2 <= 96));
    const int w = d.x2 - d.x1, h = d.y2 - d.y1;
    REQUIRE(d.keep == float(1 - double(w * h) / (96.0 * 160)));
    if (d.x1 > 0 && d.x2 < 160 && d.y1 > 0 && d.y2 < 96)
      REQUIRE((w % 2 == 0 && h % 2 == 0 && std::abs(w / 160.0 - h / 96.0) < 3.0 / 96));  // the image's aspect
    else
      ++cut_off;
    auto p = d.partner;
    std::sort(p.begin(), p.end());
    for (std::int32_t i = 0; i < 64; ++i) REQUIRE(p[std::size_t(i)] == i);
    full += d.keep < 0.1f, empty += d.keep == 1;
  }
  CHECK(full > 0);
  CHECK(empty > 0);
  CHECK(cut_off > 500);
}

TEST_CASE("draw_cutmix: the expected area is that of a Beta share around a uniform centre") {
  // A side r of the image around a uniform centre covers r - r^2 / 4 of an axis on average, and r^2 is Beta(a, a). So
  // the expected area is E[(r - r^2 / 4)^2] = E[u] - E[u^1.5] / 2 + E[u^2] / 16: 0.314 for a = 0.592, 0.321 for a = 1.
  const double a = 0.592;
  const auto moment = [&](double k) {
    return std::tgamma(a + k) * std::tgamma(2 * a) / (std::tgamma(2 * a + k) * std::tgamma(a));
  };
  const double area = moment(1) - moment(1.5) / 2 + moment(2) / 16;
  CutMixSettings s;
  s.probability = 1, s.height = s.width = 100000;  // no rounding to speak of
  double keep = 0;
  const int n = 20000;
  for (int step = 0; step < n; ++step) keep += draw(std::uint64_t(step), s, 1).keep;
  CHECK(std::abs(keep / n - (1 - area)) < 0.005);
}

TEST_CASE("draw_cutmix: the coin has its probability, the draw its stream") {
  CutMixSettings s;
  int on = 0;
  for (std::uint64_t step = 0; step < 4000; ++step) on += draw(step, s, 4).on;
  CHECK(std::abs(on / 4000.0 - 0.3) < 0.03);
  s.probability = 0;
  CHECK_FALSE(draw(1, s).on);
  s.probability = 1;
  const CutMixDraw a = draw(5, s), b = draw(5, s), c = draw(6, s);
  CHECK(a.partner == b.partner);
  CHECK((a.x1 == b.x1 && a.y2 == b.y2 && a.keep == b.keep));
  CHECK(a.partner != c.partner);
  int moved = 0;
  for (std::size_t i = 0; i < 64; ++i) moved += a.partner[i] % 2 != std::int32_t(i % 2);
  CHECK(moved > 10);  // `any` crosses classes
}

TEST_CASE("draw_cutmix: same_class exchanges within the class only; a single image is its own partner") {
  CutMixSettings s;
  s.probability = 1, s.partner = "same_class";
  const CutMixDraw d = draw(3, s);
  std::set<std::int32_t> seen;
  bool moved = false;
  for (std::size_t i = 0; i < 64; ++i) {
    CHECK(d.partner[i] % 2 == std::int32_t(i % 2));
    moved |= d.partner[i] != std::int32_t(i);
    seen.insert(d.partner[i]);
  }
  CHECK(seen.size() == 64);
  CHECK(moved);
  CHECK(draw(3, s, 1).partner == std::vector<std::int32_t>{0});
  CHECK_FALSE(draw(3, s, 0).on);
}

TEST_CASE("cutmix on tensors, and wrong arguments explained") {
  Context ctx(device());
  const std::vector<std::int32_t> p{1, 0};
  const Tensor partner = Tensor::from_host(ctx, {2}, std::span<const std::int32_t>(p));
  const std::vector<std::uint8_t> pixels{1, 2, 3, 4, 5, 6};
  const Tensor images = Tensor::from_host(ctx, {3, 1, 2, 1}, std::span<const std::uint8_t>(pixels));
  const Tensor out = fn::cutmix(images, partner, {.x1 = 1, .y1 = 0, .x2 = 2, .y2 = 1});
  CHECK(out.shape() == Shape{2, 1, 2, 1});
  CHECK(out.to_host() == std::vector<float>{1, 4, 3, 2});
  CHECK(fn::cutmix(Tensor::full(ctx, {2, 2, 2, 1}, 3, DType::bf16), partner, {}).to_host() ==
        std::vector<float>(8, 3.0f));
  const std::vector<float> labels{1, 0, 0};
  CHECK(fn::cutmix_labels(Tensor::from_host(ctx, {3}, std::span<const float>(labels)), partner, 0.75f).to_host() ==
        std::vector<float>{0.75f, 0.25f});

  expect_throw("box 1, 0 to 3, 1 in 2 x 1", [&] { fn::cutmix(images, partner, {.x1 = 1, .y1 = 0, .x2 = 3, .y2 = 1}); });
  std::vector<float> x(8);
  if constexpr (!kCuda) {  // which cannot read the partners before it has launched
    const std::vector<std::int32_t> bad{1, 3};
    expect_throw("partner[1] = 3 of 3 images",
                 [&] { fn::cutmix(images, Tensor::from_host(ctx, {2}, std::span<const std::int32_t>(bad)), {}); });
    std::vector<float> mixed(2);
    expect_throw("partner[1] = 3 of 3 images", [&] {
      backend::cutmix_labels({.labels = Span<const float>(x).slice(0, 3), .partner = bad, .mixed = mixed});
    });
  }
  expect_throw("out overlaps image",
               [&] { backend::cutmix<float>({.image = x, .partner = p, .out = x, .M = 2, .H = 2, .W = 2, .C = 1}); });
  expect_throw("expected [M, H, W, C], got [8]", [&] { fn::cutmix(Tensor::zeros(ctx, {8}), partner, {}); });
  expect_throw("get no gradient", [&] { fn::cutmix(Tensor::zeros(ctx, {2, 2, 2, 1}).require_grad(), partner, {}); });
  expect_throw("keep 2", [&] { fn::cutmix_labels(Tensor::zeros(ctx, {3}), partner, 2); });
  CutMixSettings s;
  s.partner = "other";
  expect_throw("cutmix_partner is 'other'", [&] { draw(0, s); });
  s = {}, s.alpha = 0;
  expect_throw("cutmix_alpha is 0", [&] { draw(0, s); });
  s = {}, s.probability = 2;
  expect_throw("cutmix_prob is 2", [&] { draw(0, s); });
}
