// data/similarity.cpp
#include "data/similarity.h"

#include <cmath>

namespace bonafide {

double Similarity::scale() const { return std::hypot(a, b); }

Similarity Similarity::inverse() const {
  const double squared = a * a + b * b;
  if (!(squared > 0)) throw Error("a similarity of scale 0 cannot be turned round");
  Similarity s;
  s.a = a / squared, s.b = -b / squared;
  s.tx = -(s.a * tx - s.b * ty), s.ty = -(s.b * tx + s.a * ty);
  return s;
}

Similarity fit_similarity(std::span<const Point> from, std::span<const Point> to) {
  if (from.size() != to.size() || from.size() < 2)
    throw Error(str("cannot align ", from.size(), " points with ", to.size(), ": expected as many, and at least 2"));
  const double n = double(from.size());
  double fx = 0, fy = 0, ux = 0, uy = 0;
  for (std::size_t i = 0; i < from.size(); ++i)
    fx += from[i].x, fy += from[i].y, ux += to[i].x, uy += to[i].y;
  fx /= n, fy /= n, ux /= n, uy /= n;
  double re = 0, im = 0, squares = 0, target = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const double x = from[i].x - fx, y = from[i].y - fy, u = to[i].x - ux, v = to[i].y - uy;
    re += x * u + y * v, im += x * v - y * u;
    squares += x * x + y * y, target += u * u + v * v;
  }
  if (!std::isfinite(squares) || !std::isfinite(target)) throw Error("cannot align points with a coordinate that is no number");
  if (squares == 0) throw Error("cannot align points that are all in one place");
  // Nothing but rounding is left of the sums where each turn is as bad as the next.
  if (std::hypot(re, im) <= 1e-12 * std::sqrt(squares * target)) throw Error("cannot align points with their mirror image");
  Similarity s;
  s.a = re / squares, s.b = im / squares;
  s.tx = ux - (s.a * fx - s.b * fy), s.ty = uy - (s.b * fx + s.a * fy);
  return s;
}

}  // namespace bonafide
