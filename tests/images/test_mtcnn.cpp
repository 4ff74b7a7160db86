// tests/images/test_mtcnn.cpp — what MTCNN does between its networks, by hand; the whole cascade with the formula's weights
// against facenet-pytorch (tests/reference/make_face_networks.py); files of weights.
#include <atomic>
#include <fstream>
#include <thread>

#include "data/faces/mtcnn.h"
#include "data/faces/mtcnn_boxes.h"
#include "layers/functional/area_resize.h"
#include "tests/images/portrait.h"
#include "tests/support/formula_faces.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace bonafide::mtcnn;

namespace {

Candidate candidate(Box b, float score, std::array<float, 4> move = {}) { return {b, score, move, {}}; }
std::array<float, 4> corners(const Box& b) { return {b.x1, b.y1, b.x2, b.y2}; }
using Corners = std::array<float, 4>;
using Indices = std::vector<std::size_t>;

Image formula_photo(const std::string& name, int height, int width) {
  Image image = Image::uninitialized(height, width);
  const auto bytes = formula_image(name, 1, height, width);
  std::copy(bytes.begin(), bytes.end(), image.pixels.begin());
  return image;
}

}  // namespace

TEST_CASE("mtcnn: scales of the pyramid") {
  const auto scales = pyramid_scales(480, 640);
  // 480 * 0.6 = 288, times 0.709^k: 204.2, 144.8, 102.6, 72.8, 51.6, 36.6, 25.9, 18.4, 13.0, 9.2
  REQUIRE(scales.size() == 10);
  CHECK(scales[0] == doctest::Approx(0.6));
  CHECK(scales[9] == doctest::Approx(0.6 * std::pow(0.709, 9)));
  CHECK(pyramid_scales(640, 480) == scales);
  CHECK(pyramid_scales(20, 3000).size() == 1);
  CHECK(pyramid_scales(19, 3000).empty());
  CHECK(pyramid_scales(100, 100, 100, 0.5) == std::vector<double>{0.12});
  CHECK(pyramid_scales(100, 200, 50, 0.5) == std::vector<double>{0.24, 0.12});
  CHECK(scaled_side(480, 0.6) == 289);
  CHECK(scaled_side(33, 0.5) == 17);
}

TEST_CASE("mtcnn: cells become windows of the photograph") {
  // Two columns and rows of a map that begins with row 3; P(face) = 1 / (1 + e^(none - face)).
  std::vector<float> answers(2 * 2 * 6);
  const auto cell = [&](int y, int x) { return answers.data() + (y * 2 + x) * 6; };
  cell(0, 0)[0] = 1;                                                             // sure that there is none
  cell(0, 1)[1] = 3, cell(0, 1)[2] = 0.1f, cell(0, 1)[5] = -0.2f;                // P = 0.9526
  cell(1, 0)[0] = 0.001f, cell(1, 0)[1] = 0.001f + float(std::log(0.6 / 0.4)) + 1e-4f;  // just above 0.6
  cell(1, 1)[1] = float(std::log(0.6 / 0.4)) - 1e-4f;                            // just below
  std::vector<Candidate> found;
  decode_cells(answers, 2, 2, 3, 0.6, 0.6f, found);
  REQUIRE(found.size() == 2);
  // Cell (1, 3): x from (2 + 1) / 0.6 = 5 to (2 + 12) / 0.6 = 23.3, y from 7 / 0.6 = 11.7 to 18 / 0.6 = 30; in f32, where 0.6
  // is a little more, 3 / 0.6 is rounded to 5 and 18 / 0.6 to 29.999998, as in PyTorch.
  CHECK(corners(found[0].box) == Corners{5, 11, 23, 29});
  CHECK(found[0].score == doctest::Approx(0.952574).epsilon(1e-5));
  CHECK(found[0].move == Corners{0.1f, 0, 0, -0.2f});
  CHECK(corners(found[1].box) == Corners{1, 14, 20, 33});
  CHECK(found[1].score >= 0.6f);
  CHECK(face_probability(0, 0) == 0.5f);
  CHECK(face_probability(-200, 200) == 1.0f);
  CHECK(face_probability(200, -200) == 0.0f);
  expect_throw("PNet: 24 answers for 2 x 3 cells", [&] { decode_cells(answers, 2, 3, 0, 1, 0.6f, found); });
}

