// tests/images/test_pixels.cpp — the embedder without weights: by its formula, and what it is good for.
#include <cmath>
#include <numbers>
#include <numeric>

#include "data/faces/face_embedder.h"
#include "tests/images/portrait.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

std::vector<float> vector_of(const FaceEmbedder& e, const Image& photo, const Box& box) {
  return e.embed(std::vector<Image>{e.prepare(photo, {box, 0, {}})});
}
double dot(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(), [](double x, double y) { return x * y; });
}

}  // namespace

TEST_CASE("faces: pixels: each frequency is the number that the formula says") {
  const auto e = make_face_embedder("pixels");
  CHECK(e->dimension() == 80);
  CHECK(e->identity() == "pixels formula-1");
  // One cosine at a time: all of its weight is in one number. (Rounding to 256 levels leaves a little elsewhere.)
  std::size_t at = 0;
  for (int v = 0; v < 9; ++v)
    for (int u = 0; u < 9; ++u) {
      if (u == 0 && v == 0) continue;
      Image wave(32, 32);
      for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 32; ++x) {
          const auto cosine = [](int k, int i) { return std::cos(std::numbers::pi * k * (2 * i + 1) / 64.0); };
          for (int c = 0; c < 3; ++c) wave.at(y, x)[c] = std::uint8_t(std::lround(128 + 100 * cosine(u, x) * cosine(v, y)));
        }
      const auto w = vector_of(*e, wave, {0, 0, 32, 32});
      REQUIRE(w.size() == 80);
      CHECK(dot(w, w) == doctest::Approx(1).epsilon(1e-6));
      CHECK(w[at] > 0.999f);
      ++at;
    }
  // Two of equal strength weigh the same, also where one of them is constant along an axis.
  Image two(32, 32);
  for (int y = 0; y < 32; ++y)
    for (int x = 0; x < 32; ++x) {
      const double a = std::cos(std::numbers::pi * (2 * x + 1) / 64.0), b = std::sqrt(2.0) * a * std::cos(std::numbers::pi * (2 * y + 1) / 64.0);
      for (int c = 0; c < 3; ++c) two.at(y, x)[c] = std::uint8_t(std::lround(128 + 50 * (a + b)));
    }
  const auto t = vector_of(*e, two, {0, 0, 32, 32});
  CHECK(t[0] == doctest::Approx(std::sqrt(0.5)).epsilon(0.01));  // v = 0, u = 1
  CHECK(t[9] == doctest::Approx(std::sqrt(0.5)).epsilon(0.01));  // v = 1, u = 1
}

TEST_CASE("faces: pixels: captures of one photograph are nearer than those of another; brightness and contrast drop out") {
  const auto e = make_face_embedder("pixels");
  std::vector<std::vector<float>> originals, captures;
  for (std::uint64_t person = 1; person <= 8; ++person) {
    const Image photo = portrait(person);
    Image paler = photo;
    for (std::uint8_t& p : paler.pixels) p = std::uint8_t(40 + p / 2);
    originals.push_back(vector_of(*e, photo, portrait_box()));
    captures.push_back(vector_of(*e, paler, portrait_box()));
    Image wider(300, 300);  // the same at twice the size
    for (int y = 0; y < 300; ++y)
      for (int x = 0; x < 300; ++x) std::copy_n(photo.at(y / 2, x / 2), 3, wider.at(y, x));
    CHECK(dot(vector_of(*e, wider, portrait_box(300)), originals.back()) > 0.99);
  }
  for (std::size_t i = 0; i < captures.size(); ++i) {
    CHECK(dot(captures[i], originals[i]) > 0.99);
    for (std::size_t k = 0; k < originals.size(); ++k)
      if (k != i) CHECK(dot(captures[i], originals[k]) < dot(captures[i], originals[i]));
  }
}

TEST_CASE("faces: pixels: a flat surface has no vector; there is no file to name") {
  const auto e = make_face_embedder("pixels");
  Image flat(64, 64);
  std::fill(flat.pixels.begin(), flat.pixels.end(), std::uint8_t(90));
  expect_throw("the face is a flat surface", [&] { e->prepare(flat, {{1, 1, 60, 60}, 0, {}}); });
  expect_throw("nothing of the box", [&] { e->prepare(flat, {{70, 70, 90, 90}, 0, {}}); });
  for (const auto& [height, width] : {std::pair{32, 31}, {31, 32}, {64, 64}})
    expect_throw(str("a face of ", height, " x ", width, ", expected 32 x 32"), [&] { e->embed(std::vector<Image>{Image(height, width)}); });
  expect_throw("'pixels:x' names a file; pixels needs none", [] { make_face_embedder("pixels:x"); });
}
