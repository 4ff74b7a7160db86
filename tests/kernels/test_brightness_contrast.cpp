// tests/kernels/test_brightness_contrast.cpp — the table of brightness and contrast.
#include "kernels/brightness_contrast/brightness_contrast.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;

TEST_CASE("brightness_contrast: truncated, clipped, and equal to the definition in double except at integers") {
  for (float alpha : {0.9f, 0.97f, 1.0f, 1.03f, 1.1f, 3.0f, 0.0f, -1.0f})
    for (float beta : {-0.1f, -0.0371f, 0.0f, 0.05f, 0.1f}) {
      Bytes image = Bytes::random(1009, 1);
      const Bytes before = image;
      backend::brightness_contrast({image.span(), alpha, beta});
      image.check_guards("image");
      for (std::int64_t i = 0; i < image.size(); ++i) {
        const double exact = std::clamp(double(before[i]) * alpha + double(beta) * 255, 0.0, 255.0);
        const double slack = 1e-4;  // f32 may fall on the other side of an integer this near
        REQUIRE(image[i] >= std::floor(exact - slack));
        REQUIRE(image[i] <= std::floor(exact + slack));
      }
    }
}

TEST_CASE("brightness_contrast: the CPU's bits, wherever the image begins") {
  for (std::int64_t n : {0, 1, 15, 16, 17, 4095, 5003})
    for (float alpha : {0.93f, 1.0417f, -2.0f}) {
      const Bytes before = Bytes::random(n, 2);
      const auto want = changed(before, 0, [&](auto image) { kernels::cpu::brightness_contrast({image, alpha, 0.031f}); });
      for (const int shift : {0, 1}) for_each_order([&] {
        CHECK(want == changed(before, shift, [&](auto image) { backend::brightness_contrast({image, alpha, 0.031f}); }));
      });
    }
}

TEST_CASE("brightness_contrast: known values") {
  const auto same = kernels::brightness_contrast_table(1, 0);
  for (int v = 0; v < 256; ++v) REQUIRE(same[std::size_t(v)] == v);
  const auto t = kernels::brightness_contrast_table(1.1f, 0.1f);  // 1.1 v + 25.5
  CHECK(t[0] == 25);
  CHECK(t[1] == 26);
  CHECK(t[100] == 135);
  CHECK(t[208] == 254);
  CHECK(t[209] == 255);
  CHECK(t[255] == 255);
  CHECK(kernels::brightness_contrast_table(0.9f, -0.1f)[28] == 0);
  CHECK(kernels::brightness_contrast_table(0.9f, -0.1f)[30] == 1);
  Bytes image(3);
  expect_throw("alpha nan", [&] { backend::brightness_contrast({image.span(), std::nanf(""), 0}); });
}
