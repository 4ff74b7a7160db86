// data/images/opencv.h — what the files of data/images share about OpenCV. Not a public header: nobody else includes
// OpenCV.
#pragma once
#include <opencv2/core.hpp>

#include "data/image.h"

namespace bonafide::images {

// OpenCV's own thread pool is switched off (loader workers are the parallelism). Cheap after the first call.
inline void single_threaded_opencv() { [[maybe_unused]] static const bool done = (cv::setNumThreads(1), true); }

// The image's own pixels as a Mat (RGB order, no copy).
inline cv::Mat as_mat(Image& image) { return {image.height, image.width, CV_8UC3, image.pixels.data()}; }
// Read-only by convention: Mat has no const view.
inline cv::Mat as_mat(const Image& image) { return as_mat(const_cast<Image&>(image)); }

}  // namespace bonafide::images
