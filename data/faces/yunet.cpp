// data/faces/yunet.cpp — cv::FaceDetectorYN, one for each thread that detects.
#include "data/faces/yunet.h"

#include <cmath>
#include <filesystem>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>

#include "data/faces/pool.h"
#include "data/faces/working_size.h"
#include "data/images/opencv.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

constexpr int kLongestSide = 1024, kMostFaces = 5000;
constexpr float kLeastScore = 0.7f, kMostOverlap = 0.3f;

using Network = cv::Ptr<cv::FaceDetectorYN>;

Network load(const std::string& file) {
  try {
    return cv::FaceDetectorYN::create(file, "", {64, 64}, kLeastScore, kMostOverlap, kMostFaces);
  } catch (const cv::Exception& e) {
    throw Error(str(file, ": is no model that OpenCV ", CV_VERSION, " reads: ", e.err));
  }
}

class YunetDetector final : public FaceDetector {
 public:
  explicit YunetDetector(const std::string& file)
      : file_(file),
        identity_(str("yunet ", std::filesystem::path(file).filename().string(), " ", file_digest(file))),
        networks_([file] { return load(file); }) {
    images::single_threaded_opencv();
    detect(Image(64, 64));  // a file that is no such model is told now
  }

  std::vector<Face> detect(const Image& photo) const override {
    if (photo.empty()) return {};
    double scale = 1;
    cv::Mat bgr;
    cv::cvtColor(at_working_size(photo, kLongestSide, scale), bgr, cv::COLOR_RGB2BGR);
    const cv::Mat rows = networks_.with([&](const Network& network) {
      cv::Mat found;
      try {
        network->setInputSize(bgr.size());
        network->detect(bgr, found);
      } catch (const cv::Exception& e) {
        throw Error(str(file_, ": does not compute what YuNet does: ", e.err));
      }
      return found.clone();
    });
    std::vector<Face> faces;
    for (int i = 0; i < rows.rows; ++i) {  // x, y, width, height, five points, score
      const auto value = [&](int column) { return float(rows.at<float>(i, column) / scale); };
      Face f;
      f.box = {value(0), value(1), value(0) + value(2), value(1) + value(3)};
      for (int k = 0; k < 5; ++k) f.landmarks.push_back({value(4 + 2 * k), value(5 + 2 * k)});
      f.score = rows.at<float>(i, 14);
      bool finite = std::isfinite(f.score);
      for (int c = 0; c < 14; ++c) finite = finite && std::isfinite(rows.at<float>(i, c));
      if (finite) faces.push_back(std::move(f));
    }
    return faces;
  }
  std::string identity() const override { return identity_; }
  bool has_landmarks() const override { return true; }

 private:
  std::string file_, identity_;
  Pool<Network> networks_;
};

}  // namespace

std::unique_ptr<FaceDetector> make_yunet_detector(const std::string& file) { return std::make_unique<YunetDetector>(file); }

}  // namespace bonafide
