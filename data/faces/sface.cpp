// data/faces/sface.cpp — cv::FaceRecognizerSF, one for each thread that embeds.
#include "data/faces/sface.h"

#include <cmath>
#include <filesystem>
#include <opencv2/imgproc.hpp>
#include <opencv2/objdetect.hpp>

#include "data/faces/align.h"
#include "data/faces/pool.h"
#include "data/images/opencv.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

constexpr int kSide = 112;

using Network = cv::Ptr<cv::FaceRecognizerSF>;

Network load(const std::string& file) {
  try {
    return cv::FaceRecognizerSF::create(file, "");
  } catch (const cv::Exception& e) {
    throw Error(str(file, ": is no model that OpenCV ", CV_VERSION, " reads: ", e.err));
  }
}

class SfaceEmbedder final : public FaceEmbedder {
 public:
  explicit SfaceEmbedder(const std::string& file)
      : file_(file),
        identity_(str("sface ", std::filesystem::path(file).filename().string(), " ", file_digest(file))),
        networks_([file] { return load(file); }) {
    images::single_threaded_opencv();
    dimension_ = feature(Image(kSide, kSide)).cols;  // a file that is no such model is told now
  }

  int dimension() const override { return dimension_; }

  Image prepare(const Image& photo, const Face& face) const override {
    if (face.landmarks.size() != 5) throw Error("sface needs five landmarks of a face: the detector gives none");
    return align_face(photo, face.landmarks, arcface_template(kSide), kSide);
  }

  std::vector<float> embed(std::span<const Image> faces) const override {
    std::vector<float> all;
    for (const Image& face : faces) {
      BF_CHECK(face.height == kSide && face.width == kSide, "a face of ", face.height, " x ", face.width, ", expected 112 x 112");
      const cv::Mat f = feature(face);
      double squares = 0;
      for (int i = 0; i < f.cols; ++i) squares += double(f.at<float>(i)) * f.at<float>(i);
      if (!std::isfinite(squares) || squares == 0) throw Error(file_ + ": an embedding of no length, or of no numbers");
      for (int i = 0; i < f.cols; ++i) all.push_back(float(f.at<float>(i) / std::sqrt(squares)));
    }
    return all;
  }
  std::string identity() const override { return identity_; }

 private:
  cv::Mat feature(const Image& face) const {
    cv::Mat bgr;
    cv::cvtColor(images::as_mat(face), bgr, cv::COLOR_RGB2BGR);
    return networks_.with([&](const Network& network) {
      cv::Mat f;
      try {
        network->feature(bgr, f);
      } catch (const cv::Exception& e) {
        throw Error(str(file_, ": does not compute what SFace does: ", e.err));
      }
      if (f.type() != CV_32F || f.rows != 1 || f.cols < 2)
        throw Error(str(file_, ": does not compute what SFace does: its result has the shape ", f.rows, " x ", f.cols));
      return f.clone();
    });
  }

  std::string file_, identity_;
  int dimension_ = 0;
  Pool<Network> networks_;
};

}  // namespace

std::unique_ptr<FaceEmbedder> make_sface_embedder(const std::string& file) { return std::make_unique<SfaceEmbedder>(file); }

}  // namespace bonafide
