// data/faces/mtcnn_boxes.cpp
#include "data/faces/mtcnn_boxes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace bonafide::mtcnn {
namespace {

// The pixels [begin, end) of `in` that pixel i of `out` touches.
struct Bin {
  int begin = 0, end = 0;
  Bin(int i, int in, int out)
      : begin(int(std::int64_t(i) * in / out)), end(int(ceil_div(std::int64_t(i + 1) * in, std::int64_t(out)))) {}
};

}  // namespace

std::vector<double> pyramid_scales(int height, int width, int least_face, double factor) {
  std::vector<double> scales;
  double scale = 12.0 / least_face, side = std::min(height, width) * scale;
  for (; side >= 12; scale *= factor, side *= factor) scales.push_back(scale);
  return scales;
}

int scaled_side(int side, double scale) { return int(side * scale + 1); }

float face_probability(float none, float face) {
  const float largest = std::max(none, face), n = std::exp(none - largest), f = std::exp(face - largest);
  return f / (n + f);
}

void decode_cells(std::span<const float> answers, int rows, int columns, int first_row, double scale, float threshold,
                  std::vector<Candidate>& out) {
  BF_CHECK(std::int64_t(answers.size()) == std::int64_t(rows) * columns * 6, "PNet: ", answers.size(), " answers for ", rows, " x ", columns,
           " cells");
  // Most cells are far from a face: the difference of the logits says so without an exponential.
  const double clearly = std::log(double(threshold) / (1 - double(threshold))) - 1e-3;
  const auto s = float(scale);
  const auto corner = [&](int cell, int pixel) { return std::floor(float(2 * cell + pixel) / s); };
  for (int y = 0; y < rows; ++y)
    for (int x = 0; x < columns; ++x) {
      const float* a = answers.data() + (std::size_t(y) * std::size_t(columns) + std::size_t(x)) * 6;
      if (!(a[1] - a[0] >= clearly)) continue;
      const float score = face_probability(a[0], a[1]);
      if (score < threshold) continue;
      const int cell_y = first_row + y;
      out.push_back({{corner(x, 1), corner(cell_y, 1), corner(x, 12), corner(cell_y, 12)}, score, {a[2], a[3], a[4], a[5]}, {}});
    }
}

std::vector<std::size_t> suppress(std::span<const Candidate> c, double most, Overlap overlap) {
  const float pixel = overlap == Overlap::of_smaller ? 1 : 0;
  const auto area = [&](const Box& b) { return (b.x2 - b.x1 + pixel) * (b.y2 - b.y1 + pixel); };
  std::vector<std::size_t> order(c.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  if (overlap == Overlap::of_smaller) std::reverse(order.begin(), order.end());  // see the header
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return c[a].score > c[b].score; });
  std::vector<char> dropped(c.size());
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (dropped[i]) continue;
    kept.push_back(order[i]);
    const Box& a = c[order[i]].box;
    for (std::size_t j = i + 1; j < order.size(); ++j) {
      const Box& b = c[order[j]].box;
      const float w = std::max(0.0f, std::min(a.x2, b.x2) - std::max(a.x1, b.x1) + pixel);
      const float h = std::max(0.0f, std::min(a.y2, b.y2) - std::max(a.y1, b.y1) + pixel);
      const float common = w * h;
      const float share = overlap == Overlap::of_union ? common / (area(a) + area(b) - common) : common / std::min(area(a), area(b));
      if (double(share) > most) dropped[j] = true;
    }
  }
  return kept;
}

void keep_best(std::vector<Candidate>& candidates, double most, Overlap overlap) {
  std::vector<Candidate> best;
  for (const std::size_t i : suppress(candidates, most, overlap)) best.push_back(std::move(candidates[i]));
  candidates = std::move(best);
}

Box regressed(const Box& b, const std::array<float, 4>& move, bool pixels) {
  const float w = b.x2 - b.x1 + (pixels ? 1.0f : 0.0f), h = b.y2 - b.y1 + (pixels ? 1.0f : 0.0f);
  return {b.x1 + move[0] * w, b.y1 + move[1] * h, b.x2 + move[2] * w, b.y2 + move[3] * h};
}

Box squared(const Box& b) {
  const float w = b.x2 - b.x1, h = b.y2 - b.y1, side = std::max(w, h);
  const float x1 = b.x1 + w * 0.5f - side * 0.5f, y1 = b.y1 + h * 0.5f - side * 0.5f;
  return {x1, y1, x1 + side, y1 + side};
}

std::vector<Point> landmarks_in(const Box& b, std::span<const float> p) {
  BF_CHECK(p.size() == 10, "ONet: ", p.size(), " numbers of landmarks, expected 10");
  const float w = b.x2 - b.x1 + 1, h = b.y2 - b.y1 + 1;
  std::vector<Point> points;
  for (std::size_t i = 0; i < 5; ++i) points.push_back({w * p[i] + b.x1 - 1, h * p[5 + i] + b.y1 - 1});
  return points;
}

Pixels pixels_of(const Box& b, int width, int height) {
  const auto whole = [](float v) { return std::isfinite(v) ? int(std::clamp(v, -1e9f, 1e9f)) : 0; };
  return {std::max(whole(b.x1), 1) - 1, std::max(whole(b.y1), 1) - 1, std::min(whole(b.x2), width), std::min(whole(b.y2), height)};
}

void average_pixels(const Image& photo, const Pixels& part, int height, int width, int first_row, int rows, Span<float> out) {
  const int in_h = part.y2 - part.y1, in_w = part.x2 - part.x1;
  BF_CHECK(!part.empty() && part.x1 >= 0 && part.y1 >= 0 && part.x2 <= photo.width && part.y2 <= photo.height, "pixels (", part.x1, ", ",
           part.y1, ") to (", part.x2, ", ", part.y2, ") of ", photo.width, " x ", photo.height);
  BF_CHECK(first_row >= 0 && first_row + rows <= height && out.len == std::int64_t(rows) * width * 3, "rows ", first_row, " to ",
           first_row + rows, " of ", height, " in ", out.len, " numbers");
  std::vector<Bin> columns;
  for (int x = 0; x < width; ++x) columns.emplace_back(x, in_w, width);
  std::vector<std::int32_t> sums(std::size_t(in_w) * 3);
  for (int r = 0; r < rows; ++r) {
    const Bin lines(first_row + r, in_h, height);
    std::fill(sums.begin(), sums.end(), 0);
    for (int y = lines.begin; y < lines.end; ++y) {
      const std::uint8_t* line = photo.at(part.y1 + y, part.x1);
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += line[i];
    }
    float* to = out.ptr + std::int64_t(r) * width * 3;
    for (int x = 0; x < width; ++x) {
      const Bin& bin = columns[std::size_t(x)];
      std::int32_t s[3] = {};  // of all pixels of the largest photograph over 12 x 12 bins: it fits
      for (int i = bin.begin; i < bin.end; ++i)
        for (int c = 0; c < 3; ++c) s[c] += sums[std::size_t(i) * 3 + std::size_t(c)];
      const auto size = float((lines.end - lines.begin) * (bin.end - bin.begin));
      for (int c = 0; c < 3; ++c) to[3 * x + c] = (float(s[c]) / size - 127.5f) * 0.0078125f;
    }
  }
}

}  // namespace bonafide::mtcnn
