// data/faces/mtcnn_boxes.h — what MTCNN does between its networks: sizes of the pyramid, windows, regression, squares, rounding,
// overlaps, and pixels averaged to a network's input. All arithmetic on boxes is in f32, as in facenet-pytorch.
#pragma once
#include <array>
#include <span>
#include <vector>

#include "data/image.h"
#include "data/manifest.h"
#include "engine/base.h"

namespace bonafide::mtcnn {

struct Candidate {
  Box box;                       // corners as a network leaves them: fractions, perhaps outside the photograph
  float score = 0;               // P(face)
  std::array<float, 4> move{};   // regression of the corners, in units of the box
  std::vector<Point> landmarks;  // of the last network
};

// 12 / least_face, then each `factor` times the one before, while the shorter side is at least 12 pixels.
std::vector<double> pyramid_scales(int height, int width, int least_face = 20, double factor = 0.709);
// A photograph's side at a scale: its whole part after adding 1.
int scaled_side(int side, double scale);

// exp(face) / (exp(none) + exp(face))
float face_probability(float none, float face);

// PNet's answers [rows, columns, 6] of a scale: a candidate for each cell whose P(face) is at least `threshold`, row by row.
// Cell (x, y) is the window of 12 pixels at (2x, 2y): corners floor((2x + 1) / scale) and floor((2x + 12) / scale). The
// answers' first row is row `first_row` of the map.
void decode_cells(std::span<const float> answers, int rows, int columns, int first_row, double scale, float threshold,
                  std::vector<Candidate>& out);

// Which candidates stay when, from the highest score down, everything is dropped that a kept one covers too much: indices in
// this order.
enum class Overlap : std::uint8_t {
  of_union,    // intersection / union, corners as they are; of equal scores the first comes first (torchvision)
  of_smaller,  // intersection / smaller area, sides counted in pixels (x2 - x1 + 1); of equal scores the last (the end of
               // NumPy's argsort): large sharp faces have several windows of the score 1
};
std::vector<std::size_t> suppress(std::span<const Candidate> candidates, double most, Overlap overlap);
// The same, applied.
void keep_best(std::vector<Candidate>& candidates, double most, Overlap overlap);

// Corner k moves by move[k] times the side: x2 - x1 after PNet, x2 - x1 + 1 (`pixels`) after the others.
Box regressed(const Box& box, const std::array<float, 4>& move, bool pixels);
// As wide as high about the same centre, the longer side kept.
Box squared(const Box& box);
// Five points of the answer p (five x, then five y): w p + x1 - 1 with w = x2 - x1 + 1, and so y.
std::vector<Point> landmarks_in(const Box& box, std::span<const float> points);

// Pixels [x1, x2) x [y1, y2) of the photograph.
struct Pixels {
  int x1 = 0, y1 = 0, x2 = 0, y2 = 0;
  bool empty() const { return x2 <= x1 || y2 <= y1; }
  friend bool operator==(const Pixels&, const Pixels&) = default;
};
// Corners truncated and counted from 1: columns max(x1, 1) to min(x2, width) and rows alike are what a network looks at.
Pixels pixels_of(const Box& box, int width, int height);

// A part of the photograph, not empty, as [height, width, 3]: each value the mean of the bytes it touches (area resizing,
// kernels/area_resize/area_resize.h; exact sums), less 127.5, over 128. Rows [first_row, first_row + rows) of it.
void average_pixels(const Image& photo, const Pixels& part, int height, int width, int first_row, int rows, Span<float> out);

}  // namespace bonafide::mtcnn
