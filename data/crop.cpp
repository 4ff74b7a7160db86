// data/crop.cpp — which rectangle of a photograph a face box and a margin mean.
#include "data/crop.h"

#include <algorithm>

namespace bonafide {

CropRect crop_rect(const Box& box, double margin, int width, int height) {
  BF_CHECK(margin > 0 && width > 0 && height > 0, "crop_rect: margin ", margin, ", image ", height, " x ", width);
  const CropRect whole{0, 0, width, height};
  if (!box.valid()) return whole;
  // Clamped before truncation, which changes nothing and keeps absurd boxes inside int.
  const auto corner = [](double centre, double half, int limit) {
    return int(std::clamp(centre + half, 0.0, double(limit)));
  };
  const double w = double(box.x2) - box.x1, h = double(box.y2) - box.y1;
  const double cx = box.x1 + w / 2, cy = box.y1 + h / 2, half_w = w * margin / 2, half_h = h * margin / 2;
  const CropRect r{corner(cx, -half_w, width), corner(cy, -half_h, height), corner(cx, half_w, width),
                   corner(cy, half_h, height)};
  return r.x2 > r.x1 && r.y2 > r.y1 ? r : whole;
}

Box published_box(const Box& box, int width, int height) {
  BF_CHECK(width > 0 && height > 0, "published_box: image ", height, " x ", width);
  const auto corner = [](float v, int limit) { return float(int(std::clamp(v, 0.0f, float(limit - 1)))); };
  const Box b{corner(box.x1, width), corner(box.y1, height), corner(box.x2, width), corner(box.y2, height)};
  return b.valid() ? b : Box{};
}

CropRect crop_rect(const Box& box, double margin, const Image& image) {
  if (image.whole()) return crop_rect(box, margin, image.width, image.height);
  // In the photograph's pixels: relative to the part the same sums would round differently.
  const Image::Part& p = image.part;
  const CropRect r = crop_rect(box, margin, p.width, p.height);
  if (r.x1 < p.x || r.y1 < p.y || r.x2 > p.x + image.width || r.y2 > p.y + image.height)
    throw Error(str("margin ", margin, " takes the pixels from ", r.x1, ",", r.y1, " to ", r.x2, ",", r.y2,
                    " of the photograph, of which only those from ", p.x, ",", p.y, " to ", p.x + image.width, ",",
                    p.y + image.height, " are kept: packed with another box, or a smaller margin"));
  return {r.x1 - p.x, r.y1 - p.y, r.x2 - p.x, r.y2 - p.y};
}

}  // namespace bonafide
