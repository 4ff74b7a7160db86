// tests/images/test_decode.cpp — every kind of image file, good and bad, built here from bytes.
#include <sys/stat.h>
#include <turbojpeg.h>
#include <zlib.h>

#include <filesystem>
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

TEST_CASE("decode: JPEGs that are wrong in one place are errors that say so") {
  const Bytes good = encode_jpeg(picture(40, 48), 85);
  // Where the payload of the first segment with this marker begins (behind its length).
  const auto segment = [&](unsigned marker) {
    for (std::size_t at = 2; at + 4 < good.size() && good[at] == 0xff; at += 2 + (std::size_t(good[at + 2]) << 8 | good[at + 3]))
      if (good[at + 1] == marker) return at + 4;
    FAIL("no segment ", marker);
    return std::size_t(0);
  };
  const auto patched = [&](std::size_t at, const Bytes& with) {
    Bytes bytes = good;
    std::copy(with.begin(), with.end(), bytes.begin() + std::ptrdiff_t(at));
    return bytes;
  };
  const auto without = [&](unsigned marker) {  // every segment of that kind
    Bytes bytes = {0xff, 0xd8};
    std::size_t at = 2;
    for (; good[at + 1] != 0xda; at += 2 + (std::size_t(good[at + 2]) << 8 | good[at + 3]))
      if (good[at + 1] != marker)
        bytes.insert(bytes.end(), good.begin() + std::ptrdiff_t(at),
                     good.begin() + std::ptrdiff_t(at + 2 + (std::size_t(good[at + 2]) << 8 | good[at + 3])));
    bytes.insert(bytes.end(), good.begin() + std::ptrdiff_t(at), good.end());
    return bytes;
  };
  const std::size_t sof = segment(0xc0), dht = segment(0xc4), dqt = segment(0xdb), sos = segment(0xda);
  CHECK(decode(good).width == 48);
  const std::pair<const char*, Bytes> bad[] = {
      {"taller than its data", patched(sof + 1, {0x03, 0xe8})},
      {"wider than its data", patched(sof + 3, {0x03, 0xe8})},
      {"no height", patched(sof + 1, {0, 0})},
      {"no width", patched(sof + 3, {0, 0})},
      {"65500 x 65500", patched(sof + 1, {0xff, 0xdc, 0xff, 0xdc})},
      {"12 bits", patched(sof, {12})},
      {"16 bits", patched(sof, {16})},
      {"no components", patched(sof + 5, {0})},
      {"255 components", patched(sof + 5, {255})},
      {"sampling of 15", patched(sof + 7, {0xff})},
      {"sampling of 0", patched(sof + 7, {0})},
      {"a table that is not there", patched(sof + 8, {3})},
      {"lossless", patched(sof - 3, {0xc3})},
      {"hierarchical", patched(sof - 3, {0xc5})},
      {"more codes than a table holds", patched(dht + 1, Bytes(16, 255))},
      {"codes that do not fit their lengths", patched(dht + 1, {3})},
      {"no quantisation tables", without(0xdb)},
      {"no frame", without(0xc0)},
      {"an undefined quantisation table", patched(dqt, {0x0f})},
      {"a scan of nothing", patched(sos, {0})},
      {"a scan of an unknown component", patched(sos + 1, {77})},
      {"a segment of no length", patched(dqt - 2, {0, 0})},
      {"a segment longer than the file", patched(dqt - 2, {0xff, 0xff})},
      {"nothing but the magic", {0xff, 0xd8, 0xff}},
      {"the end at once", {0xff, 0xd8, 0xff, 0xd9}},
      {"a file of fill bytes", Bytes(1000, 0xff)},
  };
  for (const auto& [what, bytes] : bad) {
    INFO(std::string(what));
    CHECK_THROWS_WITH_AS(decode(bytes), doctest::Contains("test.img: "), Error);
  }
  CHECK(decode(without(0xc4)).pixels == decode(good).pixels);  // no Huffman tables: the standard's own, as in motion JPEG
  // Bytes behind the end are no concern of the picture's.
  Bytes longer = good;
  longer.insert(longer.end(), 1000, 0x5a);
  CHECK(decode(longer).pixels == decode(good).pixels);
}

TEST_CASE("decode: a progressive JPEG of thousands of scans is refused") {
  Bytes bytes;
  cv::imencode(".jpg", random_mat(CV_8UC1, 64, 64), bytes, {cv::IMWRITE_JPEG_PROGRESSIVE, 1});
  CHECK(decode(bytes).width == 64);
  // The last scan again and again.
  std::size_t last = 0;
  for (std::size_t i = 2; i + 1 < bytes.size(); ++i)
    if (bytes[i] == 0xff && bytes[i + 1] == 0xda) last = i;
  const Bytes scan(bytes.begin() + std::ptrdiff_t(last), bytes.end() - 2);
  bytes.resize(bytes.size() - 2);
  for (int i = 0; i < 1000; ++i) bytes.insert(bytes.end(), scan.begin(), scan.end());
  bytes.insert(bytes.end(), {0xff, 0xd9});
  expect_throw("test.img: damaged JPEG: ", [&] { decode(bytes); });
}

