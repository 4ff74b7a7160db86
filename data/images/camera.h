// data/images/camera.h — the simulated capture that genuine photographs and attacks go through alike.
//
// frame(): where the camera stands (rotation, distance, shift, perspective, lens). look(): one bilinear resampling of
// the photograph into light. expose(): lens blur, vignetting, automatic exposure and white balance, sensor noise, tone
// curve, sharpening, 8 bits, one JPEG round trip. An attack only changes the light between look() and expose(): so
// resolution, borders, number of resamplings, compression and exposure carry nothing about the class.
#pragma once
#include "data/images/scene.h"

namespace bonafide::images {

struct CameraOptions {
  // Framing. The image is a square around the face box, kept inside the photograph as far as possible; where it still
  // reaches out (a corner after rotation) the photograph is mirrored, never filled with a colour.
  Range context{1.20f, 1.45f};       // side of the frame over the longer side of the face box
  Range fill{0.92f, 1.0f};           // and at most this share of the photograph's shorter side
  Range shift{-0.05f, 0.05f};        // of the frame, each axis
  Range rotation{-8.0f, 8.0f};       // degrees; mean of two draws
  Range stretch{-0.03f, 0.03f};      // aspect ratio
  Range perspective{-0.05f, 0.05f};  // change of distance from centre to edge, each axis
  Range lens{-0.03f, 0.03f};         // radial distortion at the edge

  // Optics and sensor.
  Range blur{0.30f, 0.80f};             // standard deviation of the lens blur, pixels
  float motion_chance = 0.2f;           // and a short streak along one axis
  Range flare{0.0f, 0.08f};             // veiling glare: share of the mean light spread over the image
  Range vignette{0.0f, 0.18f};          // loss of light at the edge
  Range black_point{0.3f, 1.0f};        // automatic levels: share of the darkest light (1st percentile) taken off
  Range exposure_target{0.17f, 0.28f};  // mean light that automatic exposure aims at …
  float exposure_strength = 0.6f;       // … and how much of the way it goes (in the logarithm)
  float balance_strength = 0.4f;        // grey-world white balance, likewise
  Range gain_jitter{0.88f, 1.14f};      // on top, all channels
  Range balance_jitter{0.94f, 1.06f};   // on top, each channel
  Range noise{0.003f, 0.018f};    // standard deviation, in code values of [0, 1]; even in brightness, as the square
                                  // root makes photon noise
  Range contrast{-0.25f, 0.35f};  // S-shape of the tone curve
  Range saturation{0.88f, 1.10f};
  Range sharpening{0.0f, 0.5f};
  int jpeg_quality_lo = 60, jpeg_quality_hi = 95;
  float full_chroma_chance = 0.3f;  // 4:4:4 instead of 4:2:0
};

// `face` invalid: the whole photograph is the face.
View frame(int photo_height, int photo_width, const Box& face, int size, const CameraOptions& options, Random& random);

// Light of the photograph at every capture pixel. `ax x + bx + cx y, ay y + by + cy x` maps photograph coordinates first: a
// face swap looks at the donor through the target's view. Mirrored beyond the borders.
struct Placement {
  float ax = 1, bx = 0, ay = 1, by = 0, cx = 0, cy = 0;
};
Scene look(const Image& photo, const View& view, const Placement& placement = {});

Image expose(Scene scene, const CameraOptions& options, Random& random);

}  // namespace bonafide::images
