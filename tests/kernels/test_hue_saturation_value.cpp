// tests/kernels/test_hue_saturation_value.cpp — HSV against its definition in double.
#include "kernels/hue_saturation_value/hue_saturation_value.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::ColorOrder;
using kernels::Hsv;
using kernels::hsv_to_rgb;
using kernels::Rgb;
using kernels::rgb_to_hsv;

namespace {

double hue_degrees(Rgb p) {
  const double r = p.r, g = p.g, b = p.b, v = std::max({r, g, b}), d = v - std::min({r, g, b});
  if (d == 0) return 0;
  const double h = v == r ? (g - b) / d : v == g ? 2 + (b - r) / d : 4 + (r - g) / d;
  return h < 0 ? 60 * h + 360 : 60 * h;
}

}  // namespace

TEST_CASE("hue_saturation_value: to HSV within rounding of the definition, for a grid of colours") {
  for (int r = 0; r < 256; r += 5)
    for (int g = 0; g < 256; g += 5)
      for (int b = 0; b < 256; b += 5) {
        const Rgb p{std::uint8_t(r), std::uint8_t(g), std::uint8_t(b)};
        const Hsv c = rgb_to_hsv(p);
        const int v = std::max({r, g, b}), d = v - std::min({r, g, b});
        REQUIRE(c.v == v);
        // Half a level, and a reciprocal's half unit of 2^-12 times 255 (saturation) or 6 x 255 (hue).
        REQUIRE(std::abs(c.s - (v ? 255.0 * d / v : 0)) < 0.532);
        const double dh = std::abs(c.h - hue_degrees(p) / 2);
        REQUIRE(std::min(dh, 180 - dh) < 0.687);
        REQUIRE(c.h < 180);
      }
}

TEST_CASE("hue_saturation_value: from HSV is the truncated definition, for every hue") {
  for (int h = 0; h < 180; ++h)
    for (int s = 0; s < 256; s += 3)
      for (int v = 0; v < 256; v += 5) {
        const double H = h / 30.0, S = s / 255.0;
        const auto channel = [&](int n) {  // the usual closed form: V - V S max(0, min(k, 4 - k, 1))
          const double k = std::fmod(n + H, 6.0);
          return v - v * S * std::max(0.0, std::min({k, 4 - k, 1.0}));
        };
        const Rgb p = hsv_to_rgb({std::uint8_t(h), std::uint8_t(s), std::uint8_t(v)});
        const int got[3] = {p.r, p.g, p.b};
        for (int c = 0; c < 3; ++c) {
          const double want = channel(5 - 2 * c);
          REQUIRE(got[c] >= std::floor(want - 1e-9));
          REQUIRE(got[c] <= std::floor(want + 1e-9));
        }
      }
}

TEST_CASE("hue_saturation_value: shifts wrap and clip, and truncate") {
  CHECK(kernels::hue_table(10)[175] == 5);
  CHECK(kernels::hue_table(-10)[5] == 175);
  CHECK(kernels::hue_table(-0.5f)[0] == 179);
  CHECK(kernels::hue_table(0.5f)[7] == 7);
  CHECK(kernels::hue_table(-1e-9f)[0] == 0);  // rounds to 180, which is 0
  CHECK(kernels::clipped_table(-3.5f)[3] == 0);
  CHECK(kernels::clipped_table(-3.5f)[10] == 6);
  CHECK(kernels::clipped_table(9.9f)[250] == 255);
}

TEST_CASE("hue_saturation_value: primaries turn, and bgr order turns them the other way") {
  const Rgb red{200, 0, 0};
  const auto turned = [&](float hue, ColorOrder order) {
    Bytes image(3);
    image.span()[0] = red.r, image.span()[1] = red.g, image.span()[2] = red.b;
    backend::hue_saturation_value({image.span(), hue, 0, 0, order});
    image.check_guards("image");
    return Rgb{std::uint8_t(image[0]), std::uint8_t(image[1]), std::uint8_t(image[2])};
  };
  CHECK(turned(60, ColorOrder::rgb) == Rgb{0, 200, 0});
  CHECK(turned(60, ColorOrder::bgr) == Rgb{0, 0, 200});
  CHECK(turned(15, ColorOrder::rgb) == Rgb{200, 100, 0});  // towards yellow
  CHECK(turned(15, ColorOrder::bgr) == Rgb{200, 0, 100});  // towards magenta
  CHECK(turned(0, ColorOrder::bgr) == red);
}

TEST_CASE("hue_saturation_value: the CPU's bits for every shift, wherever the image begins") {
  const Bytes before = Bytes::random(3 * 1031, 5);
  for (float shift : {0.0f, -0.49f, 13.7f, -40.2f, 179.99f, -300.0f})
    for (auto order : {ColorOrder::rgb, ColorOrder::bgr}) {
      const auto want = changed(before, 0, [&](auto image) {
        kernels::cpu::hue_saturation_value({image, shift, 0.4f * shift, -0.3f * shift, order});
      });
      for (const int at : {0, 1, 4})
        CHECK(want == changed(before, at, [&](auto image) {
                backend::hue_saturation_value({image, shift, 0.4f * shift, -0.3f * shift, order});
              }));
    }
}

TEST_CASE("hue_saturation_value: every pixel of an image, each by the one-pixel functions") {
  for (std::int64_t pixels : {0, 1, 17, 33, 1009, 1031}) {
    const Bytes before = Bytes::random(3 * pixels, 4);
    for (auto order : {ColorOrder::rgb, ColorOrder::bgr}) for_each_order([&] {
      Bytes image = before;
      backend::hue_saturation_value({image.span(), 7.3f, -8.1f, 4.4f, order});
      image.check_guards("image");
      const auto h = kernels::hue_table(7.3f), s = kernels::clipped_table(-8.1f), v = kernels::clipped_table(4.4f);
      const int first = order == ColorOrder::rgb ? 0 : 2;
      for (std::int64_t i = 0; i < 3 * pixels; i += 3) {
        const Hsv c = rgb_to_hsv(
            {std::uint8_t(before[i + first]), std::uint8_t(before[i + 1]), std::uint8_t(before[i + 2 - first])});
        const Rgb p = hsv_to_rgb({h[c.h], s[c.s], v[c.v]});
        REQUIRE(Rgb{std::uint8_t(image[i + first]), std::uint8_t(image[i + 1]), std::uint8_t(image[i + 2 - first])} ==
                p);
      }
    });
  }
  Bytes image(4);
  expect_throw("4 bytes are not RGB", [&] { backend::hue_saturation_value({image.span(), 1, 1, 1}); });
  Bytes fine(3);
  expect_throw("shifts 1, inf", [&] { backend::hue_saturation_value({fine.span(), 1, HUGE_VALF, 1}); });
}