TEST_CASE("decode: rubbish in EXIF turns no picture and breaks none") {
  const Bytes plain = encode_jpeg(picture(24, 16), 90);
  const auto upright = decode(plain).pixels;
  Random random(test::seed(), "exif");
  const Bytes fixed[] = {
      {},
      {'E', 'x', 'i', 'f'},
      {'E', 'x', 'i', 'f', 0, 0, 'I', 'I'},
      {'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 0xff, 0xff, 0xff, 0xff},                    // a directory far away
      {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 0},                                // which is its own header
      {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0xff, 0xff},                    // of 65535 entries
      {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0},  // no orientation
  };
  for (int i = 0; i < 200; ++i) {
    Bytes payload = i < int(std::size(fixed)) ? fixed[i] : fixed[6];
    if (i >= int(std::size(fixed)))
      for (int k = 0; k < 4; ++k) payload[std::size_t(8 + random.below(std::int64_t(payload.size()) - 8))] = std::uint8_t(random.below(20));
    Bytes bytes = {0xff, 0xd8, 0xff, 0xe1, 0, std::uint8_t(payload.size() + 2)};
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    bytes.insert(bytes.end(), plain.begin() + 2, plain.end());
    const Image got = decode(bytes);
    CHECK(got.pixels.size() == upright.size());
    if (i < int(std::size(fixed))) CHECK(got.pixels == upright);
  }
}

TEST_CASE("decode: PNGs that are wrong in one place are errors that say so") {
  const Bytes good = encode_png(picture(40, 48));
  const auto chunk = [](const char* name, const Bytes& data) {
    Bytes c;
    const auto number = [&](std::size_t v) {
      for (int i = 0; i < 4; ++i) c.push_back(std::uint8_t(v >> (24 - 8 * i)));
    };
    number(data.size());
    for (int i = 0; i < 4; ++i) c.push_back(std::uint8_t(name[i]));
    for (const std::uint8_t v : data) c.push_back(v);
    number(::crc32(0, c.data() + 4, uInt(c.size() - 4)));
    return c;
  };
  // The file with its header replaced: width, height, depth, colour type, interlace.
  const auto headed = [&](std::uint32_t width, std::uint32_t height, std::uint8_t depth, std::uint8_t colour, std::uint8_t interlace = 0) {
    Bytes header;
    for (const std::uint32_t v : {width, height})
      for (int i = 0; i < 4; ++i) header.push_back(std::uint8_t(v >> (24 - 8 * i)));
    header.insert(header.end(), {depth, colour, 0, 0, interlace});
    Bytes bytes(good.begin(), good.begin() + 8);
    const Bytes ihdr = chunk("IHDR", header);
    bytes.insert(bytes.end(), ihdr.begin(), ihdr.end());
    bytes.insert(bytes.end(), good.begin() + 33, good.end());
    return bytes;
  };
  CHECK(decode(headed(48, 40, 8, 2)).pixels == decode(good).pixels);
  Bytes crc = good, data = good;
  crc[30] ^= 1;
  data[good.size() / 2] ^= 0xff;
  const std::pair<const char*, Bytes> bad[] = {
      {"no width", headed(0, 40, 8, 2)},
      {"no height", headed(48, 0, 8, 2)},
      {"a negative size", headed(0x80000000u, 40, 8, 2)},
      {"65500 x 65500", headed(65500, 65500, 8, 2)},
      {"4294967295 x 1", headed(0xffffffffu, 1, 8, 2)},
      {"one row of 128 Mi pixels and no data for it", headed(1 << 27, 1, 8, 2)},
      {"taller than its data", headed(48, 4000, 8, 2)},
      {"a depth of 3", headed(48, 40, 3, 2)},
      {"a colour type of 5", headed(48, 40, 8, 5)},
      {"a palette that is not there", headed(48, 40, 8, 3)},
      {"an interlace of 7", headed(48, 40, 8, 2, 7)},
      {"a header that fails its check sum", crc},
      {"data that fail theirs", data},
      {"no data", [&] {
         Bytes bytes(good.begin(), good.begin() + 33);
         const Bytes end = chunk("IEND", {});
         bytes.insert(bytes.end(), end.begin(), end.end());
         return bytes;
       }()},
  };
  for (const auto& [what, bytes] : bad) {
    INFO(std::string(what));
    CHECK_THROWS_WITH_AS(decode(bytes), doctest::Contains("test.img: "), Error);
  }
}

TEST_CASE("decode: every prefix of a small file of every kind is an error or an image, never a crash") {
  int refused = 0;
  for (const char* format : {".jpg", ".png", ".webp", ".bmp", ".tiff"}) {
    const Bytes whole = encode(format, random_mat(CV_8UC3, 5, 7));
    for (std::size_t n = 0; n < whole.size(); ++n) {
      try {
        decode(Bytes(whole.begin(), whole.begin() + std::ptrdiff_t(n)));
      } catch (const Error& e) {
        ++refused;
        CHECK(std::string(e.what()).starts_with("test.img: "));
      }
    }
  }
  CHECK(refused > 1000);
}

TEST_CASE("decode: devices, pipes and files beyond any image are refused without reading them") {
  const TempFolder folder;
  expect_throw("/dev/zero: is not a regular file", [] { decode_image("/dev/zero"); });
  const std::string pipe = (folder / "pipe.jpg").string(), huge = (folder / "huge.jpg").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  expect_throw(pipe + ": is not a regular file", [&] { decode_image(pipe); });
  folder.file("huge.jpg", "\xff\xd8\xff");
  std::filesystem::resize_file(huge, (std::uintmax_t(1) << 30) + 1);  // sparse: takes no room
  expect_throw(huge + ": file of 1073741825 bytes; the limit is 1073741824", [&] { decode_image(huge); });
  std::filesystem::create_symlink("loop.jpg", folder / "loop.jpg");
  expect_throw("loop.jpg: cannot read: Too many levels of symbolic links", [&] { decode_image((folder / "loop.jpg").string()); });
  expect_throw("cannot read: File name too long", [&] { decode_image(std::string(5000, 'x')); });
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
