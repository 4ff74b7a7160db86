// data/faces/face_detector.cpp — detectors by name, and which face of several.
#include "data/faces/face_detector.h"

#include <array>
#include <string_view>

#include "data/faces/haar.h"
#include "data/faces/mtcnn.h"
#include "data/faces/yunet.h"

namespace bonafide {
namespace {

struct Kind {
  std::string_view name, usage;
  bool needs_file;
  std::unique_ptr<FaceDetector> (*make)(const std::string& file);
};

constexpr std::array kKinds = {
    Kind{"haar", "haar, haar:FILE", false, make_haar_detector},
    Kind{"mtcnn", "mtcnn, mtcnn:FOLDER", false, [](const std::string& folder) { return make_mtcnn_detector(folder); }},
    Kind{"yunet", "yunet:FILE", true, make_yunet_detector},
};

template <class Key>
std::int64_t first_largest(std::span<const Face> faces, Key key) {
  std::int64_t best = -1;
  for (std::size_t i = 0; i < faces.size(); ++i)
    if (best < 0 || key(faces[i]) > key(faces[std::size_t(best)])) best = std::int64_t(i);
  return best;
}

}  // namespace

std::string face_detector_names() {
  std::string all;
  for (std::size_t i = 0; i < kKinds.size(); ++i)
    all += str(i == 0 ? "" : i + 1 < kKinds.size() ? ", " : " or ", kKinds[i].usage);
  return all;
}

std::unique_ptr<FaceDetector> make_face_detector(const std::string& name) {
  const std::size_t colon = name.find(':');
  const std::string file = colon == std::string::npos ? std::string() : name.substr(colon + 1);
  for (const Kind& k : kKinds) {
    if (name.substr(0, colon) != k.name) continue;
    if (file.empty() && (k.needs_file || colon != std::string::npos))
      throw Error(str("'", name, "' names no ", k.usage.ends_with("FOLDER") ? "folder" : "file", "; expected ", k.usage));
    return k.make(file);
  }
  throw Error(str("there is no face detector '", name, "'; there are: ", face_detector_names()));
}

std::int64_t largest_face(std::span<const Face> faces) {
  return first_largest(faces, [](const Face& f) { return (double(f.box.x2) - f.box.x1) * (double(f.box.y2) - f.box.y1); });
}

std::int64_t surest_face(std::span<const Face> faces) {
  return first_largest(faces, [](const Face& f) { return f.score; });
}

}  // namespace bonafide
