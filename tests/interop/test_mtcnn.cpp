// tests/interop/test_mtcnn.cpp — MTCNN with the published weights on real photographs, beside facenet-pytorch.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "data/faces/inception.h"
#include "data/faces/mtcnn.h"
#include "data/faces/triangle_resize.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "tests/interop/python.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

const fs::path kPhotos = fs::path(BF_SOURCE_DIR) / ".cache" / "photos";  // ./dev photos

bool no_facenet() {
  static const bool missing = python_lacks("\"torch\", \"torchvision\", \"facenet_pytorch\", \"PIL\"") || !fs::exists(kPhotos / "johns");
  return missing;
}

std::map<std::string, std::vector<Face>> read_faces(const fs::path& file) {
  std::map<std::string, std::vector<Face>> all;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string name;
    Face f;
    words >> name >> f.score >> f.box.x1 >> f.box.y1 >> f.box.x2 >> f.box.y2;
    for (Point p; words >> p.x >> p.y;) f.landmarks.push_back(p);
    REQUIRE(f.landmarks.size() == 5);
    all[name].push_back(f);
  }
  return all;
}

double apart(const Box& a, const Box& b) {
  return std::max({std::abs(a.x1 - b.x1), std::abs(a.y1 - b.y1), std::abs(a.x2 - b.x2), std::abs(a.y2 - b.y2)});
}

}  // namespace

TEST_CASE("interop: MTCNN finds facenet-pytorch's faces in real photographs, and cuts them out as it does" * doctest::skip(no_facenet())) {
  const TempFolder folder;
  run_python("tests/interop/facenet_side.py", "--weights > '" + (folder / "where").string() + "'");
  std::string weights = read_file(folder / "where");
  weights.pop_back();
  const auto detector = make_mtcnn_detector(weights);
  std::map<std::string, Image> photos;
  for (const char* part : {"faces", "johns"})
    for (const auto& e : fs::recursive_directory_iterator(kPhotos / part))
      if (e.path().extension() == ".jpg") {
        const std::string name = e.path().parent_path().filename().string() + "-" + e.path().stem().string();
        std::string plain;
        for (const char c : name) plain += c == ' ' ? '_' : c;
        photos[plain] = decode_image(e.path().string());
        write_png((folder / (plain + ".png")).string(), photos[plain]);  // both sides see the same pixels
      }
  REQUIRE(photos.size() >= 30);
  run_python("tests/interop/facenet_side.py", "'" + folder.path().string() + "'");
  const auto theirs = read_faces(folder / "faces.txt");

  constexpr float kLastThreshold = 0.7f, kNear = 1e-3f;
  int faces = 0, near = 0, cuts = 0, larger_photos = 0;
  double worst_box = 0, worst_point = 0, worst_score = 0;
  for (const auto& [name, photo] : photos) {
    CAPTURE(name);
    const std::vector<Face> want = theirs.count(name) ? theirs.at(name) : std::vector<Face>();
    std::vector<Face> got = detector->detect(photo);
    larger_photos += photo.width > 300;
    const auto on_the_edge = [&](const Face& f, const char* whose) {
      if (std::abs(f.score - kLastThreshold) > kNear) return false;
      ++near;
      MESSAGE(name, ": a face of ", whose, " alone has the score ", f.score);
      return true;
    };
    for (const Face& w : want) {
      const auto nearest = std::min_element(got.begin(), got.end(), [&](const Face& a, const Face& b) { return apart(a.box, w.box) < apart(b.box, w.box); });
      if (nearest == got.end() || apart(nearest->box, w.box) > 1) {
        CHECK_MESSAGE(on_the_edge(w, "theirs"), "no face at ", w.box.x1, " ", w.box.y1, " ", w.box.x2, " ", w.box.y2, ", score ", w.score);
        continue;
      }
      ++faces;
      worst_box = std::max(worst_box, apart(nearest->box, w.box));
      worst_score = std::max(worst_score, double(std::abs(nearest->score - w.score)));
      REQUIRE(nearest->landmarks.size() == 5);
      for (std::size_t k = 0; k < 5; ++k)
        worst_point = std::max({worst_point, double(std::abs(nearest->landmarks[k].x - w.landmarks[k].x)), double(std::abs(nearest->landmarks[k].y - w.landmarks[k].y))});
      got.erase(nearest);
    }
    for (const Face& f : got) CHECK_MESSAGE(on_the_edge(f, "ours"), "a face that is not theirs, score ", f.score);
    if (want.empty()) continue;
    // The largest face through Pillow: the same bytes up to its version 10, within 1 where it chooses the order of its passes.
    const std::string cut = read_file(folder / (name + ".cut"));
    const Image own = triangle_resize(cut_box(photo, want[0].box), 160, 160);
    REQUIRE(cut.size() == own.pixels.size());
    int worst = 0;
    for (std::size_t i = 0; i < cut.size(); ++i) worst = std::max(worst, std::abs(int(own.pixels[i]) - int(std::uint8_t(cut[i]))));
    CHECK(worst <= 1);
    cuts += worst == 0;
  }
  MESSAGE(photos.size(), " photographs (", larger_photos, " wider than 300 pixels), ", faces, " faces alike, ", near, " within 1e-3 of the threshold; boxes within ",
          worst_box, " pixels, landmarks within ", worst_point, ", scores within ", worst_score, "; ", cuts, " cuts the same to the byte");
  CHECK(faces >= 60);
  CHECK(larger_photos >= 10);
  CHECK(worst_box <= 1);
  CHECK(worst_point <= 1.5);
  CHECK(worst_score <= 1e-3);
}
