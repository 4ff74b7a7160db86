// data/images/attacks/print.h — a photograph on paper: screened inks, paper, folds, white margins.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

// Lengths in capture pixels. A print is either offset or laser (four rotated dot screens) or inkjet (dispersed dots and
// faint bands where the head passed).
struct PrintOptions {
  Range ink_spread{0.35f, 0.75f};      // blur before screening
  Range paper_white{0.72f, 0.92f};     // light reflected by bare paper …
  Range paper_tint{-0.05f, 0.05f};     // … warm (+) or cool (-)
  Range black{0.004f, 0.045f};         // light reflected by full ink (gloss, haze)
  Range impurity{0.1f, 0.6f};          // how much neighbouring colours inks absorb by mistake: muted colours
  Range colour_boost{0.95f, 1.35f};    // what the printer's driver puts in to make up for it
  Range black_ink{0.2f, 0.8f};         // share of grey printed with black ink
  float screen_chance = 0.65f;         // dot screens; else inkjet
  Range screen_period{2.5f, 5.0f};     // distance of dots
  Range screen_depth{0.12f, 0.60f};    // how clearly single dots are resolved (0 = continuous tone)
  Range screen_sharpness{1.0f, 2.5f};  // slope of the dots' edges
  Range inkjet_grain{0.04f, 0.16f};    // standard deviation of the inks' coverage from dot to dot
  Range inkjet_cell{1.0f, 1.8f};       // their size
  Range inkjet_band{0.0f, 0.03f};      // head passes: amplitude …
  Range band_period{5.0f, 16.0f};      // … and distance
  Range fibre{0.01f, 0.035f};          // paper texture, relative
  float fold_chance = 0.25f;           // a crease across the paper
  Range fold_shade{0.04f, 0.14f};      // brightness step beside it
  Range bend{0.0f, 0.14f};             // smooth shading of a curved sheet
  float gloss_chance = 0.2f;           // a soft reflection on glossy paper
  Range gloss{0.03f, 0.16f};
  float margin_chance = 0.3f;        // the white margin and the room behind it show at one or two sides
  Range margin_depth{0.03f, 0.14f};  // how far they reach in, of the image
  Range margin_width{0.0f, 0.06f};   // width of the white, of the image (0: cut without margin)
};

void print(Scene& scene, const View& view, const PrintOptions& options, Random& random);

// The inks and paper alone, without fold, gloss or margin: what a cut-out is made of.
void print_surface(Scene& scene, const View& view, const PrintOptions& options, Random& random);

}  // namespace bonafide::images
