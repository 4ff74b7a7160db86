// data/images/encode.cpp — TurboJPEG and OpenCV encoders, files written whole.
#include "data/images/encode.h"

#include <turbojpeg.h>

#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "data/images/opencv.h"
#include "engine/files.h"

namespace bonafide {
namespace {

std::string_view as_text(const std::vector<std::uint8_t>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality, Chroma chroma) {
  BF_CHECK(!image.empty(), "an image without pixels");
  BF_CHECK(quality >= 1 && quality <= 100, "JPEG quality is 1 to 100, not ", quality);
  const int subsampling = chroma == Chroma::s444 ? TJSAMP_444 : chroma == Chroma::s422 ? TJSAMP_422 : TJSAMP_420;
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitCompress(), tjDestroy);
  BF_CHECK(handle, "the JPEG encoder could not start");
  std::vector<std::uint8_t> bytes(tjBufSize(image.width, image.height, subsampling));
  std::uint8_t* to = bytes.data();
  auto size = static_cast<unsigned long>(bytes.size());
  BF_CHECK(!tjCompress2(handle.get(), image.pixels.data(), image.width, 0, image.height, TJPF_RGB, &to, &size,
                        subsampling, quality, TJFLAG_ACCURATEDCT | TJFLAG_NOREALLOC),
           tjGetErrorStr2(handle.get()));
  bytes.resize(size);
  return bytes;
}

std::vector<std::uint8_t> encode_png(const Image& image) {
  images::single_threaded_opencv();
  BF_CHECK(!image.empty(), "an image without pixels");
  cv::Mat bgr;
  cv::cvtColor(images::as_mat(image), bgr, cv::COLOR_RGB2BGR);
  std::vector<std::uint8_t> bytes;
  BF_CHECK(cv::imencode(".png", bgr, bytes), "the PNG encoder refused ", image.width, " x ", image.height);
  return bytes;
}

void write_jpeg(const std::string& path, const Image& image, int quality, Chroma chroma) {
  write_file_atomically(path, as_text(encode_jpeg(image, quality, chroma)), Durable::eventually);
}

void write_png(const std::string& path, const Image& image) {
  write_file_atomically(path, as_text(encode_png(image)), Durable::eventually);
}

}  // namespace bonafide
