// tests/images/test_augment_opencv.cpp — the integer augmentation beside OpenCV's and libjpeg's, on the same pixels.
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "data/augment.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

cv::Mat mat(Image& image) { return {image.height, image.width, CV_8UC3, image.pixels.data()}; }

struct Difference {
  int worst = 0;
  std::int64_t differing = 0, values = 0;
  double squares = 0;
  double psnr() const { return squares == 0 ? 999 : 10 * std::log10(255.0 * 255.0 * double(values) / squares); }
  void add(const std::uint8_t* a, const std::uint8_t* b, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const int d = std::abs(int(a[i]) - int(b[i]));
      worst = std::max(worst, d), differing += d != 0, squares += d * d;
    }
    values += n;
  }
};

}  // namespace

TEST_CASE("augment: the resize is OpenCV's bilinear one") {
  Difference all;
  unsigned salt = 0;
  for (auto [h, w] : {std::pair{1, 1},
                      {1, 7},
                      {2, 2},
                      {37, 53},
                      {150, 150},
                      {224, 224},
                      {448, 448},
                      {301, 199},
                      {640, 480},
                      {1000, 3}})
    for (auto [oh, ow] : {std::pair{224, 224}, {96, 80}, {1, 1}, {17, 33}}) {
      Image image = random_image(h, w, ++salt), ours(oh, ow);
      make_sample(image, {}, 1.2f, {}, {}, oh, ow, ours.pixels);
      cv::Mat theirs;
      cv::resize(mat(image), theirs, {ow, oh}, 0, 0, cv::INTER_LINEAR);
      all.add(ours.pixels.data(), theirs.data, std::int64_t(ours.pixels.size()));
    }
  MESSAGE("resize: ", all.differing, " of ", all.values, " values differ, by at most ", all.worst);
  CHECK(all.worst <= 1);
  CHECK(double(all.differing) <= 1e-4 * double(all.values));
}

TEST_CASE("augment: RGB to HSV is OpenCV's, for every colour of a grid and both orders") {
  // Every third level of each channel: 636,056 colours, in rows that OpenCV's vector code takes whole.
  Image colours(86 * 86 * 86 / 64 + 1, 64);
  int i = 0;
  for (int r = 0; r < 256; r += 3)
    for (int g = 0; g < 256; g += 3)
      for (int b = 0; b < 256; b += 3, i += 3)
        colours.pixels[std::size_t(i)] = std::uint8_t(r), colours.pixels[std::size_t(i + 1)] = std::uint8_t(g),
        colours.pixels[std::size_t(i + 2)] = std::uint8_t(b);
  cv::Mat theirs;
  cv::cvtColor(mat(colours), theirs, cv::COLOR_RGB2HSV);
  int wrong = 0;
  for (std::size_t p = 0; p < colours.pixels.size(); p += 3) {
    const auto* c = &colours.pixels[p];
    const kernels::Hsv got = kernels::rgb_to_hsv({c[0], c[1], c[2]});
    wrong += got.h != theirs.data[p] || got.s != theirs.data[p + 1] || got.v != theirs.data[p + 2];
  }
  CHECK(wrong == 0);

  // The whole operation: OpenCV's two conversions around the same tables, in both orders.
  for (auto order : {ColorOrder::rgb, ColorOrder::bgr}) {
    Image ours = colours;
    kernels::cpu::hue_saturation_value({ours.pixels, -7.4f, 5.5f, -3.25f, order});
    cv::Mat hsv, back;
    cv::cvtColor(mat(colours), hsv, order == ColorOrder::rgb ? cv::COLOR_RGB2HSV : cv::COLOR_BGR2HSV);
    const auto h = kernels::hue_table(-7.4f), s = kernels::clipped_table(5.5f), v = kernels::clipped_table(-3.25f);
    for (std::size_t p = 0; p < colours.pixels.size(); p += 3)
      hsv.data[p] = h[hsv.data[p]], hsv.data[p + 1] = s[hsv.data[p + 1]], hsv.data[p + 2] = v[hsv.data[p + 2]];
    cv::cvtColor(hsv, back, order == ColorOrder::rgb ? cv::COLOR_HSV2RGB : cv::COLOR_HSV2BGR);
    Difference d;
    d.add(ours.pixels.data(), back.data, std::int64_t(ours.pixels.size()));
    MESSAGE("hue, saturation, value: ", d.differing, " of ", d.values, " values differ, by at most ", d.worst);
    CHECK(d.worst <= 1);
    CHECK(double(d.differing) <= 1e-2 * double(d.values));
  }
}

TEST_CASE("augment: the JPEG round trip is libjpeg's") {
  Difference all;
  unsigned salt = 100;
  for (auto [h, w] : {std::pair{1, 1},
                      {3, 2},
                      {6, 3},
                      {5, 4},
                      {4, 5},
                      {8, 8},
                      {16, 16},
                      {17, 33},
                      {64, 49},
                      {150, 150},
                      {151, 149},
                      {240, 320}})
    for (int quality : {1, 10, 40, 49, 50, 60, 75, 95, 100})
      for (bool natural : {true, false}) {
        Image image = natural ? scene(h, w, ++salt) : random_image(h, w, ++salt), ours = image;
        kernels::cpu::jpeg_round_trip({ours.pixels, h, w, quality});
        std::vector<std::uint8_t> file;
        cv::Mat bgr, decoded;
        cv::cvtColor(mat(image), bgr, cv::COLOR_RGB2BGR);
        cv::imencode(".jpg", bgr, file, {cv::IMWRITE_JPEG_QUALITY, quality});
        cv::cvtColor(cv::imdecode(file, cv::IMREAD_COLOR), decoded, cv::COLOR_BGR2RGB);
        Difference d;
        d.add(ours.pixels.data(), decoded.data, std::int64_t(ours.pixels.size()));
        CHECK_MESSAGE(d.worst == 0, h, " x ", w, ", quality ", quality, natural ? ", scene" : ", noise", ": ",
                      d.differing, " values differ, by at most ", d.worst, ", PSNR ", d.psnr());
        all.add(ours.pixels.data(), decoded.data, std::int64_t(ours.pixels.size()));
      }
  MESSAGE("JPEG: ", all.differing, " of ", all.values, " values differ, PSNR ", all.psnr());
}
