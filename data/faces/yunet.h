// data/faces/yunet.h — YuNet through OpenCV's dnn, from the ONNX file that the user brings.
#pragma once
#include <memory>
#include <string>

#include "data/faces/face_detector.h"

namespace bonafide {

// Boxes with five landmarks; the score is 0 to 1, faces from 0.7 on are given. Photographs are looked at with at most 1024
// pixels on the longer side. Throws: no such file, no model that OpenCV reads (OpenCV 4.6 wants the file of 2022mar).
std::unique_ptr<FaceDetector> make_yunet_detector(const std::string& file);

}  // namespace bonafide
