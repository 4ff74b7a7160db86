// data/faces/mtcnn.h — MTCNN on our own engine, from the weights that facenet-pytorch publishes (`./dev weights` fetches them).
#pragma once
#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/faces/face_detector.h"
#include "engine/device.h"

namespace bonafide {

struct MtcnnSettings {  // facenet-pytorch's defaults
  int least_face = 20;  // pixels
  double factor = 0.709;
  std::array<float, 3> thresholds{0.6f, 0.7f, 0.7f};
};

// Boxes are fractions of pixels and may reach outside the photograph; five landmarks; the score is P(face). Faces come largest
// first. `folder` has pnet.pt, rnet.pt and onet.pt (or the same names with .safetensors); empty: find_mtcnn_weights(). Computes
// on `device`; every concurrent call has networks of its own (2 MB).
std::unique_ptr<FaceDetector> make_mtcnn_detector(const std::string& folder, Device device = {}, const MtcnnSettings& settings = {});

// The first of the folders that has the three files; an Error that lists them and says how to get the files where none has.
std::string find_mtcnn_weights(const std::vector<std::filesystem::path>& folders);

}  // namespace bonafide
