// data/faces/pixels.h — an embedder that needs no weights and knows nothing of faces: it recognises a photograph, not a person.
//
// The 80 lowest cosine frequencies of the grey face box, shrunk to 32 x 32, without its mean:
//   c[v][u] = s(u) s(v) sum_xy g[y][x] cos(pi u (2x + 1) / 64) cos(pi v (2y + 1) / 64)     u, v = 0 … 8, not both 0
// with g = (77 R + 150 G + 29 B) / 256 and s(0) = sqrt(1/2), else 1; then divided by its length. Brightness drops out, contrast
// with it. Two captures of one photograph are near each other where their boxes agree; two photographs of one person need not be.
#pragma once
#include <memory>

#include "data/faces/face_embedder.h"

namespace bonafide {

std::unique_ptr<FaceEmbedder> make_pixel_embedder();

}  // namespace bonafide
