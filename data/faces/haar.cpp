// data/faces/haar.cpp — cv::CascadeClassifier, one for each thread that detects.
#include "data/faces/haar.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>

#include "data/faces/pool.h"
#include "data/faces/working_size.h"
#include "data/images/opencv.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCascade = "haarcascade_frontalface_alt2.xml";
constexpr int kLongestSide = 1024, kSmallestFace = 24;
constexpr double kPyramidStep = 1.1;
constexpr int kNeighbours = 3;

cv::CascadeClassifier load(const std::string& file) {
  cv::CascadeClassifier cascade;
  bool good = false;
  try {
    good = cascade.load(file);
  } catch (const cv::Exception&) {  // what is no XML
  }
  if (!good) throw Error(file + ": is no cascade that OpenCV reads");
  return cascade;
}

class HaarDetector final : public FaceDetector {
 public:
  explicit HaarDetector(const std::string& file)
      : identity_(str("haar ", fs::path(file).filename().string(), " ", file_digest(file))), cascades_([file] { return load(file); }) {
    images::single_threaded_opencv();
    cascades_.with([](const cv::CascadeClassifier&) { return 0; });  // a file that is no cascade is told now
  }

  std::vector<Face> detect(const Image& photo) const override {
    if (photo.empty()) return {};
    double scale = 1;
    cv::Mat grey;
    cv::cvtColor(at_working_size(photo, kLongestSide, scale), grey, cv::COLOR_RGB2GRAY);
    cv::equalizeHist(grey, grey);
    const int smallest = std::max(kSmallestFace, std::max(grey.rows, grey.cols) / 20);
    return cascades_.with([&](cv::CascadeClassifier& cascade) {
      std::vector<cv::Rect> boxes;
      std::vector<int> agreeing;
      cascade.detectMultiScale(grey, boxes, agreeing, kPyramidStep, kNeighbours, 0, {smallest, smallest});
      std::vector<Face> faces(boxes.size());
      for (std::size_t i = 0; i < boxes.size(); ++i) {
        const auto original = [&](int v) { return float(v / scale); };
        const cv::Rect& b = boxes[i];
        faces[i].box = {original(b.x), original(b.y), original(b.x + b.width), original(b.y + b.height)};
        faces[i].score = float(agreeing[i]);
      }
      return faces;
    });
  }
  std::string identity() const override { return identity_; }
  bool has_landmarks() const override { return false; }

 private:
  std::string identity_;
  Pool<cv::CascadeClassifier> cascades_;
};

}  // namespace

std::string find_haar_cascade(const std::vector<fs::path>& folders) {
  std::string looked;
  for (const fs::path& folder : folders) {
    std::error_code ignored;
    if (fs::is_regular_file(folder / kCascade, ignored)) return (folder / kCascade).string();
    looked += (looked.empty() ? "" : ", ") + folder.string();
  }
  throw Error(str("the face detector haar needs ", kCascade, ", which is not in ", looked,
                  ": install it (apt-get install opencv-data), or name a cascade: haar:FILE"));
}

std::unique_ptr<FaceDetector> make_haar_detector(const std::string& file) {
  return std::make_unique<HaarDetector>(file.empty() ? find_haar_cascade({"/usr/share/opencv4/haarcascades",
                                                                          "/usr/local/share/opencv4/haarcascades",
                                                                          "/usr/share/opencv/haarcascades"})
                                                     : file);
}

}  // namespace bonafide
