// tests/images/test_faces.cpp — detectors and embedders: names, missing files, which of several faces, threads; YuNet and
// SFace through tiny networks of their shape that are written here.
#include <atomic>
#include <thread>

#include "data/faces/face_detector.h"
#include "data/faces/face_embedder.h"
#include "data/faces/haar.h"
#include "data/faces/pool.h"
#include "tests/images/onnx_writer.h"
#include "tests/images/portrait.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// A photograph of `side` with portraits at these corners.
Image group(int height, int width, const std::vector<std::array<int, 3>>& corners) {
  Image all(height, width);
  for (std::uint8_t& v : all.pixels) v = 127;
  std::uint64_t person = 1;
  for (const auto& [x0, y0, size] : corners) {
    const Image one = portrait(person++, size);
    for (int y = 0; y < size; ++y) std::copy_n(one.at(y, 0), 3 * size, all.at(y0 + y, x0));
  }
  return all;
}

double overlap(const Box& a, const Box& b) {
  const double w = std::max(0.0f, std::min(a.x2, b.x2) - std::max(a.x1, b.x1)), h = std::max(0.0f, std::min(a.y2, b.y2) - std::max(a.y1, b.y1));
  const auto area = [](const Box& v) { return double(v.x2 - v.x1) * (v.y2 - v.y1); };
  return w * h / (area(a) + area(b) - w * h);
}

bool same(const std::vector<Face>& a, const std::vector<Face>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i].score != b[i].score || a[i].box.x1 != b[i].box.x1 || a[i].box.y1 != b[i].box.y1 || a[i].box.x2 != b[i].box.x2 ||
        a[i].box.y2 != b[i].box.y2 || a[i].landmarks != b[i].landmarks)
      return false;
  return true;
}

}  // namespace

TEST_CASE("faces: the largest as published, the surest, the first of equals") {
  const auto face = [](Box b, float score) { return Face{b, score, {}}; };
  const std::vector<Face> faces{face({0, 0, 10, 10}, 5), face({5, 5, 25, 10}, 9), face({0, 0, 50, 2}, 9), face({-9, -9, -19, 1}, 1)};
  CHECK(largest_face(faces) == 0);  // 100, 100, 100 and a negative one
  CHECK(surest_face(faces) == 1);
  CHECK(largest_face(std::vector<Face>{face({0, 0, 1, 1}, 9), face({0, 0, 3, 3}, 1), face({0, 0, 2, 2}, 1)}) == 1);
  CHECK(largest_face({}) == -1);
  CHECK(surest_face({}) == -1);
}

TEST_CASE("faces: names of detectors and embedders, and files that are missing or none") {
  const TempFolder folder;
  expect_throw("there is no face detector 'mtcn'; there are: haar, haar:FILE, mtcnn, mtcnn:FOLDER or yunet:FILE", [] { make_face_detector("mtcn"); });
  expect_throw("there is no face detector ''", [] { make_face_detector(""); });
  expect_throw("'yunet' names no file; expected yunet:FILE", [] { make_face_detector("yunet"); });
  expect_throw("'haar:' names no file", [] { make_face_detector("haar:"); });
  expect_throw("there is no face embedder 'facenet'; there are: inception:FILE, sface:FILE or pixels", [] { make_face_embedder("facenet"); });
  expect_throw("'sface' names no file; expected sface:FILE", [] { make_face_embedder("sface"); });
  const std::string none = (folder / "none.onnx").string(), junk = folder.file("junk.onnx", "this is no network"), empty = folder.file("empty.onnx", "");
  for (const std::string name : {"haar:", "yunet:"}) {
    expect_throw(none + ": cannot be read", [&] { make_face_detector(name + none); });
    expect_throw(junk + ": is no ", [&] { make_face_detector(name + junk); });
    expect_throw(empty + ": is no ", [&] { make_face_detector(name + empty); });
  }
  expect_throw(none + ": cannot be read", [&] { make_face_embedder("sface:" + none); });
  expect_throw(junk + ": is no model that OpenCV", [&] { make_face_embedder("sface:" + junk); });
  // A cascade cut short, and one that is not installed.
  const std::string whole = read_file(find_haar_cascade({"/nowhere", "/usr/share/opencv4/haarcascades"}));
  const std::string cut = folder.file("cut.xml", whole.substr(0, whole.size() / 2));
  expect_throw(cut + ": is no cascade", [&] { make_face_detector("haar:" + cut); });
  expect_throw("needs haarcascade_frontalface_alt2.xml, which is not in /nowhere, /nor/here: install it (apt-get install opencv-data)",
               [] { find_haar_cascade({"/nowhere", "/nor/here"}); });
}

