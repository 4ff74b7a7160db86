// tests/images/test_decode.cpp — every kind of image file, good and bad, built here from bytes.
#include <turbojpeg.h>

#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/images/header.h"
#include "engine/philox.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

using Bytes = std::vector<std::uint8_t>;

// Smooth colours that differ in every corner, so that a mirrored or turned copy is another picture.
Image picture(int h, int w) {
  Image image(h, w);
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      image.at(y, x)[0] = std::uint8_t(255 * x / w);
      image.at(y, x)[1] = std::uint8_t(255 * y / h);
      image.at(y, x)[2] = std::uint8_t(60 + 128 * (x + y) / (w + h));
    }
  return image;
}

Image decode(const Bytes& bytes) { return decode_image_bytes(bytes, "test.img"); }

// What the published code would have seen.
Image opencv(const Bytes& bytes) {
  const cv::Mat bgr = cv::imdecode(bytes, cv::IMREAD_COLOR);
  REQUIRE_FALSE(bgr.empty());
  Image image(bgr.rows, bgr.cols);
  cv::Mat rgb(bgr.rows, bgr.cols, CV_8UC3, image.pixels.data());
  cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
  return image;
}

Bytes encode(const std::string& format, const cv::Mat& pixels) {
  Bytes bytes;
  REQUIRE(cv::imencode(format, pixels, bytes));
  return bytes;
}

cv::Mat random_mat(int type, int h = 21, int w = 33) {
  cv::Mat m(h, w, type);
  cv::theRNG().state = 7;
  cv::randu(m, 0, CV_MAT_DEPTH(type) == CV_16U ? 65535 : 255);
  return m;
}

// A JPEG with an EXIF block (little or big endian) holding nothing but the orientation, behind an unrelated segment.
Bytes with_orientation(const Bytes& jpeg, int orientation, bool little) {
  Bytes exif = {0xff, 0xe5, 0, 4, 1, 2, 0xff, 0xe1, 0, 34, 'E', 'x', 'i', 'f', 0, 0};
  const auto put = [&](unsigned v, int n) {
    for (int i = 0; i < n; ++i) exif.push_back(std::uint8_t(v >> 8 * (little ? i : n - 1 - i)));
  };
  for (int i = 0; i < 2; ++i) exif.push_back(little ? 'I' : 'M');
  put(42, 2), put(8, 4), put(1, 2), put(0x112, 2), put(3, 2), put(1, 4), put(unsigned(orientation), 2), put(0, 2),
      put(0, 4);
  exif.insert(exif.begin(), {0xff, 0xd8});
  for (std::size_t i = 2; i < jpeg.size(); ++i) exif.push_back(jpeg[i]);
  return exif;
}

double mean_difference(const Image& a, const Image& b) {
  REQUIRE(a.height == b.height);
  REQUIRE(a.width == b.width);
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(int(a.pixels[i]) - int(b.pixels[i]));
  return sum / double(a.pixels.size());
}

}  // namespace

TEST_CASE("decode: JPEG of every chroma subsampling gives OpenCV's bits") {
  const Image p = picture(67, 45);
  for (const Chroma chroma : {Chroma::s444, Chroma::s422, Chroma::s420}) {
    const Bytes bytes = encode_jpeg(p, 92, chroma);
    const Image got = decode(bytes);
    CHECK(got.pixels == opencv(bytes).pixels);
    CHECK(mean_difference(got, p) < 3);
  }
  CHECK(encode_jpeg(p, 20).size() < encode_jpeg(p, 90).size());
  expect_throw("quality is 1 to 100, not 0", [&] { encode_jpeg(p, 0); });
  expect_throw("without pixels", [&] { encode_jpeg(Image(), 50); });
}

TEST_CASE("decode: PNG keeps every value, other formats and depths become 8-bit RGB as OpenCV makes them") {
  const Image p = picture(20, 31);
  CHECK(decode(encode_png(p)).pixels == p.pixels);
  for (const char* format : {".png", ".bmp", ".tiff", ".webp"}) {
    const Bytes bytes = encode(format, random_mat(CV_8UC3));
    CHECK(decode(bytes).pixels == opencv(bytes).pixels);
    const auto header = images::read_header(bytes);
    REQUIRE(header);
    CHECK(header->width == 33);
    CHECK(header->height == 21);
  }
  for (const auto& [format, type] : {std::pair{".jpg", CV_8UC1},
                                     {".png", CV_8UC1},
                                     {".png", CV_16UC1},
                                     {".png", CV_16UC3},
                                     {".png", CV_8UC4},
                                     {".png", CV_16UC4},
                                     {".tiff", CV_16UC3}}) {
    CAPTURE(format);
    CAPTURE(type);
    const Bytes bytes = encode(format, random_mat(type));
    const Image got = decode(bytes);
    CHECK(got.pixels == opencv(bytes).pixels);
    CHECK(got.width == 33);
  }
  const cv::Mat grey = random_mat(CV_16UC1);
  const Image from_grey = decode(encode(".png", grey));
  for (int i = 0; i < 3; ++i) CHECK(int(from_grey.at(3, 5)[i]) == int(grey.at<std::uint16_t>(3, 5) >> 8));
  const cv::Mat alpha = random_mat(CV_8UC4);
  const Image from_alpha = decode(encode(".png", alpha));
  for (int i = 0; i < 3; ++i) CHECK(from_alpha.at(3, 5)[i] == alpha.at<cv::Vec4b>(3, 5)[2 - i]);
}

