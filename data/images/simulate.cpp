// data/images/simulate.cpp — one render: frame, look, attack, expose.
#include "data/images/simulate.h"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "data/images/opencv.h"
#include "data/similarity.h"

namespace bonafide {
namespace {

using images::Placement;
using images::Scene;
using images::View;

// A photograph much larger than the capture is first brought near its size by area averaging (what optics do), around
// the face only. Smaller ones are used as they are. Depends on sizes alone, never on the species.
struct Subject {
  const Image* photo;
  Box face;
  Image reduced;
  float x0 = 0, y0 = 0, scale_x = 1, scale_y = 1;  // `reduced` begins at (x0, y0) of the original and is scaled so

  Subject(const Image& original, const Box& box, int size) : photo(&original), face(box) {
    BF_CHECK(!original.empty(), "a photograph without pixels");
    if (!face.valid()) face = {0, 0, float(original.width), float(original.height)};
    const float side = std::max(face.x2 - face.x1, face.y2 - face.y1), factor = 1.6f * float(size) / side;
    if (factor > 0.6f) return;
    const auto edge = [](float v, int limit) { return std::clamp(int(v), 0, limit); };
    const int x1 = edge(face.x1 - side, original.width), x2 = edge(face.x2 + side, original.width),
              y1 = edge(face.y1 - side, original.height), y2 = edge(face.y2 + side, original.height);
    reduced = Image(std::max(1, int(std::lround(float(y2 - y1) * factor))),
                    std::max(1, int(std::lround(float(x2 - x1) * factor))));
    images::single_threaded_opencv();
    cv::Mat to = images::as_mat(reduced);
    cv::resize(images::as_mat(original)(cv::Rect(x1, y1, x2 - x1, y2 - y1)), to, to.size(), 0, 0, cv::INTER_AREA);
    const float fx = float(reduced.width) / float(x2 - x1), fy = float(reduced.height) / float(y2 - y1);
    face = {(face.x1 - float(x1)) * fx, (face.y1 - float(y1)) * fy, (face.x2 - float(x1)) * fx,
            (face.y2 - float(y1)) * fy};
    photo = &reduced, x0 = float(x1), y0 = float(y1), scale_x = fx, scale_y = fy;
  }
  std::vector<Point> mapped(std::span<const Point> points) const {
    std::vector<Point> to;
    for (const Point& p : points) to.push_back({(p.x - x0) * scale_x, (p.y - y0) * scale_y});
    return to;
  }
  Subject(const Subject&) = delete;  // `photo` may point into the object
  Subject& operator=(const Subject&) = delete;
};

// Lays the donor's face box on the target's, a little off, perhaps mirrored.
Placement placement_of(const Box& target, const Box& donor, const images::FaceSwapOptions& options, Random& random) {
  const float w = target.x2 - target.x1, h = target.y2 - target.y1;
  const float zoom = 1 + options.misfit.draw(random), dx = options.misfit.draw(random) * w,
              dy = options.misfit.draw(random) * h;
  const float sign = random.chance(double(options.mirror_chance)) ? -1.0f : 1.0f;
  Placement p;
  p.ax = sign * zoom * (donor.x2 - donor.x1) / w;
  p.ay = zoom * (donor.y2 - donor.y1) / h;
  p.bx = 0.5f * (donor.x1 + donor.x2) - p.ax * (0.5f * (target.x1 + target.x2) + dx);
  p.by = 0.5f * (donor.y1 + donor.y2) - p.ay * (0.5f * (target.y1 + target.y2) + dy);
  return p;
}

// Lays the donor's landmarks on the target's.
Placement placement_of(const std::vector<Point>& target, const std::vector<Point>& donor) {
  const Similarity s = fit_similarity(target, donor);
  Placement p;
  p.ax = p.ay = float(s.a), p.cx = -float(s.b), p.cy = float(s.b), p.bx = float(s.tx), p.by = float(s.ty);
  return p;
}

AttackSimulator::Result rendered(const SimulatorOptions& options, const Image& photo, const Box& face,
                                 std::span<const Point> landmarks, const Image* donor, const Box& donor_face,
                                 std::span<const Point> donor_landmarks, const Label& species, Random& random) {
  const Subject subject(photo, face, options.size);
  const View view =
      images::frame(subject.photo->height, subject.photo->width, subject.face, options.size, options.camera, random);
  Scene scene = images::look(*subject.photo, view);
  if (species == kPrint) {
    images::print(scene, view, options.print, random);
  } else if (species == kReplay) {
    images::replay(scene, view, options.replay, random);
  } else if (species == kCutout) {
    images::cutout(scene, view, options.cutout, random);
  } else if (species == kFaceSwap) {
    BF_CHECK(donor, "a face swap needs another person's photograph");
    const Subject other(*donor, donor_face, options.size);
    const Placement placement = landmarks.size() == 5 && donor_landmarks.size() == 5
                                    ? placement_of(subject.mapped(landmarks), other.mapped(donor_landmarks))
                                    : placement_of(subject.face, other.face, options.face_swap, random);
    images::face_swap(scene, images::look(*other.photo, view, placement), view, options.face_swap, random);
  } else if (species == kPixelNoise) {
    images::pixel_noise(scene, options.pixel_noise, random);
  } else if (species == kAttributeEdit) {
    images::attribute_edit(scene, view, options.attribute_edit, random);
  } else {
    BF_CHECK(species.genuine() || species == kRecoded, "no simulation of species ", species.code());
  }
  return {images::expose(std::move(scene), options.camera, random), view.face};
}

}  // namespace

PhotoSimulator::PhotoSimulator(SimulatorOptions options) : options_(std::move(options)) {
  BF_CHECK(options_.size >= 32 && options_.size <= 2048, "simulated captures are 32 to 2048 pixels wide, not ",
           options_.size);
}

const std::vector<Label>& PhotoSimulator::species() {
  static const std::vector<Label> all{kPrint, kReplay, kCutout, kFaceSwap, kPixelNoise, kAttributeEdit};
  return all;
}

AttackSimulator::Result PhotoSimulator::render(const Image& photo, const Box& face, const Image* donor,
                                               const Box& donor_face, const Label& species, Random& random) const {
  return rendered(options_, photo, face, {}, donor, donor_face, {}, species, random);
}

AttackSimulator::Result PhotoSimulator::swap(const Image& photo, const Box& face, std::span<const Point> landmarks,
                                             const Image& donor, const Box& donor_face,
                                             std::span<const Point> donor_landmarks, Random& random) const {
  return rendered(options_, photo, face, landmarks, &donor, donor_face, donor_landmarks, kFaceSwap, random);
}

}  // namespace bonafide
