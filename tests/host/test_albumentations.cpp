// tests/host/test_albumentations.cpp — every augmentation beside albumentations 1.3.1 (OpenCV and libjpeg-turbo below it),
// with recorded parameters, on the same pixels: alone, and as the published pipeline up to the resized image.
#include <algorithm>

#include "data/augment.h"
#include "engine/safetensors.h"
#include "tests/support/fixture.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

Image image_of(const SafetensorsFile& file, const std::string& name) {
  const StoredArray& a = file.at(name);
  Image image(int(a.shape[0]), int(a.shape[1]));
  file.read<std::uint8_t>(name, image.pixels);
  return image;
}

// What one kind of operation may differ by: levels anywhere, share of values that differ at all, PSNR in dB.
struct Bound {
  int levels;
  double share, psnr;
};
// Flip, brightness and contrast, JPEG and resize give the same bits. HSV differs by one level where OpenCV's way back to RGB
// rounds its floats the other way; a JPEG round trip after that makes whole coefficients of it.
constexpr double kEqual = 999;
const std::map<std::string, Bound> kBounds = {
    {"flip", {0, 0, kEqual}},   {"tone", {0, 0, kEqual}},    {"jpeg", {0, 0, kEqual}},         {"but_hue", {0, 0, kEqual}},
    {"resize", {0, 0, kEqual}}, {"hue", {1, 5e-2, 60}},      {"pipeline_but_hue", {0, 0, kEqual}},
    {"all", {16, 0.25, 45}},    {"pipeline_all", {16, 0.25, 45}}};

}  // namespace

TEST_CASE("augment: albumentations 1.3.1 with the same parameters gives the same pixels") {
  const SafetensorsFile file(std::string(BF_SOURCE_DIR) + "/tests/fixtures/augment.safetensors");
  struct Sum {
    int worst = 0;
    double differing = 0, values = 0, squares = 0;
    int cases = 0;
  };
  std::map<std::string, Sum> sums;
  for (const auto& c : fixture("augment.json")) {
    const std::string kind = c["kind"];
    const Image photo = image_of(file, c["image"]), want = image_of(file, c["result"]);
    AugmentDraw d;
    d.flip = c["flip"];
    if ((d.brightness_contrast = c.contains("alpha"))) d.alpha = c["alpha"], d.beta = c["beta"];
    if ((d.hue_saturation_value = c.contains("hue"))) d.hue = c["hue"], d.saturation = c["saturation"], d.value = c["value"];
    if ((d.jpeg = c.contains("quality"))) d.jpeg_quality = c["quality"];
    const AugmentOptions options{.color_order = ColorOrder::bgr};
    Image got(want.height, want.width);
    if (kind == "resize" || kind.starts_with("pipeline"))
      make_sample(photo, {}, 1.2, d, options, got.height, got.width, got.pixels);
    else
      got = augmented_crop(photo, {0, 0, photo.width, photo.height}, d, options);
    REQUIRE(got.pixels.size() == want.pixels.size());
    Sum& s = sums[kind];
    ++s.cases;
    for (std::size_t i = 0; i < got.pixels.size(); ++i) {
      const int e = std::abs(int(got.pixels[i]) - int(want.pixels[i]));
      s.worst = std::max(s.worst, e), s.differing += e != 0, s.squares += e * e, ++s.values;
    }
    CHECK(got.pixels != photo.pixels);  // it did something
  }
  CHECK(sums.size() == kBounds.size());
  for (const auto& [kind, s] : sums) {
    const double psnr = s.squares == 0 ? kEqual : 10 * std::log10(255.0 * 255.0 * s.values / s.squares);
    MESSAGE(kind, ": ", s.cases, " cases, worst difference ", s.worst, " levels, ", s.differing, " of ", s.values, " values, PSNR ", psnr);
    const Bound& b = kBounds.at(kind);
    CHECK_MESSAGE(s.worst <= b.levels, kind);
    CHECK_MESSAGE(s.differing <= b.share * s.values, kind);
    CHECK_MESSAGE(psnr >= b.psnr, kind);
  }
}
