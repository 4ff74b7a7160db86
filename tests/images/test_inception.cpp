// tests/images/test_inception.cpp — InceptionResnetV1 as a FaceEmbedder: Pillow's resize, the published cut, the vectors.
#include "data/faces/inception.h"
#include "data/faces/triangle_resize.h"
#include "tests/support/formula_faces.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

Image formula_photo(const std::string& name, int label, int height, int width) {
  Image image = Image::uninitialized(height, width);
  const auto bytes = formula_image(name, label, height, width);
  std::copy(bytes.begin(), bytes.end(), image.pixels.begin());
  return image;
}

}  // namespace

TEST_CASE("faces: resizing is Pillow's antialiased bilinear, byte for byte") {
  const auto all = fixture("face_networks.json")["pillow"];
  REQUIRE(all.size() == 8);
  for (const auto& [name, want] : all.items()) {
    CAPTURE(name);
    const int side = want["side"];
    const Image y = triangle_resize(formula_photo(name, 1, want["shape"][0], want["shape"][1]), side, side);
    REQUIRE((y.height == side && y.width == side));
    std::int64_t sum = 0, weighted = 0;
    std::vector<int> first;
    for (std::size_t i = 0; i < y.pixels.size(); ++i) {
      if (i < 300) first.push_back(y.pixels[i]);
      sum += y.pixels[i], weighted += std::int64_t(y.pixels[i]) * std::int64_t(i % 9973);
    }
    CHECK(first == want["first"].get<std::vector<int>>());
    CHECK(sum == want["sum"].get<std::int64_t>());
    CHECK(weighted == want["weighted"].get<std::int64_t>());
  }
  const Image same = formula_photo("same", 0, 9, 12);
  CHECK(triangle_resize(same, 9, 12).pixels == same.pixels);
  expect_throw("resizing 0 x 0 to 4 x 4", [] { triangle_resize(Image(), 4, 4); });
}

TEST_CASE("faces: the cut is the box in whole pixels of the photograph") {
  const Image photo = formula_photo("cut", 0, 20, 30);
  const Image cut = cut_box(photo, {2.9f, 3.1f, 8.9f, 7.2f});  // columns 2 to 8, rows 3 to 7, the last exclusive
  CHECK((cut.width == 6 && cut.height == 4));
  for (int y = 0; y < 4; ++y) CHECK(std::equal(cut.at(y, 0), cut.at(y, 0) + 18, photo.at(3 + y, 2)));
  const Image whole = cut_box(photo, {-5.5f, -0.1f, 31, 200});
  CHECK(whole.pixels == photo.pixels);
  CHECK(cut_box(photo, {29.5f, 0, 31, 2}).width == 1);
  expect_throw("nothing of the box (30, 0) to (40, 10) lies in the photograph of 30 x 20", [&] { cut_box(photo, {30, 0, 40, 10}); });
  expect_throw("nothing of the box", [&] { cut_box(photo, {5, 5, 5.9f, 9}); });
  expect_throw("nothing of the box", [&] { cut_box(photo, {-9, 5, -2, 9}); });
  expect_throw("nothing of the box", [&] { cut_box(photo, {std::nanf(""), 5, std::nanf(""), 9}); });
}

TEST_CASE("faces: InceptionResnetV1 embeds as facenet-pytorch does, each face by itself") {
  const TempFolder folder;
  const std::string file = (folder / "inception.safetensors").string();
  write_formula_inception(file);
  const auto embedder = make_face_embedder("inception:" + file);
  CHECK(embedder->dimension() == 512);
  CHECK(embedder->identity().starts_with("inception inception.safetensors xxh3-128:"));
  const std::vector<Image> two{formula_photo("inception.0", 0, 160, 160), formula_photo("inception.1", 1, 160, 160)};
  const std::vector<float> v = embedder->embed(two);
  expect_close("embeddings", v, numbers(fixture("face_networks.json")["inception"]["embedding"]), 2e-6, 2e-6);

  // Alone, or anywhere among others: the same bits.
  const std::vector<Image> nine{two[1], two[1], two[0], two[1], two[0], two[1], two[1], two[0], two[0]};
  const std::vector<float> w = embedder->embed(nine);
  REQUIRE(w.size() == 9 * 512);
  for (std::size_t i = 0; i < 9; ++i) {
    const std::size_t which = i == 2 || i == 4 || i == 7 || i == 8 ? 0 : 1;
    CHECK_MESSAGE(std::equal(w.begin() + std::ptrdiff_t(i * 512), w.begin() + std::ptrdiff_t(i * 512 + 512), v.begin() + std::ptrdiff_t(which * 512)), i);
  }
  CHECK(embedder->embed({}).empty());

  // prepare: cut, then resized.
  const Image photo = formula_photo("photo", 1, 90, 120);
  const Face face{{10.5f, 4, 80.2f, 88}, 1, {}};
  const Image prepared = embedder->prepare(photo, face);
  CHECK(prepared.pixels == triangle_resize(cut_box(photo, face.box), 160, 160).pixels);
  expect_throw("a face of 112 x 112, expected 160 x 160", [&] { embedder->embed(std::vector<Image>{Image(112, 112)}); });
  const std::string junk = folder.file("junk.pt", "no weights");
  expect_throw(junk, [&] { make_face_embedder("inception:" + junk); });
}
