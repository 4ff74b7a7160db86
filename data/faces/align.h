// data/faces/align.h — a face turned, scaled and moved so that five landmarks come as near as possible to where a network
// expects them.
#pragma once
#include <array>
#include <span>

#include "data/image.h"
#include "data/similarity.h"

namespace bonafide {

using FaceTemplate = std::array<Point, 5>;  // in pixels, in the order of Face::landmarks

// ArcFace's, for 112 x 112. Multiples of 112 scale it; multiples of 128 scale it by size / 128 and move it 8 * size / 128 to
// the right; other sizes throw.
FaceTemplate arcface_template(int size);
// AG-FAS's: fractions of the side, whatever the size. The face is smaller in it than in ArcFace's.
FaceTemplate agfas_template(int size = 256);

// The photograph seen through `to_output`: [height, width], bilinear between pixel centres, black where there is none.
Image warp(const Image& photo, const Similarity& to_output, int height, int width);

// fit_similarity and warp: [size, size]. `landmarks` are five.
Image align_face(const Image& photo, std::span<const Point> landmarks, const FaceTemplate& where, int size);

}  // namespace bonafide