TEST_CASE("mtcnn: suppression by intersection over union") {
  // 10 x 10 squares, shifted by d: common (10 - d) * 10, union 100 + 10 d. d = 3: 70 / 130 = 0.54; d = 4: 60 / 140 = 0.43.
  const std::vector<Candidate> c{candidate({0, 0, 10, 10}, 0.7f), candidate({3, 0, 13, 10}, 0.9f), candidate({4, 0, 14, 10}, 0.8f),
                                 candidate({7, 0, 17, 10}, 0.6f), candidate({50, 50, 60, 60}, 0.65f)};
  // 0.9 drops 0.8 (90 / 110) and 0.7 (0.54); 0.6 is 4 away: stays.
  CHECK(suppress(c, 0.5, Overlap::of_union) == Indices{1, 4, 3});
  CHECK(suppress(c, 0.55, Overlap::of_union) == Indices{1, 0, 4, 3});
  CHECK(suppress(c, 0.3, Overlap::of_union) == Indices{1, 4});
  CHECK(suppress({}, 0.5, Overlap::of_union).empty());
  // A share that equals the limit stays: 50 / 100.
  const std::vector<Candidate> half{candidate({0, 0, 10, 10}, 0.9f), candidate({0, 0, 10, 5}, 0.8f)};
  CHECK(suppress(half, 0.5, Overlap::of_union).size() == 2);
  CHECK(suppress(half, 0.49, Overlap::of_union).size() == 1);
  // Of equal scores the first. Boxes that touch have nothing in common.
  CHECK(suppress(std::vector{candidate({0, 0, 9, 9}, 1), candidate({0, 0, 9, 9}, 1), candidate({9, 0, 18, 9}, 1)}, 0.01, Overlap::of_union) == Indices{0, 2});
  // What was dropped drops nothing: 0 drops 1, so that 2, which only 1 covers, stays.
  CHECK(suppress(std::vector{candidate({0, 0, 10, 10}, 3), candidate({4, 0, 14, 10}, 2), candidate({8, 0, 18, 10}, 1)}, 0.4, Overlap::of_union) == Indices{0, 2});
}

TEST_CASE("mtcnn: suppression by intersection over the smaller, sides counted in pixels") {
  // 11 x 11 = 121 and 6 x 6 = 36 pixels, all of them common.
  std::vector<Candidate> c{candidate({0, 0, 10, 10}, 0.9f), candidate({2, 2, 7, 7}, 0.95f), candidate({11, 0, 20, 10}, 0.8f)};
  CHECK(suppress(c, 0.7, Overlap::of_smaller) == Indices{1, 2});
  CHECK(suppress(c, 0.7, Overlap::of_union) == Indices{1, 0, 2});
  // Columns 6 to 10 of 6 to 16 and 0 to 10: 5 of 11 columns = 0.4545.
  c = {candidate({0, 0, 10, 10}, 0.9f), candidate({6, 0, 16, 10}, 0.8f)};
  CHECK(suppress(c, 0.4546, Overlap::of_smaller).size() == 2);
  CHECK(suppress(c, 0.4545, Overlap::of_smaller).size() == 1);
  // Of equal scores the last.
  CHECK(suppress(std::vector{candidate({0, 0, 9, 9}, 1), candidate({1, 0, 10, 9}, 1), candidate({0, 0, 9, 9}, 0.9f)}, 0.5, Overlap::of_smaller) == Indices{1});
  keep_best(c, 0.3, Overlap::of_smaller);
  REQUIRE(c.size() == 1);
  CHECK(c[0].score == 0.9f);
}

