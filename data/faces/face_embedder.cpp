// data/faces/face_embedder.cpp — embedders by name.
#include "data/faces/face_embedder.h"

#include "data/faces/sface.h"

namespace bonafide {

std::string face_embedder_names() { return "sface:FILE"; }

std::unique_ptr<FaceEmbedder> make_face_embedder(const std::string& name) {
  constexpr std::string_view kSface = "sface:";
  if (name.starts_with(kSface) && name.size() > kSface.size()) return make_sface_embedder(name.substr(kSface.size()));
  throw Error(str("there is no face embedder '", name, "'; there are: ", face_embedder_names()));
}

}  // namespace bonafide
