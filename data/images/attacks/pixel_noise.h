// data/images/attacks/pixel_noise.h — random perturbation of every pixel. Not adversarial: no model is asked.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

struct PixelNoiseOptions {
  Range amplitude{0.025f, 0.08f};  // code values of [0, 1] (6 to 20 of 255)
  float sign_chance = 0.5f;        // every value moved by exactly the amplitude, up or down; else uniform up to it
  float grey_chance = 0.25f;       // the same for red, green and blue
};

void pixel_noise(Scene& scene, const PixelNoiseOptions& options, Random& random);

}  // namespace bonafide::images
