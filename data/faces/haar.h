// data/faces/haar.h — the detector that needs no download: OpenCV's boosted cascade of Haar features.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/faces/face_detector.h"

namespace bonafide {

// Upright frontal faces; no landmarks; the score is how many neighbouring windows agreed. An empty `file` means
// haarcascade_frontalface_alt2.xml of the package opencv-data. Photographs are looked at with at most 1024 pixels on the
// longer side, faces from a twentieth of that (at least 24 pixels).
std::unique_ptr<FaceDetector> make_haar_detector(const std::string& file);

// The first of the folders that has the cascade; an Error that lists them and names the package where none has.
std::string find_haar_cascade(const std::vector<std::filesystem::path>& folders);

}  // namespace bonafide
