// data/faces/face_detector.h — where the faces of a photograph are: the interface, and the detectors by name.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/manifest.h"

namespace bonafide {

struct Face {
  Box box;                       // as the detector gives it: may reach outside the photograph
  float score = 0;               // higher is surer; the scale is the detector's own
  std::vector<Point> landmarks;  // left eye, right eye, nose, left and right mouth corner (left: smaller x); or none
};

class FaceDetector {
 public:
  virtual ~FaceDetector() = default;
  // Every face, in an order that depends on the photograph alone. Thread-safe; all calls that run at the same time have
  // memory of their own, which is kept for the next ones. Starts no threads but OpenMP's. An empty image has no faces.
  virtual std::vector<Face> detect(const Image& photo) const = 0;
  // What results depend on: name, model file and its digest, settings. One line.
  virtual std::string identity() const = 0;
  virtual bool has_landmarks() const = 0;
};

// "haar" (OpenCV's cascade out of Debian's package opencv-data), "haar:FILE" (another cascade), "mtcnn" (its weights in
// .cache/weights/mtcnn, where `./dev weights` puts them), "mtcnn:FOLDER" (elsewhere), "yunet:FILE" (the ONNX file of YuNet,
// which users bring). Throws an Error that lists the names where it is none of them, and one that names the file,
// and the package it is in, where that is missing or is no model.
std::unique_ptr<FaceDetector> make_face_detector(const std::string& name);
std::string face_detector_names();  // "haar, haar:FILE, mtcnn, …", for help and errors

// Index of the face with the largest box, as published: (x2 - x1)(y2 - y1), the first of equals. -1 where there is none.
std::int64_t largest_face(std::span<const Face> faces);
// Of the one with the highest score, the first of equals.
std::int64_t surest_face(std::span<const Face> faces);

}  // namespace bonafide
