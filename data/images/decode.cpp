// data/images/decode.cpp — TurboJPEG for JPEG, OpenCV for the other formats, and every way a file can be bad.
#include "data/images/decode.h"

#include <turbojpeg.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <memory>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "data/images/header.h"
#include "data/images/opencv.h"
#include "engine/files.h"

namespace bonafide {
namespace {

using images::Format;

[[noreturn]] void fail(const std::string& name, const std::string& what) { throw Error(name + ": " + what); }

void check_size(const std::string& name, std::int64_t width, std::int64_t height, std::int64_t limit) {
  if (width > 0 && height > limit / width)
    fail(name, str("image of ", width, " x ", height, " pixels; the limit is ", limit, " pixels"));
}

// The eight EXIF orientations: what has to be done to the stored pixels to stand them upright.
Image upright(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool turned = orientation >= 5;
  Image out(turned ? image.width : image.height, turned ? image.height : image.width);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
      const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
      const int sx = mirror_x ? image.width - 1 - x : x, sy = mirror_y ? image.height - 1 - y : y;
      std::memcpy(turned ? out.at(sx, sy) : out.at(sy, sx), image.at(y, x), 3);
    }
  return out;
}

// A warning means damaged data (a file cut short is "Premature end of JPEG file") — except stray bytes between
// segments, which some cameras write and every reader skips.
bool harmless(tjhandle handle) {
  return tjGetErrorCode(handle) == TJERR_WARNING && std::strstr(tjGetErrorStr2(handle), "extraneous bytes");
}

Image decode_jpeg(Span<const std::uint8_t> bytes, const std::string& name, std::int64_t max_pixels) {
  // One handle an image: it keeps tables, and the next file without its own would be read with those of the last.
  const std::unique_ptr<void, int (*)(tjhandle)> handle(tjInitDecompress(), tjDestroy);
  if (!handle) fail(name, "the JPEG decoder could not start");
  int width = 0, height = 0, subsampling = 0, colour = 0;
  const auto size = static_cast<unsigned long>(bytes.len);
  if (tjDecompressHeader3(handle.get(), bytes.ptr, size, &width, &height, &subsampling, &colour) &&
      !harmless(handle.get()))
    fail(name, str("unreadable JPEG: ", tjGetErrorStr2(handle.get())));
  check_size(name, width, height, max_pixels);

  const auto decompress = [&](std::uint8_t* to, int format) {
    // Without a limit on scans a progressive file of 100 kB can keep a core busy for an hour.
    const auto run = [&](int flags) {
      return tjDecompress2(handle.get(), bytes.ptr, size, to, width, 0, height, format,
                           TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS | flags);
    };
    if (run(TJFLAG_STOPONWARNING) && !(harmless(handle.get()) && (!run(0) || harmless(handle.get()))))
      fail(name, str("damaged JPEG: ", tjGetErrorStr2(handle.get())));
  };
  Image image = Image::uninitialized(height, width);
  if (colour == TJCS_CMYK || colour == TJCS_YCCK) {  // stored inverted (Adobe): 255 is no ink
    std::vector<std::uint8_t> cmyk(image.pixels.size() / 3 * 4);
    decompress(cmyk.data(), TJPF_CMYK);
    for (std::size_t i = 0; i < cmyk.size() / 4; ++i)
      for (std::size_t c = 0; c < 3; ++c) {
        const int k = cmyk[4 * i + 3];
        image.pixels[3 * i + c] = std::uint8_t(k - ((255 - cmyk[4 * i + c]) * k >> 8));
      }
  } else {
    decompress(image.pixels.data(), TJPF_RGB);
  }
  return upright(std::move(image), images::exif_orientation(bytes));
}

Image decode_other(Span<const std::uint8_t> bytes, const std::string& name) {
  images::single_threaded_opencv();
  if (bytes.len > std::numeric_limits<int>::max()) fail(name, "file larger than 2 GiB");
  cv::Mat bgr;
  try {
    bgr = cv::imdecode(cv::Mat(1, int(bytes.len), CV_8U, const_cast<std::uint8_t*>(bytes.ptr)), cv::IMREAD_COLOR);
  } catch (const cv::Exception& e) {
    fail(name, "unreadable image: " + std::string(e.what()));
  }
  if (bgr.empty()) fail(name, "unreadable image: damaged, cut off, or of a kind the decoder does not know");
  Image image(bgr.rows, bgr.cols);
  cv::cvtColor(bgr, images::as_mat(image), cv::COLOR_BGR2RGB);
  return image;
}

}  // namespace

Image decode_image_bytes(Span<const std::uint8_t> bytes, const std::string& name, std::int64_t max_pixels) {
  if (bytes.len == 0) fail(name, "is empty (0 bytes)");
  const auto header = images::read_header(bytes);
  if (!header) fail(name, "is not a JPEG, PNG, BMP, WebP or TIFF image, or its header is cut off");
  if (header->format == Format::jpeg) return decode_jpeg(bytes, name, max_pixels);
  check_size(name, header->width, header->height, max_pixels);
  return decode_other(bytes, name);
}

std::string read_image_file(const std::string& path) {
  // A device or a pipe may never end. (What is missing or a folder is explained by read_file.)
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  if (std::filesystem::exists(status) && std::filesystem::is_other(status)) fail(path, "is not a regular file");
  if (const auto size = std::filesystem::file_size(path, ignored); !ignored && size > kMaxImageBytes)
    fail(path, str("file of ", size, " bytes; the limit is ", kMaxImageBytes));
  return read_file(path);
}

Image decode_image(const std::string& path, std::int64_t max_pixels) {
  const std::string bytes = read_image_file(path);
  return decode_image_bytes({reinterpret_cast<const std::uint8_t*>(bytes.data()), std::int64_t(bytes.size())}, path,
                            max_pixels);
}

FileImageSource::FileImageSource(std::string root, std::int64_t max_pixels)
    : root_(std::move(root)), max_pixels_(max_pixels) {}

Image FileImageSource::load(const std::string& path) const {
  return decode_image((std::filesystem::path(root_) / path).string(), max_pixels_);
}

}  // namespace bonafide
