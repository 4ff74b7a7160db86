// data/images/attacks/parts.h — what several attacks show: a reflection, the edge of the thing held up to the camera.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

// A soft elongated reflection somewhere in the image, nearly white; `strength` is added light at its centre.
void add_glare(Scene& scene, float strength, Random& random);

// At one or two sides the object ends: a rim of `colour`, `width` wide, then the `room` behind. `depth` and `width` are
// shares of the image. Edges are slightly tilted and as sharp as the rest of the scene (the lens blurs them later).
void add_edges(Scene& scene, const Scene& room, const float colour[3], const Range& depth, const Range& width,
               Random& random);

}  // namespace bonafide::images
