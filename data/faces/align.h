// data/faces/align.h — a face turned, scaled and moved so that five landmarks come as near as possible to where a network
// expects them.
#pragma once
#include <array>
#include <span>

#include "data/image.h"
#include "data/manifest.h"

namespace bonafide {

// Turn, scale, move: x' = a x - b y + tx, y' = b x + a y + ty. Pixel centres are at whole numbers.
struct Similarity {
  double a = 1, b = 0, tx = 0, ty = 0;
  std::array<double, 2> apply(double x, double y) const { return {a * x - b * y + tx, b * x + a * y + ty}; }
  double scale() const;
  Similarity inverse() const;  // throws where the scale is 0
};

// The one that brings `from` nearest to `to`: least sum of squared distances (Umeyama 1991), never a reflection. With points
// centred and read as complex numbers z and w it is c = sum(conj(z) w) / sum(|z|^2), which is what the textbook's singular
// value decomposition comes to in the plane, its case of a reflection included. Double arithmetic. Throws: another number of
// points on each side or fewer than two, a coordinate that is no number, all points of `from` in one place, or points that no
// turn brings nearer than a single point does (an exact mirror image).
Similarity fit_similarity(std::span<const Point> from, std::span<const Point> to);

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
