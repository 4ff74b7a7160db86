// data/faces/face_embedder.cpp — embedders by name.
#include "data/faces/face_embedder.h"

#include <algorithm>

#include "data/faces/inception.h"
#include "data/faces/pixels.h"
#include "data/faces/sface.h"

namespace bonafide {

std::string face_embedder_names() { return "inception:FILE, sface:FILE or pixels"; }

std::unique_ptr<FaceEmbedder> make_face_embedder(const std::string& name, Device device) {
  const std::size_t colon = std::min(name.find(':'), name.size());
  const std::string kind = name.substr(0, colon), file = name.substr(std::min(colon + 1, name.size()));
  if (kind == "pixels") {
    if (colon < name.size()) throw Error(str("'", name, "' names a file; pixels needs none"));
    if (device.kind != Device::cpu) throw Error("pixels computes on the CPU (device auto or cpu)");
    return make_pixel_embedder();
  }
  if (kind != "inception" && kind != "sface") throw Error(str("there is no face embedder '", name, "'; there are: ", face_embedder_names()));
  if (file.empty()) throw Error(str("'", name, "' names no file; expected ", kind, ":FILE"));
  if (kind == "inception") return make_inception_embedder(file, device);
  if (device.kind != Device::cpu) throw Error("sface computes on the CPU (device auto or cpu)");
  return make_sface_embedder(file);
}

}  // namespace bonafide
