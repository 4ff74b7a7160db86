// data/augment.cpp — one training or evaluation sample from a decoded photograph: crop, augment, resize.
#include "data/augment.h"

#include <algorithm>

#include "kernels/brightness_contrast/brightness_contrast.h"
#include "kernels/flip/flip.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"

namespace bonafide {

AugmentDraw draw_augment(Random& random, const AugmentSettings& s) {
  AugmentDraw d;
  d.flip = random.chance(s.flip_p);
  d.brightness_contrast = random.chance(s.brightness_contrast_p);
  d.alpha = 1 + random.uniform(-s.contrast_limit, s.contrast_limit);
  d.beta = random.uniform(-s.brightness_limit, s.brightness_limit);
  d.hue_saturation_value = random.chance(s.hue_saturation_value_p);
  d.hue = random.uniform(-s.hue_limit, s.hue_limit);
  d.saturation = random.uniform(-s.saturation_limit, s.saturation_limit);
  d.value = random.uniform(-s.value_limit, s.value_limit);
  d.jpeg = random.chance(s.jpeg_p);
  d.jpeg_quality = int(random.between(s.jpeg_quality_min, s.jpeg_quality_max));
  return d;
}

Image augmented_crop(const Image& photo, const CropRect& crop, const AugmentDraw& draw, const AugmentOptions& options) {
  Image image = Image::uninitialized(crop.height(), crop.width());
  for (int y = 0; y < image.height; ++y) std::copy_n(photo.at(crop.y1 + y, crop.x1), 3LL * image.width, image.at(y, 0));
  const Span<std::uint8_t> pixels = image.pixels;
  if (draw.flip) kernels::cpu::flip({pixels, image.height, image.width});
  if (draw.brightness_contrast) kernels::cpu::brightness_contrast({pixels, draw.alpha, draw.beta});
  if (draw.hue_saturation_value)
    kernels::cpu::hue_saturation_value({pixels, draw.hue, draw.saturation, draw.value, options.color_order});
  if (draw.jpeg) kernels::cpu::jpeg_round_trip({pixels, image.height, image.width, draw.jpeg_quality});
  return image;
}

void make_sample(const Image& photo, const Box& box, double margin, const AugmentDraw& draw,
                 const AugmentOptions& options, int out_height, int out_width, Span<std::uint8_t> out) {
  BF_CHECK(!photo.empty(), "make_sample: empty image");
  const CropRect crop = crop_rect(box, margin, photo);
  if (!draw.flip && !draw.brightness_contrast && !draw.hue_saturation_value &&
      !draw.jpeg) {  // straight from the photograph
    kernels::cpu::crop_resize({.image = photo.pixels,
                               .height = photo.height,
                               .width = photo.width,
                               .crop = crop,
                               .out = out,
                               .out_height = out_height,
                               .out_width = out_width});
    return;
  }
  const Image image = augmented_crop(photo, crop, draw, options);
  kernels::cpu::crop_resize({.image = image.pixels,
                             .height = image.height,
                             .width = image.width,
                             .crop = {0, 0, image.width, image.height},
                             .out = out,
                             .out_height = out_height,
                             .out_width = out_width});
}

}  // namespace bonafide
