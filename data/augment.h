// data/augment.h — one training or evaluation sample from a decoded photograph: crop, augment, resize.
#pragma once
#include "data/batch_plan.h"
#include "data/crop.h"
#include "data/image.h"
#include "engine/philox.h"
#include "kernels/hue_saturation_value/hue_saturation_value.h"

namespace bonafide {

using kernels::ColorOrder;

// Each operation has its own coin; ranges are half-widths of uniform draws. The defaults are the published ones.
struct AugmentSettings {
  float flip_p = 0.5f;
  float brightness_contrast_p = 0.1f;
  float brightness_limit = 0.1f, contrast_limit = 0.1f;  // beta in U(-b, b), alpha in 1 + U(-c, c)
  float hue_saturation_value_p = 0.1f;
  float hue_limit = 10, saturation_limit = 10, value_limit = 10;  // in OpenCV's 8-bit units
  float jpeg_p = 0.3f;
  int jpeg_quality_min = 40, jpeg_quality_max = 60;  // both included
};

// Every number is drawn whatever the coins say, so that changing one probability leaves the other draws as they were.
AugmentDraw draw_augment(Random&, const AugmentSettings&);

struct AugmentOptions {
  ColorOrder color_order = ColorOrder::bgr;  // of the hue operation; bgr is the published quirk
};

// Crops `photo` (crop_rect), applies what `draw` says to the crop at its own size, in the published order (flip,
// brightness and contrast, hue, JPEG), then resizes to out: [out_height, out_width, 3], RGB. Integer arithmetic: the
// same bits on every machine. Throws for an empty image and for an `out` of another size.
void make_sample(const Image& photo, const Box& box, double margin, const AugmentDraw& draw,
                 const AugmentOptions& options, int out_height, int out_width, Span<std::uint8_t> out);

// make_sample in the form that the loader calls (MakeSample of data/loader.h): `out` is [height, width, 3].
inline auto sample_maker(const AugmentOptions& options) {
  return
      [options](const Image& photo, const Box& face, const SampleDraw& draw, int height, int width, std::uint8_t* out) {
        make_sample(photo, face, draw.margin, draw.augment, options, height, width, {out, 3LL * height * width});
      };
}

// The crop alone, augmented, at its own size: for looking at, and for packing.
Image augmented_crop(const Image& photo, const CropRect& crop, const AugmentDraw& draw, const AugmentOptions& options);

}  // namespace bonafide
