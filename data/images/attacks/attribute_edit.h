// data/images/attacks/attribute_edit.h — a retouched face: skin, lips and eyes of another colour, smoothed, reshaped.
#pragma once
#include "data/images/scene.h"
#include "data/label.h"

namespace bonafide::images {

// Each edit has its chance; where none is drawn, the skin's tone is edited. All of them fade out towards an ellipse that fills
// the face box, and pixels outside it stay what they were. Eyes and mouth are where a detector's box has them.
struct AttributeEditOptions {
  float tone_chance = 0.5f;  // skin lighter or darker …
  Range tone{0.06f, 0.16f};  // … by this share of the code values
  Range tint{-0.05f, 0.05f};  // and each channel on its own
  float smooth_chance = 0.4f;
  Range smooth{0.5f, 1.0f};  // share of the smoothed skin
  float lips_chance = 0.35f;
  Range lips{0.15f, 0.45f};  // green taken off; less of blue, and a little red put on
  float eye_colour_chance = 0.3f;
  Range eye_colour{0.7f, 1.45f};  // gain of each channel
  float large_eyes_chance = 0.35f;
  Range large_eyes{0.15f, 0.35f};  // magnification at the eye's centre, less one
  float narrow_jaw_chance = 0.35f;
  Range narrow_jaw{0.06f, 0.16f};  // of its width
};

void attribute_edit(Scene& scene, const View& view, const AttributeEditOptions& options, Random& random);

}  // namespace bonafide::images

namespace bonafide {
inline constexpr Label kAttributeEdit{2, 0, 0};
}  // namespace bonafide
