// tests/host/test_similarity.cpp — turn, scale and move from points: hand-computed cases and what is refused. (Umeyama's formula
// with OpenCV's singular value decomposition: tests/images/test_align.cpp.)
#include "data/similarity.h"

#include <cmath>

#include "tests/support/support.h"

using namespace bonafide;
using test::expect_throw;

using Points = std::vector<Point>;

TEST_CASE("similarity: hand-computed turns, scales and moves") {
  const Points unit{{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  const auto expect = [&](const Points& to, double a, double b, double tx, double ty) {
    const Similarity s = fit_similarity(unit, to);
    CHECK(std::abs(s.a - a) + std::abs(s.b - b) + std::abs(s.tx - tx) + std::abs(s.ty - ty) < 1e-14);
  };
  expect(unit, 1, 0, 0, 0);
  expect({{3, -2}, {4, -2}, {4, -1}, {3, -1}}, 1, 0, 3, -2);
  expect({{0, 0}, {2, 0}, {2, 2}, {0, 2}}, 2, 0, 0, 0);
  expect({{0, 0}, {0, 1}, {-1, 1}, {-1, 0}}, 0, 1, 0, 0);       // a quarter turn: x to y
  expect({{5, 5}, {8, 1}, {12, 4}, {9, 8}}, 3, -4, 5, 5);       // 3-4-5: scale 5, turned
  expect({{0, 0}, {1, 0}, {1, 0}, {0, 0}}, 0.5, 0, 0.25, -0.25);  // squashed flat: half the size, in the middle
  const Similarity s = fit_similarity(unit, Points{{5, 5}, {8, 1}, {12, 4}, {9, 8}});
  CHECK(std::abs(s.scale() - 5) < 1e-14);
  const auto [x, y] = s.inverse().apply(12, 4);
  CHECK(std::abs(x - 1) + std::abs(y - 1) < 1e-14);
  // Two points are enough, and are met.
  const Similarity two = fit_similarity(Points{{10, 20}, {30, 20}}, Points{{38, 51}, {73, 50}});
  const auto first = two.apply(10, 20), second = two.apply(30, 20);
  CHECK(std::hypot(first[0] - 38, first[1] - 51) + std::hypot(second[0] - 73, second[1] - 50) < 1e-10);
}

TEST_CASE("similarity: points that cannot be aligned are errors, each with its own reason") {
  const Points square{{0, 0}, {1, 0}, {1, 1}, {0, 1}};
  expect_throw("cannot align 4 points with 3", [&] { fit_similarity(square, Points(3)); });
  expect_throw("cannot align 1 points with 1", [&] { fit_similarity(Points(1), Points(1)); });
  expect_throw("all in one place", [&] { fit_similarity(Points(4, Point{3, 4}), square); });
  expect_throw("mirror image", [&] { fit_similarity(square, Points{{0, 0}, {-1, 0}, {-1, 1}, {0, 1}}); });
  expect_throw("mirror image", [&] { fit_similarity(square, Points(4, Point{3, 4})); });
  Points nan = square;
  nan[2].y = NAN;
  expect_throw("no number", [&] { fit_similarity(nan, square); });
  expect_throw("no number", [&] { fit_similarity(square, nan); });
  expect_throw("scale 0", [] { Similarity{0, 0, 1, 1}.inverse(); });
}
