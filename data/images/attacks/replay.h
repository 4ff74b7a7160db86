// data/images/attacks/replay.h — a photograph on a display: pixel grid and its beat with the sensor, backlight,
// reflections.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

// The display's grid of pixels, each three coloured stripes, is sampled by the camera's own grid: where their
// frequencies nearly agree, slow coloured waves appear. The grid is drawn so that these waves have a wanted length and
// are then evaluated at the camera's pixels, so they bend with perspective and lens as real ones do.
struct ReplayOptions {
  Range moire_length{4.0f, 20.0f};  // capture pixels
  Range grid_depth{0.05f, 0.26f};   // amplitude that lens and pixel aperture leave of the grid
  Range stripe_offset{0.2f,
                      0.36f};      // distance of a pixel's red, green and blue stripes, in display pixels (1/3 nominal)
  Range row_depth{0.1f, 0.8f};     // the rows' modulation over the columns'
  float coarse_chance = 0.25f;     // near enough that display pixels are resolved, …
  Range coarse_pitch{2.1f, 3.6f};  // … of this size
  Range black_level{0.002f, 0.02f};  // backlight that leaks through black
  Range reflection{0.0f, 0.05f};     // light of the room mirrored in the glass
  Range white{0.75f, 1.1f};
  Range colour_temperature{-0.10f, 0.16f};  // red down, blue up (negative: the other way)
  Range contrast{-0.1f, 0.5f};              // the display's own S-curve
  Range saturation{0.9f, 1.45f};
  Range viewing_angle{0.0f, 0.25f};  // loss of light across the panel
  float band_chance = 0.55f;         // backlight pulses against the rolling shutter
  Range band_length{14.0f, 80.0f};
  Range band_depth{0.02f, 0.10f};
  float glare_chance = 0.5f;
  Range glare{0.04f, 0.45f};
  float bezel_chance = 0.3f;        // frame of the device and the room behind it show at one or two sides
  Range bezel_depth{0.02f, 0.12f};  // of the image
  Range bezel_width{0.015f, 0.08f};
  Range bezel_light{0.01f, 0.10f};   // dark plastic …
  float white_bezel_chance = 0.25f;  // … or a white frame
};

void replay(Scene& scene, const View& view, const ReplayOptions& options, Random& random);

}  // namespace bonafide::images
