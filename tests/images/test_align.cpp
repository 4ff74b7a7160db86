// tests/images/test_align.cpp — similarity from landmarks against Umeyama's formula with a singular value decomposition
// (reflections included), templates, and the warp against hand-made pixels and OpenCV's.
#include "data/faces/align.h"

#include <cmath>
#include <opencv2/imgproc.hpp>

#include "engine/philox.h"
#include "tests/images/portrait.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

using Points = std::vector<Point>;

// The formula as it is printed: covariance, U D V^T, the sign of the last value turned where the determinant is negative.
struct Umeyama {
  cv::Matx22d linear;  // scale * rotation
  cv::Vec2d move;
  double determinant = 0;
};
Umeyama umeyama(const Points& from, const Points& to) {
  const double n = double(from.size());
  cv::Vec2d mf, mt;
  for (std::size_t i = 0; i < from.size(); ++i)
    mf += cv::Vec2d(from[i].x, from[i].y) / n, mt += cv::Vec2d(to[i].x, to[i].y) / n;
  cv::Matx22d covariance = cv::Matx22d::zeros();
  double variance = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const cv::Vec2d f = cv::Vec2d(from[i].x, from[i].y) - mf, t = cv::Vec2d(to[i].x, to[i].y) - mt;
    covariance += t * f.t() * (1 / n);
    variance += f.dot(f) / n;
  }
  cv::Mat w, u, vt;
  cv::SVD::compute(cv::Mat(covariance), w, u, vt);
  const double sign = cv::determinant(u) * cv::determinant(vt) < 0 ? -1 : 1;
  const cv::Matx22d U(u), V(vt), S(1, 0, 0, sign), rotation = U * S * V;
  const double scale = (w.at<double>(0) + sign * w.at<double>(1)) / variance;
  Umeyama r{scale * rotation, {}, cv::determinant(cv::Mat(covariance))};
  r.move = mt - r.linear * mf;
  return r;
}

double squared_error(const Similarity& s, const Points& from, const Points& to) {
  double e = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const auto [x, y] = s.apply(from[i].x, from[i].y);
    e += (x - to[i].x) * (x - to[i].x) + (y - to[i].y) * (y - to[i].y);
  }
  return e;
}

}  // namespace

TEST_CASE("align: Umeyama's formula gives the same, for random points and for mirrored ones") {
  Random random(test::seed(), "align");
  int mirrored = 0;
  for (int i = 0; i < 400; ++i) {
    Points from, to;
    const float away = i % 2 ? 1 : 1000;  // far from the origin too
    for (int k = 0; k < 5; ++k) {
      from.push_back({away * random.uniform(0, 1) + 3000, random.uniform(0, 1) * away});
      to.push_back({random.uniform(0, 112), random.uniform(0, 112)});
    }
    if (i % 4 >= 2) {  // a noisy mirror image
      const FaceTemplate t = arcface_template(112);
      for (std::size_t k = 0; k < 5; ++k) to[k] = t[k], from[k] = {-3 * t[k].x + random.uniform(-9, 9), 3 * t[k].y + random.uniform(-9, 9)};
    }
    const Umeyama want = umeyama(from, to);
    mirrored += want.determinant < 0;
    const Similarity got = fit_similarity(from, to);
    const double size = 1e-9 * (1 + std::abs(want.move[0]) + std::abs(want.move[1]));
    CHECK(std::abs(got.a - want.linear(0, 0)) < size);
    CHECK(std::abs(got.b - want.linear(1, 0)) < size);
    CHECK(std::abs(got.a - want.linear(1, 1)) < size);
    CHECK(std::abs(got.tx - want.move[0]) < size);
    CHECK(std::abs(got.ty - want.move[1]) < size);
    // The best there is: any other turn, scale or move is worse.
    const double best = squared_error(got, from, to);
    for (const auto& [da, db, dx, dy] : {std::array{1e-3, 0., 0., 0.}, {-1e-3, 0., 0., 0.}, {0., 1e-3, 0., 0.}, {0., -1e-3, 0., 0.},
                                         {0., 0., 0.1, 0.}, {0., 0., 0., -0.1}}) {
      Similarity other = got;
      other.a += da, other.b += db, other.tx += dx, other.ty += dy;
      CHECK(squared_error(other, from, to) > best);
    }
  }
  CHECK(mirrored > 150);
}

