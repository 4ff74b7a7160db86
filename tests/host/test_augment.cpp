// tests/host/test_augment.cpp — crop rule, draws, and the whole path from photograph to sample.
#include "data/augment.h"
#include "kernels/brightness_contrast/brightness_contrast.h"
#include "kernels/flip/flip.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("crop: the published rule") {
  CHECK(crop_rect({40, 50, 80, 100}, 1.0f, 200, 200) == CropRect{40, 50, 80, 100});
  // Centre (60, 75), 48 x 60: 36..84, 45..105.
  CHECK(crop_rect({40, 50, 80, 100}, 1.2, 200, 200) == CropRect{36, 45, 84, 105});  // float 1.2 would be a little more
  CHECK(crop_rect({40, 50, 80, 100}, 1.25f, 200, 200) == CropRect{35, 43, 85, 106});  // 43.75 and 106.25, truncated
  CHECK(crop_rect({0, 0, 40, 40}, 1.5f, 50, 45) == CropRect{0, 0, 50, 45});           // clamped
  CHECK(crop_rect({1, 1, 5, 5}, 1.75f, 50, 50) == CropRect{0, 0, 6, 6});              // -0.5 truncates to 0
}

TEST_CASE("crop: a detector's box as the published files have it") {
  const auto is = [](const Box& b, float x1, float y1, float x2, float y2) { return b.x1 == x1 && b.y1 == y1 && b.x2 == x2 && b.y2 == y2; };
  CHECK(is(published_box({10.9f, 20.1f, 50.99f, 60}, 100, 80), 10, 20, 50, 60));  // truncated, not rounded
  CHECK(is(published_box({-3.5f, -0.5f, 120, 90.5f}, 100, 80), 0, 0, 99, 79));    // clipped to the last pixel
  CHECK(is(published_box({98.5f, 78.9f, 200, 200}, 100, 80), 98, 78, 99, 79));
  CHECK_FALSE(published_box({99.5f, 10, 200, 20}, 100, 80).valid());  // beside
  CHECK_FALSE(published_box({10.2f, 10, 10.9f, 20}, 100, 80).valid());  // less than a pixel
  CHECK_FALSE(published_box({-30, -20, -1, -1}, 100, 80).valid());
  CHECK(is(published_box({-30, -20, -1, -1}, 100, 80), -1, -1, -1, -1));
  CHECK(is(published_box({-1e30f, -1e30f, 1e30f, 1e30f}, 100, 80), 0, 0, 99, 79));
}

TEST_CASE("crop: no box, or nothing left of it, is the whole image") {
  const CropRect whole{0, 0, 60, 30};
  CHECK(crop_rect({}, 1.2, 60, 30) == whole);
  CHECK(crop_rect({10, 10, 10, 20}, 1.2, 60, 30) == whole);
  CHECK(crop_rect({100, 100, 120, 120}, 1.2, 60, 30) == whole);          // outside
  CHECK(crop_rect({100, 5, 120, 20}, 1.2, 60, 30) == whole);             // beside
  CHECK(crop_rect({10, 100, 20, 120}, 1.2, 60, 30) == whole);            // below
  CHECK(crop_rect({10.2f, 10.2f, 10.4f, 10.4f}, 1.0f, 60, 30) == whole);  // less than a pixel
  CHECK(crop_rect({10, 5, 3e30f, 3e30f}, 1.2, 60, 30) == whole);         // absurd
  expect_throw("margin 0", [] { crop_rect({1, 1, 2, 2}, 0, 60, 30); });
  expect_throw("image 30 x 0", [] { crop_rect({1, 1, 2, 2}, 1, 0, 30); });
  expect_throw("image 0 x 60", [] { crop_rect({1, 1, 2, 2}, 1, 60, 0); });
}

TEST_CASE("augment: draws have the published probabilities and ranges") {
  int flip = 0, bc = 0, hsv = 0, jpeg = 0, both = 0, qualities[61] = {};
  double lowest = 1, highest = -1, sum = 0;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    Random random(seed(), "augment", 3, std::uint64_t(i));
    const AugmentDraw d = draw_augment(random, {});
    flip += d.flip, bc += d.brightness_contrast, hsv += d.hue_saturation_value, jpeg += d.jpeg,
        both += d.flip && d.jpeg;
    REQUIRE(d.jpeg_quality >= 40);
    REQUIRE(d.jpeg_quality <= 60);
    ++qualities[d.jpeg_quality];
    for (float v : {(d.alpha - 1) * 10, d.beta * 10, d.hue / 10, d.saturation / 10, d.value / 10}) {
      REQUIRE(std::abs(v) <= 1.0001f);
      lowest = std::min(lowest, double(v)), highest = std::max(highest, double(v)), sum += v;
    }
  }
  const auto near = [&](int count, double p) { return std::abs(count - n * p) < 4.5 * std::sqrt(n * p * (1 - p)); };
  CHECK(near(flip, 0.5));
  CHECK(near(bc, 0.1));
  CHECK(near(hsv, 0.1));
  CHECK(near(jpeg, 0.3));
  CHECK(near(both, 0.15));  // the coins are independent
  CHECK(near(qualities[40], 1.0 / 21));
  CHECK(near(qualities[60], 1.0 / 21));
  CHECK(lowest < -0.999);
  CHECK(highest > 0.999);
  CHECK(std::abs(sum / (5 * n)) < 0.01);
}

