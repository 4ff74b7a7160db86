// tests/kernels/test_jpeg_round_trip.cpp — the JPEG round trip against a double-precision one written here from the
// standard. Its bits are compared with libjpeg's in tests/images/test_augment_opencv.cpp.
#include <numbers>

#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::QuantTable;

namespace {

using Plane = std::vector<std::vector<double>>;
Plane plane(int h, int w) { return Plane(std::size_t(h), std::vector<double>(std::size_t(w), 0.0)); }

// Exact DCT, quantisation and inverse of one plane whose border repeats outside.
Plane transformed(const Plane& p, const QuantTable& q) {
  const int h = int(p.size()), w = int(p[0].size());
  const auto basis = [](int k, int n) {
    return (k ? 0.5 : 0.5 / std::numbers::sqrt2) * std::cos((2 * n + 1) * k * std::numbers::pi / 16);
  };
  Plane out = p;
  for (int y0 = 0; y0 < h; y0 += 8)
    for (int x0 = 0; x0 < w; x0 += 8) {
      double coefficient[8][8];
      for (int v = 0; v < 8; ++v)
        for (int u = 0; u < 8; ++u) {
          double sum = 0;
          for (int y = 0; y < 8; ++y)
            for (int x = 0; x < 8; ++x)
              sum += (p[std::size_t(std::min(y0 + y, h - 1))][std::size_t(std::min(x0 + x, w - 1))] - 128) *
                     basis(v, y) * basis(u, x);
          const double step = q[std::size_t(8 * v + u)];
          coefficient[v][u] = std::round(sum / step) * step;
        }
      for (int y = 0; y < 8 && y0 + y < h; ++y)
        for (int x = 0; x < 8 && x0 + x < w; ++x) {
          double sum = 128;
          for (int v = 0; v < 8; ++v)
            for (int u = 0; u < 8; ++u) sum += coefficient[v][u] * basis(v, y) * basis(u, x);
          out[std::size_t(y0 + y)][std::size_t(x0 + x)] = std::clamp(std::round(sum), 0.0, 255.0);
        }
    }
  return out;
}

Image reference(const Image& image, int quality) {
  const int H = image.height, W = image.width, h = (H + 1) / 2, w = (W + 1) / 2;
  Plane luma = plane(H, W), full[2] = {luma, luma};
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      const auto* p = image.at(y, x);
      const double R = p[0], G = p[1], B = p[2];
      luma[std::size_t(y)][std::size_t(x)] = std::round(0.299 * R + 0.587 * G + 0.114 * B);
      full[0][std::size_t(y)][std::size_t(x)] = std::round(128 + (B - 0.299 * R - 0.587 * G - 0.114 * B) / 1.772);
      full[1][std::size_t(y)][std::size_t(x)] = std::round(128 + (R - 0.299 * R - 0.587 * G - 0.114 * B) / 1.402);
    }
  luma = transformed(luma, kernels::jpeg_luma_table(quality));
  Plane chroma[2];
  for (int k = 0; k < 2; ++k) {
    const int reach = (w + 7) / 8 * 8;  // to the right the image repeats before it is halved, below after
    Plane half = plane(h, reach);
    for (int y = 0; y < h; ++y)
      for (int x = 0; x < reach; ++x) {
        const auto at = [&](int dy, int dx) {
          return full[k][std::size_t(std::min(2 * y + dy, H - 1))][std::size_t(std::min(2 * x + dx, W - 1))];
        };
        half[std::size_t(y)][std::size_t(x)] = std::floor((at(0, 0) + at(0, 1) + at(1, 0) + at(1, 1) + 1 + x % 2) / 4);
      }
    chroma[k] = transformed(half, kernels::jpeg_chroma_table(quality));
  }
  Image out(H, W);
  for (int y = 0; y < H; ++y)
    for (int x = 0; x < W; ++x) {
      double c[2];
      for (int k = 0; k < 2; ++k) {
        const auto at = [&](int cy, int cx) {
          return chroma[k][std::size_t(std::clamp(cy, 0, h - 1))][std::size_t(std::clamp(cx, 0, w - 1))];
        };
        const int cy = y / 2, cx = x / 2, ny = y % 2 ? cy + 1 : cy - 1, nx = x % 2 ? cx + 1 : cx - 1;
        c[k] = (9 * at(cy, cx) + 3 * at(cy, nx) + 3 * at(ny, cx) + at(ny, nx)) / 16 - 128;
      }
      const double Y = luma[std::size_t(y)][std::size_t(x)];
      const double rgb[3] = {Y + 1.402 * c[1], Y - (0.114 * 1.772 * c[0] + 0.299 * 1.402 * c[1]) / 0.587,
                             Y + 1.772 * c[0]};
      for (int k = 0; k < 3; ++k) out.at(y, x)[k] = std::uint8_t(std::clamp(std::round(rgb[k]), 0.0, 255.0));
    }
  return out;
}

double psnr(const Image& a, const Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::pow(double(a.pixels[i]) - double(b.pixels[i]), 2);
  return 10 * std::log10(255.0 * 255.0 * double(a.pixels.size()) / std::max(sum, 1e-9));
}
Image round_trip(Image image, int quality) {
  Bytes pixels(image), workspace(kernels::jpeg_round_trip_workspace(image.height, image.width));
  backend::jpeg_round_trip({pixels.span(), image.height, image.width, quality, workspace.span()});
  pixels.check_guards("image");
  workspace.check_guards("workspace");
  std::copy(pixels.span().begin(), pixels.span().end(), image.pixels.begin());
  return image;
}

}  // namespace