TEST_CASE("align: templates") {
  const auto is = [](const Point& p, double x, double y) { return std::abs(p.x - x) < 1e-4 && std::abs(p.y - y) < 1e-4; };
  const FaceTemplate plain = arcface_template(112), twice = arcface_template(224), wide = arcface_template(128), both = arcface_template(256);
  CHECK(is(plain[0], 38.2946, 51.6963));
  CHECK(is(plain[1], 73.5318, 51.5014));
  CHECK(is(plain[2], 56.0252, 71.7366));
  CHECK(is(plain[3], 41.5493, 92.3655));
  CHECK(is(plain[4], 70.7299, 92.2041));
  CHECK(is(twice[1], 147.0636, 103.0028));
  CHECK(is(wide[0], 46.2946, 51.6963));   // 8 to the right
  CHECK(is(both[0], 92.5892, 103.3926));  // twice that
  CHECK(is(arcface_template(896)[0], 306.3568, 413.5704));  // a multiple of both: of 112
  for (const int size : {0, -112, 100, 160}) expect_throw("multiples of 112 or 128", [&] { arcface_template(size); });
  const FaceTemplate agfas = agfas_template();
  CHECK(is(agfas[0], 89.3184, 72.9088));
  CHECK(is(agfas[1], 169.3184, 72.9088));
  CHECK(is(agfas[2], 127.8976, 127.0528));
  CHECK(is(agfas[3], 96.8704, 184.8832));
  CHECK(is(agfas[4], 159.104, 184.7552));
  CHECK(is(agfas_template(100)[2], 49.96, 49.63));
  expect_throw("size 0", [] { agfas_template(0); });
}

TEST_CASE("align: the warp, pixel by pixel") {
  Image p(2, 3);
  for (int y = 0; y < 2; ++y)
    for (int x = 0; x < 3; ++x)
      for (int c = 0; c < 3; ++c) p.at(y, x)[c] = std::uint8_t(100 * y + 20 * x + c);
  CHECK(warp(p, {}, 2, 3).pixels == p.pixels);
  const Image moved = warp(p, {1, 0, 1, 0}, 2, 3);  // one to the right, black behind
  CHECK(int(moved.at(0, 0)[2]) == 0);
  CHECK(int(moved.at(0, 1)[2]) == 2);
  CHECK(int(moved.at(1, 2)[1]) == 121);
  const Image half = warp(p, {1, 0, 0.5, 0}, 2, 4);  // half a pixel: means of neighbours, of black at both ends
  CHECK(int(half.at(0, 0)[0]) == 0);
  CHECK(int(half.at(0, 1)[0]) == 10);
  CHECK(int(half.at(0, 0)[1]) == 1);  // 0.5: rounded
  CHECK(int(half.at(1, 3)[1]) == 71);
  CHECK(int(half.at(1, 0)[0]) == 50);
  CHECK(int(half.at(1, 2)[0]) == 130);
  CHECK(int(half.at(1, 3)[0]) == 70);
  const Image down = warp(p, {1, 0, 0, 0.25}, 3, 3);  // a quarter down: 3/4 of the row, 1/4 of the one above
  CHECK(int(down.at(0, 2)[0]) == 30);
  CHECK(int(down.at(1, 0)[0]) == 75);
  CHECK(int(down.at(2, 0)[0]) == 25);
  const Image turned = warp(p, {0, 1, 1, 0}, 3, 2);  // a quarter turn: (x, y) to (1 - y, x)
  CHECK(int(turned.at(2, 0)[0]) == 140);
  CHECK(int(turned.at(0, 1)[0]) == 0);
  CHECK(int(turned.at(0, 0)[0]) == 100);
  for (const std::uint8_t v : warp(p, {1, 0, 1e300, 0}, 4, 4).pixels) CHECK(v == 0);
  CHECK(warp(Image(), {}, 2, 2).pixels.size() == 12);
}

TEST_CASE("align: a face comes out as OpenCV's warp of the same matrix draws it, landmarks where the template has them") {
  const Image photo = portrait(3, 300);
  // The drawn eyes, nose and mouth, turned and moved by hand: a camera that was not held straight.
  const Points upright{{105, 111}, {195, 111}, {150, 174}, {120, 225}, {180, 225}};
  const Similarity tilt{0.8 * std::cos(0.3), 0.8 * std::sin(0.3), 60, -20};
  const Image tilted = warp(photo, tilt, 300, 300);
  Points seen;
  for (const Point& p : upright) {
    const auto [x, y] = tilt.apply(p.x, p.y);
    seen.push_back({float(x), float(y)});
  }
  const FaceTemplate where = arcface_template(112);
  const Similarity s = fit_similarity(seen, where);
  const Image got = align_face(tilted, seen, where, 112);
  cv::Mat want;
  const cv::Matx23d matrix(s.a, -s.b, s.tx, s.b, s.a, s.ty);
  cv::warpAffine(cv::Mat(300, 300, CV_8UC3, const_cast<std::uint8_t*>(tilted.pixels.data())), want, matrix, {112, 112}, cv::INTER_LINEAR,
                 cv::BORDER_CONSTANT);
  double difference = 0, largest = 0;
  for (int i = 0; i < 112 * 112 * 3; ++i) {
    const double d = std::abs(int(got.pixels[std::size_t(i)]) - int(want.data[i]));
    difference += d / (112 * 112 * 3), largest = std::max(largest, d);
  }
  CHECK(difference < 0.5);  // OpenCV places pixels to a 32nd
  CHECK(largest < 12);
  // The eyes are dark, where ArcFace has them; between them is skin.
  const auto brightness = [&](double x, double y) { return int(got.at(int(std::lround(y)), int(std::lround(x)))[1]); };
  CHECK(brightness(38.3, 51.7) < 80);
  CHECK(brightness(73.5, 51.5) < 80);
  CHECK(brightness(56, 51.6) > 80);
}
