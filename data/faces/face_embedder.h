// data/faces/face_embedder.h — faces as unit vectors whose dot product says how much alike two are: the interface, and the
// embedders by name.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/faces/face_detector.h"
#include "engine/device.h"

namespace bonafide {

// Two steps, so that the first runs on many threads and the second on many faces at once (data/work_list.h: work, finish).
class FaceEmbedder {
 public:
  virtual ~FaceEmbedder() = default;
  virtual int dimension() const = 0;  // numbers in an embedding
  // The network's input: the face cut out of the photograph, aligned where the network wants it. Thread-safe. Throws an
  // Error where the face lacks what is needed (landmarks).
  virtual Image prepare(const Image& photo, const Face& face) const = 0;
  // [faces, dimension()], each of length 1; row i depends on faces[i] alone. Thread-safe, but calls may wait for each other.
  // Throws where a result is no number or is zero.
  virtual std::vector<float> embed(std::span<const Image> faces) const = 0;
  virtual std::string identity() const = 0;  // as FaceDetector's; its last word is the digest of the model's file,
                                             // or, without one, the version of the formula
};

// "inception:FILE": facenet-pytorch's InceptionResnetV1, on `device`; "sface:FILE": the ONNX file of SFace, on the CPU. Users
// bring either file. "pixels" (data/faces/pixels.h), on the CPU, needs none: it recognises a photograph, not a person. Errors as make_face_detector().
std::unique_ptr<FaceEmbedder> make_face_embedder(const std::string& name, Device device = {});
std::string face_embedder_names();

}  // namespace bonafide
