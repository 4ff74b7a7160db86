// data/faces/triangle_resize.h — bilinear resizing that looks at every pixel when it shrinks: Pillow's, byte for byte.
#pragma once
#include "data/image.h"

namespace bonafide {

// Columns first, then rows; each value is a weighted sum of the pixels within `scale` of its centre, scale = old side / new
// side, at least 1, with weights 1 - |distance| / scale that are made to sum to 1 and rounded to multiples of 2^-22. Bytes are
// rounded after either pass. Source of the rounding: Pillow's Resample.c.
Image triangle_resize(const Image& image, int height, int width);

}  // namespace bonafide
