// tests/kernels/test_crop_resize.cpp — the integer bilinear resize against the definition in double.
#include "kernels/crop_resize/crop_resize.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::CropResize;
using kernels::Rect;

namespace {

// Bilinear interpolation at pixel centres, the rectangle's border repeated.
double reference(Span<const std::uint8_t> image, std::int64_t stride, const Rect& r, int oh, int ow, int y, int x,
                 int c) {
  const double fy = (y + 0.5) * r.height() / oh - 0.5, fx = (x + 0.5) * r.width() / ow - 0.5;
  const auto pixel = [&](int py, int px) {
    py = r.y1 + std::clamp(py, 0, r.height() - 1), px = r.x1 + std::clamp(px, 0, r.width() - 1);
    return double(image[py * stride + 3 * px + c]);
  };
  const int y0 = int(std::floor(fy)), x0 = int(std::floor(fx));
  const double wy = fy - y0, wx = fx - x0;
  return (1 - wy) * ((1 - wx) * pixel(y0, x0) + wx * pixel(y0, x0 + 1)) +
         wy * ((1 - wx) * pixel(y0 + 1, x0) + wx * pixel(y0 + 1, x0 + 1));
}

}  // namespace

TEST_CASE("crop_resize: within one level of the definition, for any rectangle, size and stride") {
  unsigned salt = 0;
  double bias = 0, count = 0;
  for (auto [h, w] : {std::pair{1, 1}, {1, 17}, {33, 2}, {47, 59}, {120, 90}})
    for (std::int64_t extra : {0, 5}) {
      const std::int64_t stride = 3 * w + extra;
      const Bytes image = Bytes::random(stride * (h - 1) + 3 * w, ++salt);  // the last row has no padding
      for (const Rect& r : {Rect{0, 0, w, h}, Rect{w / 3, h / 4, w / 3 + (w + 1) / 2, h / 4 + (h + 2) / 3}})
        for (auto [oh, ow] : {std::pair{1, 1}, {17, 33}, {64, 31}, {7, 96}}) {
          Bytes out(3LL * oh * ow);
          backend::crop_resize({image.cspan(), h, w, extra ? stride : 0, r, out.span(), oh, ow});
          out.check_guards("out");
          double worst = 0;
          for (int y = 0; y < oh; ++y)
            for (int x = 0; x < ow; ++x)
              for (int c = 0; c < 3; ++c) {
                const double d = out[3LL * (y * ow + x) + c] - reference(image.cspan(), stride, r, oh, ow, y, x, c);
                worst = std::max(worst, std::abs(d)), bias += d, ++count;
              }
          CHECK(worst < 1.0);
        }
    }
  CHECK(std::abs(bias / count) < 0.15);  // OpenCV's arithmetic darkens by 0.09 of a level; without rounding it were 0.6
}

TEST_CASE("crop_resize: the rectangle at its own size is copied exactly, and nothing around it matters") {
  Bytes image = Bytes::random(3 * 40 * 50, 1), out(3 * 20 * 30), again(3 * 20 * 30);
  const Rect r{7, 11, 37, 31};
  backend::crop_resize({image.cspan(), 40, 50, 0, r, out.span(), 20, 30});
  for (int y = 0; y < 20; ++y)
    for (int i = 0; i < 90; ++i) REQUIRE(out[90 * y + i] == image[150 * (11 + y) + 21 + i]);
  Bytes larger(3 * 64 * 64), larger_again(3 * 64 * 64);
  backend::crop_resize({image.cspan(), 40, 50, 0, r, larger.span(), 64, 64});
  for (int y = 0; y < 40; ++y)
    for (int x = 0; x < 50; ++x)
      if (y < r.y1 || y >= r.y2 || x < r.x1 || x >= r.x2)
        for (int c = 0; c < 3; ++c) image.span()[3 * (50 * y + x) + c] ^= 0xFF;
  backend::crop_resize({image.cspan(), 40, 50, 0, r, larger_again.span(), 64, 64});
  CHECK(larger == larger_again);
}

TEST_CASE("crop_resize: halving averages four pixels, and a constant stays constant") {
  Bytes image = Bytes::random(3 * 16 * 16, 2), out(3 * 8 * 8);
  backend::crop_resize({image.cspan(), 16, 16, 0, {0, 0, 16, 16}, out.span(), 8, 8});
  for (int y = 0; y < 8; ++y)
    for (int x = 0; x < 8; ++x)
      for (int c = 0; c < 3; ++c) {
        const int i = 3 * (32 * y + 2 * x) + c;
        REQUIRE(out[3 * (8 * y + x) + c] == (image[i] + image[i + 3] + image[i + 48] + image[i + 51] + 2) / 4);
      }
  for (int level : {0, 1, 254, 255}) {
    Bytes flat(3 * 5 * 7, std::uint8_t(level)), large(3 * 41 * 43);
    backend::crop_resize({flat.cspan(), 5, 7, 0, {0, 0, 7, 5}, large.span(), 41, 43});
    for (std::int64_t i = 0; i < large.size(); ++i) REQUIRE(large[i] == level);
  }
}

TEST_CASE("crop_resize: the CPU's bits, for any rectangle, size and stride") {
  for (auto [h, w] : {std::pair{1, 1}, {1, 17}, {33, 2}, {47, 59}})
    for (std::int64_t extra : {0, 7}) {
      const std::int64_t stride = 3 * w + extra;
      const Bytes image = Bytes::random(stride * (h - 1) + 3 * w, unsigned(7 * h + w));
      for (const Rect& r : {Rect{0, 0, w, h}, Rect{w / 3, h / 4, w / 3 + (w + 1) / 2, h / 4 + (h + 2) / 3}})
        for (auto [oh, ow] : {std::pair{1, 1}, {8, 32}, {9, 33}, {61, 20}}) for_each_order([&, h = h, w = w, oh = oh, ow = ow] {
          Bytes want(3LL * oh * ow), got(3LL * oh * ow);
          kernels::cpu::crop_resize({image.cspan(), h, w, stride, r, want.span(), oh, ow});
          backend::crop_resize({image.cspan(), h, w, extra ? stride : 0, r, got.span(), oh, ow});
          CHECK(got == want);
        });
    }
}

TEST_CASE("crop_resize: wrong arguments are explained") {
  Bytes image(3 * 10 * 12), out(3 * 4 * 4);
  const auto run = [&](auto change) {
    CropResize a{image.cspan(), 10, 12, 0, {0, 0, 12, 10}, out.span(), 4, 4};
    change(a);
    backend::crop_resize(a);
  };
  run([](CropResize&) {});
  expect_throw("empty or leaves", [&] { run([](CropResize& a) { a.crop = {3, 3, 3, 5}; }); });
  expect_throw("empty or leaves", [&] { run([](CropResize& a) { a.crop = {0, 0, 13, 10}; }); });
  expect_throw("empty or leaves", [&] { run([](CropResize& a) { a.crop = {-1, 0, 12, 10}; }); });
  expect_throw("360 bytes for an image of 11 x 12", [&] { run([](CropResize& a) { a.height = 11; }); });
  expect_throw("stride 35", [&] { run([](CropResize& a) { a.stride = 35; }); });
  expect_throw("48 bytes for an output of 5 x 4", [&] { run([](CropResize& a) { a.out_height = 5; }); });
}