TEST_CASE(
    "jpeg_round_trip: equals the double-precision round trip to a level, except in blocks that quantise the other "
    "way") {
  // A coefficient near a half may fall to the other side; then its block differs by up to a quantisation step.
  unsigned salt = 0;
  double values = 0, apart = 0, squares = 0;
  for (auto [h, w] : {std::pair{1, 1}, {8, 8}, {7, 9}, {16, 33}, {61, 47}, {96, 80}})
    for (int quality : {5, 40, 50, 60, 90}) {
      const Image image = scene(h, w, ++salt);
      const Image ours = round_trip(image, quality), exact = reference(image, quality);
      for (std::size_t i = 0; i < ours.pixels.size(); ++i) {
        const int d = std::abs(int(ours.pixels[i]) - int(exact.pixels[i]));
        ++values, apart += d > 1, squares += d * d;
      }
      if (h > 8) CHECK(psnr(ours, image) < 45);  // it is not the identity
    }
  CHECK(apart / values < 0.08);                // 2 to 5 % over many seeds
  CHECK(squares / values < 255 * 255 * 1e-4);  // 40 dB
}

TEST_CASE("jpeg_round_trip: at quality 100 strong colours come back as the double-precision round trip has them") {
  // Steps of 1 leave no room for a coefficient on the other side to matter; colours change quickly both ways.
  Image image(45, 38);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      image.at(y, x)[0] = std::uint8_t(128 + 100 * std::sin(0.5 * y));
      image.at(y, x)[1] = std::uint8_t(128 + 60 * std::sin(0.2 * x + 0.3 * y));
      image.at(y, x)[2] = std::uint8_t(128 + 100 * std::cos(0.45 * x));
    }
  const Image ours = round_trip(image, 100), exact = reference(image, 100);
  int worst = 0;
  for (std::size_t i = 0; i < ours.pixels.size(); ++i)
    worst = std::max(worst, std::abs(int(ours.pixels[i]) - int(exact.pixels[i])));
  CHECK(worst <= 3);
}

TEST_CASE("jpeg_round_trip: the CPU's bits, for any size and quality") {
  unsigned salt = 0;
  for (auto [h, w] : {std::pair{1, 1}, {1, 2}, {2, 1}, {3, 4}, {2, 5}, {8, 8}, {17, 6}, {16, 33}, {37, 41}})
    for (int quality : {1, 50, 83, 100})
      for (const Image& image : {scene(h, w, ++salt), random_image(h, w, ++salt)}) {
        Bytes pixels(image);
        kernels::cpu::jpeg_round_trip({pixels.span(), h, w, quality});
        for_each_order([&, quality] { CHECK(Bytes(round_trip(image, quality)) == pixels); });
      }
}

TEST_CASE("jpeg_round_trip: quality orders the loss; flat grey and the smallest images survive") {
  const Image image = scene(64, 64, 1);
  const double at20 = psnr(round_trip(image, 20), image), at60 = psnr(round_trip(image, 60), image),
               at100 = psnr(round_trip(image, 100), image);
  CHECK(at20 < at60);
  CHECK(at60 < at100);
  for (int level : {0, 8, 128, 255}) {
    Image flat(5, 3);
    std::fill(flat.pixels.begin(), flat.pixels.end(), std::uint8_t(level));
    const Image got = round_trip(flat, 50);
    for (auto v : got.pixels) CHECK(std::abs(v - level) <= 1);
  }
  round_trip(random_image(1, 1, 1), 50);
  round_trip(Image(0, 0), 50);
}

TEST_CASE("jpeg_round_trip: tables are the standard's, scaled as libjpeg does") {
  CHECK(kernels::jpeg_luma_table(50)[0] == 16);
  CHECK(kernels::jpeg_luma_table(50)[63] == 99);
  CHECK(kernels::jpeg_luma_table(50)[62] == 103);
  CHECK(kernels::jpeg_chroma_table(50)[3] == 47);
  CHECK(kernels::jpeg_luma_table(75)[0] == 8);
  CHECK(kernels::jpeg_luma_table(40)[1] == 14);  // 11 x 125 % = 13.75
  CHECK(kernels::jpeg_luma_table(100)[37] == 1);
  CHECK(kernels::jpeg_luma_table(1)[0] == 255);  // clipped to a byte
  CHECK(kernels::jpeg_luma_table(10)[0] == 80);
}

TEST_CASE("jpeg_round_trip: wrong arguments are explained") {
  Bytes image(27);
  expect_throw("quality 0", [&] { backend::jpeg_round_trip({image.span(), 3, 3, 0}); });
  expect_throw("quality 101", [&] { backend::jpeg_round_trip({image.span(), 3, 3, 101}); });
  expect_throw("27 bytes for an image of 3 x 4", [&] { backend::jpeg_round_trip({image.span(), 3, 4, 50}); });
  if constexpr (!kCuda) return;  // the CPU needs no workspace
  Bytes work(200);
  const auto with = [&](Span<std::uint8_t> workspace) { backend::jpeg_round_trip({image.span(), 3, 3, 50, workspace}); };
  with(work.span().slice(0, 192));
  expect_throw("workspace of 191 bytes, expected 192", [&] { with(work.span().slice(0, 191)); });
  expect_throw("no multiple of 8", [&] { with(work.span().slice(1, 192)); });
}
