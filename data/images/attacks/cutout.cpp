// data/images/attacks/cutout.cpp — outline and holes are polygons; paper, edge, shadow and background are mixed by
// them.
#include "data/images/attacks/cutout.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "data/images/opencv.h"

namespace bonafide::images {
namespace {

// A closed polygon around (cx, cy): an ellipse of half axes (rx, ry) with `corners` straight sides, unsteady by
// `wobble`. The chin is narrower than the forehead by `taper`. Adds 1 inside, antialiased.
void fill_outline(Plane& mask, int size, float cx, float cy, float rx, float ry, float taper, int corners, float wobble,
                  Random& random) {
  constexpr int kShift = 4;
  std::vector<cv::Point> points;
  for (int k = 0; k < corners; ++k) {
    const float t = 6.2831853f * (float(k) + Range{-0.3f, 0.3f}.draw(random)) / float(corners);
    const float r = 1 + wobble * random.truncated_normal(), x = std::cos(t), y = std::sin(t);
    const float narrow = 1 - taper * std::max(0.0f, y) * std::max(0.0f, y);
    points.emplace_back(int((cx + rx * r * x * narrow - 0.5f) * (1 << kShift)),
                        int((cy + ry * r * y - 0.5f) * (1 << kShift)));
  }
  cv::Mat drawn(size, size, CV_8U, cv::Scalar(0));
  cv::fillPoly(drawn, std::vector<std::vector<cv::Point>>{points}, cv::Scalar(255), cv::LINE_AA, kShift);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = std::max(mask[i], float(drawn.data[i]) * (1.0f / 255));
}

float at(const Plane& p, int size, int y, int x) {
  return p[std::size_t(std::clamp(y, 0, size - 1) * size + std::clamp(x, 0, size - 1))];
}

}  // namespace

void cutout(Scene& scene, const View& view, const CutoutOptions& options, Random& random) {
  single_threaded_opencv();
  const int size = scene.size;
  const Scene behind = room(scene, random), person = scene;
  print_surface(scene, view, options.print, random);

  const Box& f = view.face;
  const float w = f.x2 - f.x1, h = f.y2 - f.y1, cx = 0.5f * (f.x1 + f.x2), cy = 0.5f * (f.y1 + f.y2);
  Plane paper(scene.pixels()), holes(scene.pixels());
  const float radius = options.outline.draw(random), wobble = options.wobble.draw(random);
  const bool whole = random.chance(double(options.whole_sheet_chance));
  if (whole)
    std::fill(paper.begin(), paper.end(), 1.0f);
  else
    fill_outline(paper, size, cx, cy, 0.52f * w * radius, 0.54f * h * radius, 0.2f,
                 int(random.between(options.corners_lo, options.corners_hi)), wobble, random);
  // Where a detector's box has eyes and mouth.
  const float hole_w = options.hole_width.draw(random) * w, hole_h = options.hole_height.draw(random) * h;
  if (whole || random.chance(double(options.eye_holes_chance)))
    for (const float ex : {0.29f, 0.71f})
      fill_outline(holes, size, f.x1 + (ex + Range{-0.02f, 0.02f}.draw(random)) * w,
                   f.y1 + (0.35f + Range{-0.02f, 0.02f}.draw(random)) * h, hole_w, hole_h, 0, 10, 0.06f, random);
  if (random.chance(double(options.mouth_hole_chance)))
    fill_outline(holes, size, cx, f.y1 + 0.79f * h, 1.5f * hole_w, hole_h, 0, 12, 0.06f, random);

  const float rim = options.rim.draw(random), shadow = options.shadow.draw(random), dim = options.hole_dim.draw(random),
              white = options.print.paper_white.draw(random);
  const float reach = options.shadow_shift.draw(random), direction = Range{0, 6.2831853f}.draw(random);
  const int sx = int(std::lround(reach * std::cos(direction))), sy = int(std::lround(reach * std::sin(direction)));
  const int ox = int(random.between(-3, 3)), oy = int(random.between(-2, 2));  // the person behind does not line up
  Plane sheet(paper.size());
  for (std::size_t i = 0; i < sheet.size(); ++i) sheet[i] = paper[i] * (1 - holes[i]);
  Plane soft = sheet;
  blur(soft, size, 1.0f);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const std::size_t i = std::size_t(y * size + x);
      const float s = sheet[i], edge = rim * clamp01(2.5f * (1 - soft[i])) * s;
      const float dark = 1 - shadow * at(soft, size, y - sy, x - sx);
      const float inner = clamp01(paper[i] * holes[i]);  // seen through a hole
      // Another face: mirrored, so that it is not the printed one.
      for (std::size_t c = 0; c < 3; ++c) {
        const float skin = dim * at(person.light[c], size, y + oy, int(2 * cx) - 1 - x + ox);
        const float back = (inner * skin + (1 - inner) * behind.light[c][i]) * dark;
        const float front = scene.light[c][i] + edge * (white - scene.light[c][i]);
        scene.light[c][i] = s * front + (1 - s) * back;
      }
    }
}

}  // namespace bonafide::images