TEST_CASE("augment: changing one probability leaves the other draws as they were") {
  for (std::uint64_t i = 0; i < 50; ++i) {
    Random r1(7, "augment", 0, i), r2(7, "augment", 0, i);
    AugmentSettings never;
    never.brightness_contrast_p = 0, never.hue_saturation_value_p = 0;
    const AugmentDraw a = draw_augment(r1, {}), b = draw_augment(r2, never);
    CHECK(!b.brightness_contrast);
    CHECK(a.flip == b.flip);
    CHECK(a.jpeg == b.jpeg);
    CHECK(a.jpeg_quality == b.jpeg_quality);
    CHECK(a.hue == b.hue);
  }
}

TEST_CASE("augment: operations run on the crop, in the published order, before the resize") {
  const Image photo = scene(120, 140, 1);
  const Box box{30, 20, 100, 90};
  AugmentDraw d;
  d.flip = d.brightness_contrast = d.hue_saturation_value = d.jpeg = true;
  d.alpha = 1.08f, d.beta = -0.07f, d.hue = 6.5f, d.saturation = -9, d.value = 3, d.jpeg_quality = 45;
  for (auto order : {ColorOrder::rgb, ColorOrder::bgr}) {
    const CropRect r = crop_rect(box, 1.2, photo.width, photo.height);
    Image crop(r.height(), r.width());
    for (int y = 0; y < crop.height; ++y)
      for (int x = 0; x < crop.width; ++x)
        for (int c = 0; c < 3; ++c) crop.at(y, x)[c] = photo.at(r.y1 + y, r.x1 + x)[c];
    kernels::cpu::flip({crop.pixels, crop.height, crop.width});
    kernels::cpu::brightness_contrast({crop.pixels, d.alpha, d.beta});
    kernels::cpu::hue_saturation_value({crop.pixels, d.hue, d.saturation, d.value, order});
    kernels::cpu::jpeg_round_trip({crop.pixels, crop.height, crop.width, d.jpeg_quality});
    Bytes want(3 * 64 * 56), got(3 * 64 * 56);
    kernels::cpu::crop_resize(
        {crop.pixels, crop.height, crop.width, 0, {0, 0, crop.width, crop.height}, want.span(), 64, 56});
    make_sample(photo, box, 1.2, d, {order}, 64, 56, got.span());
    got.check_guards("sample");
    CHECK(want == got);
    Bytes for_loader(3 * 64 * 56);
    SampleDraw draw;
    draw.margin = 1.2, draw.augment = d;
    sample_maker({order})(photo, box, draw, 64, 56, for_loader.span().ptr);
    CHECK(want == for_loader);
  }
}

TEST_CASE("augment: each flag switches its own operation on, and none of them is the plain crop") {
  const Image photo = scene(80, 90, 2);
  const auto sample = [&](const AugmentDraw& d) {
    Bytes out(3 * 48 * 48);
    make_sample(photo, {20, 10, 70, 60}, 1.1f, d, {}, 48, 48, out.span());
    return out;
  };
  AugmentDraw none;
  none.alpha = 1.1f, none.beta = 0.1f, none.hue = none.saturation = none.value = 10,
  none.jpeg_quality = 40;  // drawn, not on
  const Bytes plain = sample(none);
  CHECK(plain == sample({}));
  for (bool AugmentDraw::*flag : {&AugmentDraw::flip, &AugmentDraw::brightness_contrast,
                                  &AugmentDraw::hue_saturation_value, &AugmentDraw::jpeg}) {
    AugmentDraw one = none;
    one.*flag = true;
    CHECK(!(sample(one) == plain));
  }
  Bytes out(10);
  expect_throw("10 bytes for an output of 48 x 48", [&] { make_sample(photo, {}, 1, {}, {}, 48, 48, out.span()); });
  expect_throw("empty image", [&] { make_sample({}, {}, 1, {}, {}, 48, 48, out.span()); });
}

TEST_CASE("augment: the bits of a known sample do not change") {
  // Recorded from this code once it agreed with OpenCV and libjpeg-turbo; every machine and every later version must
  // repeat it.
  AugmentDraw d;
  d.flip = d.brightness_contrast = d.hue_saturation_value = d.jpeg = true;
  d.alpha = 0.93f, d.beta = 0.04f, d.hue = -6.25f, d.saturation = 7.5f, d.value = -2.5f, d.jpeg_quality = 51;
  Bytes out(3 * 112 * 96);
  make_sample(formula_image(150, 170), {31, 22, 131, 121}, 1.2, d, {ColorOrder::bgr}, 112, 96, out.span());
  const auto bytes = out.cspan();
  CHECK(hash_name({reinterpret_cast<const char*>(bytes.ptr), std::size_t(bytes.len)}) == 11338190396271912881ull);
}
