// data/images/simulate.h — attack species rendered from genuine photographs, for training online and for files.
//
// Every render is: frame -> look (one resampling) -> [the attack changes the light] -> expose (one JPEG round trip);
// for a genuine photograph the bracket is empty. All draws come from the caller's Random, in a fixed order: the framing
// draws of a render do not depend on the species. Parameters and their ranges are documented in camera.h and
// attacks/*.h.
#pragma once
#include <span>
#include <vector>

#include "data/images/attacks/attribute_edit.h"
#include "data/images/attacks/cutout.h"
#include "data/images/attacks/face_swap.h"
#include "data/images/attacks/pixel_noise.h"
#include "data/images/attacks/print.h"
#include "data/images/attacks/replay.h"
#include "data/images/camera.h"
#include "data/manifest.h"
#include "data/sources.h"

namespace bonafide {

struct SimulatorOptions {
  int size = 112;  // side of the square capture; the textures' ranges are in its pixels
  images::CameraOptions camera;
  images::PrintOptions print;
  images::ReplayOptions replay;
  images::CutoutOptions cutout;
  images::FaceSwapOptions face_swap;
  images::PixelNoiseOptions pixel_noise;
  images::AttributeEditOptions attribute_edit;
};

class PhotoSimulator final : public AttackSimulator {
 public:
  explicit PhotoSimulator(SimulatorOptions options = {});

  // Throws on a species it does not know and on a face swap without donor. Result::face is always valid.
  Result render(const Image& photo, const Box& face, const Image* donor, const Box& donor_face, const Label& species,
                Random& random) const override;
  // The same for a face swap, by landmarks: where both faces have five, a similarity lays the donor's on the photograph's (no
  // misfit, no mirror); else by the boxes, as render() does.
  Result swap(const Image& photo, const Box& face, std::span<const Point> landmarks, const Image& donor,
              const Box& donor_face, std::span<const Point> donor_landmarks, Random& random) const;
  bool needs_donor(const Label& species) const override { return species == kFaceSwap; }

  // What it can render, genuine and the control left out.
  static const std::vector<Label>& species();
  const SimulatorOptions& options() const { return options_; }

 private:
  SimulatorOptions options_;
};

}  // namespace bonafide
