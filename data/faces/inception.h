// data/faces/inception.h — InceptionResnetV1 on our own engine, from the weights of facenet-pytorch that the user brings.
#pragma once
#include <memory>
#include <string>

#include "data/faces/face_embedder.h"
#include "engine/device.h"

namespace bonafide {

// The published preparation: the box cut to the photograph and to whole pixels (no margin, no turning), resized to 160 x 160
// as Pillow does, (v - 127.5) / 128; 512 numbers. `file`: 20180402-114759-vggface2.pt, or any with these names. Computes on
// `device`. Throws: no such file, another model's.
std::unique_ptr<FaceEmbedder> make_inception_embedder(const std::string& file, Device device = {});

// That cut: the first corner at least 0, the second at most the photograph's, both truncated. Throws where nothing is left.
Image cut_box(const Image& photo, const Box& box);

}  // namespace bonafide