TEST_CASE("decode: palette PNG") {
  // 2 x 1 pixels, palette {red, blue}: written by hand, because OpenCV writes no palettes.
  const Bytes bytes = {0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44,
                       0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x01, 0x03, 0x00, 0x00, 0x00, 0xce,
                       0xec, 0xed, 0xc9, 0x00, 0x00, 0x00, 0x06, 0x50, 0x4c, 0x54, 0x45, 0xff, 0x00, 0x00, 0x00,
                       0x00, 0xff, 0x6c, 0xa1, 0xfd, 0x8e, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x44, 0x41, 0x54, 0x78,
                       0x01, 0x01, 0x02, 0x00, 0xfd, 0xff, 0x00, 0x40, 0x00, 0x42, 0x00, 0x41, 0x20, 0xb0, 0x99,
                       0xcb, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
  const Image got = decode(bytes);
  CHECK(got.pixels == Bytes{255, 0, 0, 0, 0, 255});
}

TEST_CASE("decode: CMYK JPEG, inverted as Adobe stores it, gives OpenCV's bits") {
  const Image p = picture(24, 40);
  Bytes cmyk(p.pixels.size() / 3 * 4);
  for (std::size_t i = 0; i < cmyk.size() / 4; ++i) {
    for (std::size_t c = 0; c < 3; ++c) cmyk[4 * i + c] = p.pixels[3 * i + c];
    cmyk[4 * i + 3] = 230;
  }
  const tjhandle handle = tjInitCompress();
  std::uint8_t* buffer = nullptr;
  unsigned long size = 0;
  REQUIRE(tjCompress2(handle, cmyk.data(), p.width, 0, p.height, TJPF_CMYK, &buffer, &size, TJSAMP_444, 95, 0) == 0);
  const Bytes bytes(buffer, buffer + size);
  tjFree(buffer);
  tjDestroy(handle);
  const Image got = decode(bytes);
  CHECK(got.pixels == opencv(bytes).pixels);
  Image darker = p;
  for (auto& v : darker.pixels) v = std::uint8_t(v * 230 / 255);
  CHECK(mean_difference(got, darker) < 4);
}

TEST_CASE("decode: EXIF orientation is applied, as cv2.imread does") {
  const Image p = picture(40, 24);
  const Bytes plain = encode_jpeg(p, 95, Chroma::s444);
  for (int orientation = 0; orientation <= 9; ++orientation)
    for (const bool little : {true, false}) {
      CAPTURE(orientation);
      const Bytes bytes = with_orientation(plain, orientation, little);
      const Image got = decode(bytes);
      CHECK(got.height == (orientation >= 5 && orientation <= 8 ? 24 : 40));
      CHECK(got.pixels == opencv(bytes).pixels);
    }
  // Orientation 6: turned by a quarter, so that the stored left column becomes the top row, read from below.
  const Image upright = decode(with_orientation(plain, 6, true));
  CHECK(std::abs(int(upright.at(0, 39)[1]) - int(p.at(0, 0)[1])) < 12);
  CHECK(std::abs(int(upright.at(0, 0)[1]) - int(p.at(39, 0)[1])) < 12);
  Bytes cut = with_orientation(plain, 6, true);
  cut.resize(30);
  CHECK(images::exif_orientation(cut) == 1);
}

TEST_CASE("decode: one pixel is an image") {
  Image one(1, 1);
  one.pixels = {10, 200, 30};
  CHECK(decode(encode_png(one)).pixels == one.pixels);
  const Image jpeg = decode(encode_jpeg(one, 100, Chroma::s444));
  CHECK(jpeg.height == 1);
  CHECK(jpeg.width == 1);
}

TEST_CASE("decode: bad files are errors that begin with the path") {
  const TempFolder folder;
  const std::string missing = (folder / "missing.jpg").string();
  expect_throw(missing + ": cannot read: No such file", [&] { decode_image(missing); });
  expect_throw(folder.path().string() + ": cannot read: Is a directory", [&] { decode_image(folder.path().string()); });
  const std::string empty = folder.file("empty.jpg", "");
  expect_throw(empty + ": is empty (0 bytes)", [&] { decode_image(empty); });
  const std::string text = folder.file("text.jpg", "this is no image at all, whatever its name says");
  expect_throw(text + ": is not a JPEG, PNG, BMP, WebP or TIFF image", [&] { decode_image(text); });
}

TEST_CASE("decode: files cut short or damaged are errors, at any length") {
  cv::Mat noise = random_mat(CV_8UC3, 40, 50);
  for (const char* format : {".jpg", ".png", ".webp", ".bmp", ".tiff"}) {
    const Bytes whole = encode(format, noise);
    for (const double share : {0.0, 0.01, 0.1, 0.5, 0.9}) {
      CAPTURE(format);
      CAPTURE(share);
      Bytes cut(whole.begin(), whole.begin() + 1 + std::ptrdiff_t(double(whole.size()) * share));
      expect_throw("test.img: ", [&] { decode(cut); });
    }
  }
  Bytes progressive;
  cv::imencode(".jpg", noise, progressive, {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  CHECK(decode(progressive).pixels == opencv(progressive).pixels);
  progressive.resize(progressive.size() / 2);
  expect_throw("damaged JPEG", [&] { decode(progressive); });
  Bytes short_of_its_end = encode_jpeg(picture(16, 16), 80);
  short_of_its_end.resize(short_of_its_end.size() - 3);
  expect_throw("damaged JPEG", [&] { decode(short_of_its_end); });
}

TEST_CASE("decode: random damage is an error or an image, never a crash") {
  Random random(test::seed(), "fuzz");
  const Image p = picture(24, 32);
  for (const Bytes& whole : {encode_jpeg(p, 80), with_orientation(encode_jpeg(p, 80), 6, false)})
    for (int i = 0; i < 500; ++i) {
      Bytes bytes = whole;
      for (int k = 0; k < 3; ++k)
        bytes[std::size_t(random.below(std::int64_t(bytes.size())))] = std::uint8_t(random.u32());
      try {
        const Image got = decode_image_bytes(bytes, "fuzz.img", 1 << 20);
        CHECK(got.pixels.size() == std::size_t(got.height) * std::size_t(got.width) * 3);
      } catch (const Error& e) {
        CHECK(std::string(e.what()).starts_with("fuzz.img: "));
      }
    }
}

TEST_CASE("decode: huge images are refused from their header, before anything is allocated") {
  const auto big = [](std::int64_t at, int bytes_per_side, bool little, Bytes bytes) {
    for (int side = 0; side < 2; ++side)
      for (int i = 0; i < bytes_per_side; ++i)
        bytes[std::size_t(at + side * bytes_per_side + (little ? i : bytes_per_side - 1 - i))] =
            std::uint8_t(60000u >> 8 * i);
    return bytes;
  };
  const Image p = picture(16, 16);
  const Bytes png = big(16, 4, false, encode_png(p));
  const Bytes bmp = big(18, 4, true, encode(".bmp", random_mat(CV_8UC3)));
  Bytes jpeg = encode_jpeg(p, 80);
  for (std::size_t i = 0; i + 9 < jpeg.size(); ++i)
    if (jpeg[i] == 0xff && jpeg[i + 1] == 0xc0) {
      jpeg = big(std::int64_t(i) + 5, 2, false, jpeg);
      break;
    }
  for (const Bytes& bytes : {png, bmp, jpeg})
    expect_throw("test.img: image of 60000 x 60000 pixels; the limit is 134217728 pixels", [&] { decode(bytes); });
  expect_throw("limit is 255", [&] { decode_image_bytes(encode_jpeg(p, 80), "test.img", 255); });
  CHECK(decode_image_bytes(encode_jpeg(p, 80), "test.img", 256).width == 16);
}

TEST_CASE("decode: a folder as image source, files written whole") {
  const TempFolder folder;
  const Image p = picture(16, 24);
  write_png((folder / "a.png").string(), p);
  write_jpeg((folder / "b.jpg").string(), p, 90);
  const FileImageSource source(folder.path().string());
  CHECK(source.load("a.png").pixels == p.pixels);
  CHECK(source.load((folder / "a.png").string()).pixels == p.pixels);
  CHECK(source.load("b.jpg").width == 24);
  expect_throw((folder / "c.png").string(), [&] { source.load("c.png"); });
  expect_throw("nowhere", [&] { write_png((folder / "nowhere" / "a.png").string(), p); });
}
