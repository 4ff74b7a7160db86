// data/faces/working_size.h — a photograph as small as a detector looks at it. Not a public header.
#pragma once
#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "data/images/opencv.h"

namespace bonafide {

// The photograph (RGB) with at most `longest` pixels on its longer side; `scale` becomes its size over the original's. Never
// enlarged; the photograph's own pixels where it is small enough.
inline cv::Mat at_working_size(const Image& photo, int longest, double& scale) {
  scale = std::min(1.0, double(longest) / std::max(photo.width, photo.height));
  if (scale == 1) return images::as_mat(photo);
  const auto side = [&](int v) { return std::max(1, int(std::lround(v * scale))); };
  cv::Mat small;
  cv::resize(images::as_mat(photo), small, {side(photo.width), side(photo.height)}, 0, 0, cv::INTER_AREA);
  return small;
}

}  // namespace bonafide
