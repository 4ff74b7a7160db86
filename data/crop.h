// data/crop.h — which rectangle of a photograph a face box and a margin mean.
#pragma once
#include "data/image.h"
#include "kernels/crop_resize/crop_resize.h"

namespace bonafide {

using CropRect = kernels::Rect;

// The published rule: the box about its own centre, margin times as wide and as high (neither squared nor aligned),
// corners truncated toward zero, then clamped to the image. No valid box, or nothing left of it: the whole image.
CropRect crop_rect(const Box& box, double margin, int width, int height);
// The same for an image that may be part of a photograph (Image::part): the rectangle of the photograph, to the pixel, said
// in pixels of the image. Throws where the part does not hold all of it.
CropRect crop_rect(const Box& box, double margin, const Image& image);

// A detector's box as the published box files have it: x clipped to [0, width - 1], y to [0, height - 1], then truncated to
// whole numbers. Not valid() where nothing is left of it.
Box published_box(const Box& box, int width, int height);

}  // namespace bonafide
