// data/images/attacks/face_swap.h — another person's face, placed by its box and blended in by seamless cloning.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

struct FaceSwapOptions {
  Range width{0.36f, 0.44f};  // half axes of the swapped ellipse, of the face box …
  Range height{0.38f, 0.46f};
  Range centre{0.50f, 0.57f};     // … and its height in the box
  Range misfit{-0.03f, 0.03f};    // the donor's place and size against the box
  Range detail_loss{0.0f, 0.9f};  // blur of the donor's face (a generator's resolution), pixels
  Range feather{1.0f, 3.5f};      // soft rim of the ellipse, pixels
  Range colour{0.95f, 1.06f};     // what colour matching leaves, each channel
  float mirror_chance = 0.3f;     // the donor's face mirrored
};

// `donor` shows the donor's photograph through the target's view, box on box (see placement_of).
void face_swap(Scene& scene, const Scene& donor, const View& view, const FaceSwapOptions& options, Random& random);

// Seamless cloning (Perez et al. 2003): inside `mask` (> 0.5) the patch's gradients, on its border the scene's colours.
// The correction is the harmonic function between border differences; it is smooth, so it is solved on a grid four
// times coarser (0.1 ms where the full-size solution takes 2.7 ms) and then mixed in by the mask's own soft rim.
void seamless_clone(Scene& scene, const Scene& patch, const Plane& mask);

}  // namespace bonafide::images
