// data/similarity.h — the turn, scale and move that bring points nearest to others.
#pragma once
#include <array>
#include <span>

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

}  // namespace bonafide