TEST_CASE("mtcnn: regression, squares, pixels, landmarks") {
  CHECK(corners(regressed({10, 20, 30, 60}, {0.1f, 0.25f, -0.5f, 1}, false)) == Corners{12, 30, 20, 100});
  CHECK(corners(regressed({10, 20, 29, 59}, {0.1f, 0.25f, -0.5f, 1}, true)) == Corners{12, 30, 19, 99});
  CHECK(corners(squared({10, 20, 30, 60})) == Corners{0, 20, 40, 60});
  CHECK(corners(squared({10, 20, 40, 30})) == Corners{10, 10, 40, 40});
  CHECK(pixels_of({3.9f, 4.2f, 10.9f, 12.1f}, 100, 100) == Pixels{2, 3, 10, 12});
  CHECK(pixels_of({0.9f, -5, 120, 99.5f}, 100, 100) == Pixels{0, 0, 100, 99});
  CHECK(pixels_of({1, 2, 1, 2}, 9, 9) == Pixels{0, 1, 1, 2});  // the pixel at corner (1, 2) counted from 1
  CHECK(pixels_of({-9, -9, -1, 5}, 9, 9).empty());
  CHECK(pixels_of({12, 0, 20, 5}, 9, 9).empty());
  CHECK_FALSE(pixels_of({9, 9, 30, 30}, 9, 9).empty());
  CHECK(pixels_of({std::nanf(""), 0, 1e30f, 5}, 9, 9) == Pixels{0, 0, 9, 5});
  const std::vector<float> p{0, 0.5f, 1, 0.25f, 0.75f, 0, 0.1f, 0.2f, 0.3f, 0.4f};
  const auto points = landmarks_in({11, 21, 30, 70}, p);  // 20 x 50 pixels
  CHECK(points == std::vector<Point>{{10, 20}, {20, 25}, {30, 30}, {15, 35}, {25, 40}});
}

TEST_CASE("mtcnn: pixels averaged to a network's input are the area resize of that part") {
  const Image photo = formula_photo("average", 61, 83);
  Context ctx;
  struct Case {
    Pixels part;
    int height, width;
  };
  for (const Case& c : {Case{{0, 0, 83, 61}, 37, 50}, {{5, 7, 29, 31}, 24, 24}, {{60, 40, 83, 61}, 48, 48}, {{80, 60, 81, 61}, 24, 24}, {{10, 0, 70, 60}, 24, 24}}) {
    const int h = c.part.y2 - c.part.y1, w = c.part.x2 - c.part.x1;
    std::vector<float> x;
    for (int y = 0; y < h; ++y)
      for (int i = 0; i < 3 * w; ++i) x.push_back(float(photo.at(c.part.y1 + y, c.part.x1)[i]));
    std::vector<double> want;
    for (const float v : fn::area_resize(Tensor::from_host(ctx, {1, h, w, 3}, x), c.height, c.width).to_host()) want.push_back((double(v) - 127.5) / 128);
    std::vector<float> all(want.size());
    average_pixels(photo, c.part, c.height, c.width, 0, c.height, Span<float>(all));
    expect_close("all rows", all, want, 1e-6, 1e-6);
    std::vector<float> some(std::size_t(5) * std::size_t(c.width) * 3);
    average_pixels(photo, c.part, c.height, c.width, 3, 5, Span<float>(some));
    CHECK(std::equal(some.begin(), some.end(), all.begin() + 9 * c.width));
  }
  // One white pixel of four: 255 / 4.
  Image four(2, 2);
  std::fill_n(four.at(1, 0), 3, 255);
  std::vector<float> one(3);
  average_pixels(four, {0, 0, 2, 2}, 1, 1, 0, 1, Span<float>(one));
  CHECK(one[2] == (255 / 4.0f - 127.5f) / 128);
  expect_throw("pixels (0, 0) to (3, 2) of 2 x 2", [&] { average_pixels(four, {0, 0, 3, 2}, 1, 1, 0, 1, Span<float>(one)); });
  expect_throw("rows 0 to 2 of 1 in 3 numbers", [&] { average_pixels(four, {0, 0, 2, 2}, 1, 1, 0, 2, Span<float>(one)); });
}

