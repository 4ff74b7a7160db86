// data/images/attacks/cutout.h — a printed face cut along its outline, often with eye holes, held before a person or a
// room.
#pragma once
#include "data/images/attacks/print.h"

namespace bonafide::images {

// Two kinds: the whole sheet with the eyes cut out (a person looks through it), and the face or head cut along its
// outline, with or without holes.
struct CutoutOptions {
  PrintOptions print;                    // the sheet it is cut from
  float whole_sheet_chance = 0.4f;       // the first kind
  int corners_lo = 14, corners_hi = 30;  // straight cuts around the outline
  Range outline{0.92f, 1.30f};           // radius of the outline over the face's (large: hair and ears are left on)
  Range wobble{0.01f, 0.05f};            // unsteadiness of the scissors, relative
  Range rim{0.0f, 0.8f};                 // white of the paper's thickness at the edge
  Range shadow{0.15f, 0.7f};             // of the paper on what is behind
  Range shadow_shift{1.0f, 4.0f};        // pixels
  float eye_holes_chance = 0.6f;         // of the second kind
  float mouth_hole_chance = 0.25f;
  Range hole_width{0.09f, 0.15f};  // half axes, of the face box …
  Range hole_height{0.04f, 0.08f};
  Range hole_dim{0.45f, 0.95f};  // light that reaches the skin behind a hole
};

void cutout(Scene& scene, const View& view, const CutoutOptions& options, Random& random);

}  // namespace bonafide::images