TEST_CASE("faces: Haar finds drawn faces, where they are, at any size of the photograph, the same on any number of threads") {
  const auto detector = make_face_detector("haar");
  CHECK(detector->identity().starts_with("haar haarcascade_frontalface_alt2.xml xxh3-128:"));
  CHECK_FALSE(detector->has_landmarks());
  CHECK(detector->detect(Image()).empty());
  CHECK(detector->detect(Image(1, 1)).empty());
  CHECK(detector->detect(Image(3, 5000)).empty());
  int found = 0;
  for (std::uint64_t person = 1; person <= 10; ++person) found += detector->detect(portrait(person)).size() == 1;
  CHECK(found >= 5);  // drawn faces are no photographs
  // Two in one picture; the same twice as large, beyond the size that it looks at.
  const Image photo = group(400, 900, {{{50, 100, 160}, {520, 60, 300}}});
  const std::vector<Face> faces = detector->detect(photo);
  REQUIRE(faces.size() == 2);
  const std::int64_t largest = largest_face(faces);
  const auto placed = [](int x0, int y0, int size) {
    const Box b = portrait_box(size);
    return Box{b.x1 + float(x0), b.y1 + float(y0), b.x2 + float(x0), b.y2 + float(y0)};
  };
  CHECK(overlap(faces[std::size_t(largest)].box, placed(520, 60, 300)) > 0.5);
  CHECK(overlap(faces[std::size_t(1 - largest)].box, placed(50, 100, 160)) > 0.5);
  CHECK(faces[0].score >= 3);
  CHECK(faces[0].landmarks.empty());
  const std::vector<Face> large = detector->detect(group(800, 1800, {{{100, 200, 320}, {1040, 120, 600}}}));
  REQUIRE(large.size() == 2);
  CHECK(overlap(large[std::size_t(largest_face(large))].box, placed(1040, 120, 600)) > 0.5);

  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 3; ++i) wrong += !same(detector->detect(photo), faces);
    });
  for (auto& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("faces: Haar looks for no face that is smaller than a twentieth of the photograph") {
  const auto detector = make_face_detector("haar");
  const auto background = [&](int size) { return detector->detect(group(400, 1000, {{{50, 100, size}, {520, 60, 300}}})); };
  CHECK(detector->detect(group(200, 200, {{{60, 60, 60}}})).size() == 1);  // enough pixels to be found …
  const std::vector<Face> faces = background(60);
  REQUIRE(faces.size() == 1);  // … but nobody behind somebody else
  CHECK(faces[0].box.x1 > 520);
  CHECK(background(70).size() == 2);
}

TEST_CASE("faces: YuNet's rows become boxes, landmarks and scores in pixels of the photograph") {
  const TempFolder folder;
  // A network of YuNet's outputs whose one sure prior is the given one; everything else has score 0.
  const int side = 64;
  const std::string file = folder.file("yunet.onnx", onnx_yunet(side, {{5, 0.9f, {0.5f, -0.25f, 0, 0}}}));
  const auto detector = make_face_detector("yunet:" + file);
  CHECK(detector->has_landmarks());
  CHECK(detector->identity().starts_with("yunet yunet.onnx xxh3-128:"));
  const std::vector<Face> faces = detector->detect(Image(side, side));
  REQUIRE(faces.size() == 1);
  // Prior 5: the second cell of the first map (stride 8), its third size, 24: centre (12, 4). loc moves it by variance 0.1
  // times its size: (12 + 0.5 * 0.1 * 24, 4 - 0.25 * 0.1 * 24) = (13.2, 3.4); width and height stay 24.
  const Box& b = faces[0].box;
  CHECK(b.x1 == doctest::Approx(13.2 - 12));
  CHECK(b.y1 == doctest::Approx(3.4 - 12));
  CHECK(b.x2 == doctest::Approx(13.2 + 12));
  CHECK(b.y2 == doctest::Approx(3.4 + 12));
  CHECK(faces[0].score == doctest::Approx(0.9));
  REQUIRE(faces[0].landmarks.size() == 5);
  for (int k = 0; k < 5; ++k) {  // the writer puts landmark k at (k, -k) of the prior's size, times the variance
    CHECK(faces[0].landmarks[std::size_t(k)].x == doctest::Approx(12 + 0.1 * 24 * k));
    CHECK(faces[0].landmarks[std::size_t(k)].y == doctest::Approx(4 - 0.1 * 24 * k));
  }
  const std::string wrong = folder.file("wrong.onnx", onnx_embedder(4));
  expect_throw(wrong + ": ", [&] { make_face_detector("yunet:" + wrong); });
}

TEST_CASE("faces: SFace's features come out with length 1, of the aligned face in RGB") {
  const TempFolder folder;
  // A network that gives the means of red, green and blue, and 10.
  const std::string file = folder.file("sface.onnx", onnx_embedder(4));
  const auto embedder = make_face_embedder("sface:" + file);
  CHECK(embedder->dimension() == 4);
  CHECK(embedder->identity().starts_with("sface sface.onnx xxh3-128:"));
  Image photo(200, 200);
  for (std::size_t i = 0; i < photo.pixels.size(); ++i) photo.pixels[i] = std::uint8_t(i % 3 == 0 ? 200 : i % 3 == 1 ? 100 : 50);
  Face face;
  expect_throw("needs five landmarks", [&] { embedder->prepare(photo, face); });
  face.landmarks = {{80, 80}, {120, 80}, {100, 100}, {85, 125}, {115, 125}};
  const Image aligned = embedder->prepare(photo, face);
  REQUIRE(aligned.width == 112);
  const std::vector<float> e = embedder->embed(std::vector<Image>{aligned, Image(112, 112)});
  REQUIRE(e.size() == 8);
  const double length = std::sqrt(200. * 200 + 100 * 100 + 50 * 50 + 10 * 10);
  CHECK(e[0] == doctest::Approx(200 / length).epsilon(1e-4));
  CHECK(e[1] == doctest::Approx(100 / length).epsilon(1e-4));
  CHECK(e[2] == doctest::Approx(50 / length).epsilon(1e-4));
  CHECK(e[3] == doctest::Approx(10 / length).epsilon(1e-4));
  CHECK(e[4] == doctest::Approx(0));
  CHECK(e[7] == doctest::Approx(1));
  expect_throw("expected 112 x 112", [&] { embedder->embed(std::vector<Image>{Image(100, 112)}); });
}

TEST_CASE("faces: a pool makes as many objects as are used at once, and none of one that failed") {
  std::atomic<int> made = 0;
  const Pool<int> pool([&] { return ++made; });
  CHECK(pool.with([&](int& a) { return a + pool.with([](int& b) { return 10 * b; }); }) == 21);
  CHECK(pool.with([](int& a) { return a; }) <= 2);
  CHECK(made == 2);
  CHECK_THROWS_AS(pool.with([](int&) -> int { throw Error("broken"); }), Error);
  pool.with([&](int&) { return pool.with([](int&) { return 0; }); });
  CHECK(made == 3);
}
