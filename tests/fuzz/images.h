// tests/fuzz/images.h — small image files of every kind the program reads.
#pragma once
#include <opencv2/imgcodecs.hpp>

#include "tests/fuzz/target.h"

namespace bonafide::fuzz {

inline std::string encoded(const char* format, int type, const std::vector<int>& options = {}) {
  cv::Mat pixels(5, 7, type);
  cv::theRNG().state = 7;
  cv::randu(pixels, 0, 255);
  std::vector<std::uint8_t> bytes;
  cv::imencode(format, pixels, bytes, options);
  return {bytes.begin(), bytes.end()};
}

// An EXIF segment with nothing but an orientation of 6, behind the first two bytes.
inline std::string with_exif(std::string jpeg) {
  constexpr char exif[] = "\xff\xe1\0\x22" "Exif\0\0" "MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
  return jpeg.insert(2, exif, sizeof exif - 1);
}

inline std::vector<std::string> image_seeds() {
  const std::string jpeg = encoded(".jpg", CV_8UC3);
  return {jpeg,
          with_exif(jpeg),
          encoded(".jpg", CV_8UC1),
          encoded(".jpg", CV_8UC3, {cv::IMWRITE_JPEG_PROGRESSIVE, 1, cv::IMWRITE_JPEG_RST_INTERVAL, 1}),
          encoded(".png", CV_8UC3),
          encoded(".png", CV_16UC4),
          encoded(".png", CV_8UC1),
          encoded(".bmp", CV_8UC3),
          encoded(".tiff", CV_8UC3),
          encoded(".webp", CV_8UC3, {cv::IMWRITE_WEBP_QUALITY, 50}),
          encoded(".webp", CV_8UC4, {cv::IMWRITE_WEBP_QUALITY, 101}),
          std::string("RIFF\x1a\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x06\0\0\x04\0\0", 30)};
}

}  // namespace bonafide::fuzz