TEST_CASE("mtcnn: the whole cascade finds the faces that facenet-pytorch finds, the same on any number of threads") {
  const auto all = fixture("face_networks.json")["cascade"];
  REQUIRE(all.size() == 4);
  const TempFolder folder;
  for (const auto& [name, want] : all.items()) {
    CAPTURE(name);
    write_formula_mtcnn(folder / "weights", want["gain"]);
    const auto thresholds = numbers(want["thresholds"]);
    const auto detector = make_mtcnn_detector((folder / "weights").string(), {},
                                              {.least_face = want["least_face"],
                                               .factor = want["factor"],
                                               .thresholds = {float(thresholds[0]), float(thresholds[1]), float(thresholds[2])}});
    const Image photo = formula_photo(name, want["shape"][0], want["shape"][1]);
    const std::vector<Face> faces = detector->detect(photo);
    std::vector<float> boxes, scores, landmarks;
    for (const Face& f : faces) {
      boxes.insert(boxes.end(), {f.box.x1, f.box.y1, f.box.x2, f.box.y2});
      scores.push_back(f.score);
      for (const Point& p : f.landmarks) landmarks.insert(landmarks.end(), {p.x, p.y});
    }
    expect_close("boxes", boxes, numbers(want["boxes"]), 1e-4, 1e-3);
    expect_close("scores", scores, numbers(want["scores"]), 1e-5, 1e-5);
    expect_close("landmarks", landmarks, numbers(want["landmarks"]), 1e-4, 1e-3);
    CHECK(largest_face(faces) == 0);

    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        const std::vector<Face> again = detector->detect(photo);
        bool same = again.size() == faces.size();
        for (std::size_t i = 0; same && i < faces.size(); ++i)
          same = corners(again[i].box) == corners(faces[i].box) && again[i].score == faces[i].score && again[i].landmarks == faces[i].landmarks;
        wrong += !same;
      });
    for (auto& t : threads) t.join();
    CHECK(wrong == 0);
    CHECK(detector->detect(Image()).empty());
    CHECK(detector->detect(Image(19, 300)).empty());
  }
}

TEST_CASE("mtcnn: weights: where they are looked for, what is said where they are not, or are others") {
  const TempFolder folder;
  write_formula_mtcnn(folder / "weights");
  const std::string weights = (folder / "weights").string();
  const auto detector = make_face_detector("mtcnn:" + weights);
  CHECK(detector->identity().starts_with("mtcnn least face 20, pnet.safetensors xxh3-128:"));
  CHECK(detector->has_landmarks());
  CHECK(find_mtcnn_weights({folder / "none", weights}) == weights);
  expect_throw("needs pnet.pt, rnet.pt and onet.pt, which are not in /nowhere, /nor/here: ./dev weights fetches them",
               [] { find_mtcnn_weights({"/nowhere", "/nor/here"}); });
  expect_throw("'mtcnn:' names no folder; expected mtcnn, mtcnn:FOLDER", [] { make_face_detector("mtcnn:"); });
  expect_throw((folder / "none" / "pnet.pt").string(), [&] { make_face_detector("mtcnn:" + (folder / "none").string()); });
  std::filesystem::copy_file(folder / "weights" / "pnet.safetensors", folder / "weights" / "onet.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  expect_throw("onet.safetensors: conv1.weight has shape [10, 3, 3, 3]", [&] { make_face_detector("mtcnn:" + weights); });
}
