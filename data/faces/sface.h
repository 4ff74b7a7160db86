// data/faces/sface.h — SFace through OpenCV's dnn, from the ONNX file that the user brings.
#pragma once
#include <memory>
#include <string>

#include "data/faces/face_embedder.h"

namespace bonafide {

// Faces aligned by their landmarks to ArcFace's template of 112 x 112. Throws: no such file, no model that OpenCV reads.
std::unique_ptr<FaceEmbedder> make_sface_embedder(const std::string& file);

}  // namespace bonafide
