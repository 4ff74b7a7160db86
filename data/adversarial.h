// data/adversarial.h — adversarial noise: every pixel moved by a few levels at most, so that a given detector errs.
//
// FGSM (Goodfellow et al. 2015): x' = x + epsilon sign(g), g the gradient of the loss with respect to the pixels. PGD (Madry
// et al. 2018): from a random point of the ball |x' - x| <= epsilon (each value), steps of step_size sign(g), brought back
// into the ball and into [0, 255] after each. The loss is the logit, or its negative: cross-entropy rises with it, and its
// gradient does not vanish where the detector is sure.
#pragma once
#include <vector>

#include "data/model_info.h"
#include "engine/philox.h"

namespace bonafide {

inline constexpr Label kPixelAdversarial{2, 1, 0};

struct AdversarialOptions {
  enum class Method : std::uint8_t { fgsm, pgd };
  Method method = Method::pgd;
  int epsilon = 8;       // levels of 255 that no value of a pixel moves beyond, 1 to 255
  int steps = 10;        // of PGD
  float step_size = 0;   // levels; 0: 2.5 epsilon / steps, which reaches the ball's surface from anywhere
};

class PixelAdversary {
 public:
  // The model must outlive it. Its parameters no longer ask for gradients: only pixels do.
  PixelAdversary(PairedModel& model, ModelInfo info, const AdversarialOptions& options);

  const ModelInfo& info() const { return info_; }
  const AdversarialOptions& options() const { return options_; }

  struct Gradient {
    std::vector<float> logits;   // [n]
    std::vector<float> by_level;  // d logit[i] / d pixel of image i, per level of 255: [n, S, S, 3]
  };
  // pixels: [n, S, S, 3] in levels, S = info().input_size.
  Gradient gradient(const std::vector<float>& pixels, std::int64_t n) const;

  struct Result {
    std::vector<std::uint8_t> pixels;        // [n, S, S, 3]
    std::vector<float> before, after;        // logits of the images given and of the result
    std::vector<std::vector<float>> course;  // logits after each step (PGD's random start first): [steps + 1][n]
  };
  // Raises the logits of the images (toward_attack), or lowers them. PGD starts where starts[i] says and answers with the best
  // step of each image. Steps are judged in whole levels, as a file holds them: after[i] is what a lossless file has. Images do
  // not mix, but rounding may depend on which are asked about together.
  Result attack(const std::vector<std::uint8_t>& pixels, std::vector<Random> starts, bool toward_attack) const;

 private:
  PairedModel& model_;
  ModelInfo info_;
  AdversarialOptions options_;
};

}  // namespace bonafide
