// tests/e2e/test_crop.cpp — `bonafide crop` as a user meets it: a folder of everything that can be wrong, kills in the middle,
// workers, refused journals, memory.
#include <sys/stat.h>

#include <map>

#include "data/crop.h"
#include "data/csv.h"
#include "data/faces/face_detector.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/manifest.h"
#include "engine/files.h"
#include "tests/e2e/program.h"
#include "tests/fuzz/images.h"
#include "tests/images/portrait.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

Result crop(std::vector<std::string> words, const Interrupt& interrupt = {}) {
  words.insert(words.begin(), "crop");
  return bonafide_program(words, interrupt);
}

std::string jpeg(const Image& image) {
  const std::vector<std::uint8_t> bytes = encode_jpeg(image, 95);
  return {bytes.begin(), bytes.end()};
}

Image plain(int side, std::uint8_t value = 127) {
  Image image(side, side);
  std::fill(image.pixels.begin(), image.pixels.end(), value);
  return image;
}

// Every file below a folder, with its bytes.
std::map<std::string, std::string> tree(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& e : fs::recursive_directory_iterator(folder))
    if (e.is_regular_file()) all[e.path().lexically_relative(folder).string()] = read_file(e.path());
  return all;
}

std::map<std::string, std::string> rejects(const fs::path& file) {
  CsvReader csv(file);
  std::map<std::string, std::string> all;
  while (csv.next()) CHECK(all.emplace(csv.row()[0], csv.row()[1]).second);
  return all;
}

const FaceDetector& haar() {
  static const auto detector = make_face_detector("haar");
  return *detector;
}

// The k-th drawn portrait in which the detector finds a face.
Image found_portrait(int k, int size = 150) {
  static std::vector<std::uint64_t> persons;
  for (std::uint64_t person = persons.empty() ? 1 : persons.back() + 1; int(persons.size()) <= k; ++person) {
    BF_CHECK(person < 1000, "the detector finds no face in drawn portraits");
    if (!haar().detect(portrait(person, 150)).empty() && !haar().detect(portrait(person, 200)).empty()) persons.push_back(person);
  }
  return portrait(persons[std::size_t(k)], size);
}

void write_portraits(const fs::path& folder, int n, int size = 150) {
  for (int k = 0; k < n; ++k) {
    const fs::path file = folder / str("person ", k % 3) / str(k, ".jpg");
    fs::create_directories(file.parent_path());
    write_file_atomically(file, jpeg(found_portrait(k, size)), Durable::eventually);
  }
}

}  // namespace

TEST_CASE("crop: a folder of everything that can be wrong: each file is an output or a reject, none is lost") {
  const TempFolder folder;
  const fs::path src = folder / "photos", dst = folder / "out";
  write_portraits(src / "good", 4);
  const Image face = found_portrait(0);
  const auto put = [&](const std::string& name, const std::string& bytes) {
    fs::create_directories((src / name).parent_path());
    write_file_atomically(src / name, bytes, Durable::eventually);
  };
  const std::vector<std::uint8_t> encoded = encode_png(face);
  const std::string png(encoded.begin(), encoded.end());
  put("Zoë, \"the\" 2nd/a b.jpg", jpeg(face));
  put("stem/foo.jpg", jpeg(face)), put("stem/foo.png", png);
  Image lying(face.width, face.height);  // stored on its side, with the word that turns it upright
  for (int y = 0; y < face.height; ++y)
    for (int x = 0; x < face.width; ++x) std::copy_n(face.at(y, x), 3, lying.at(face.width - 1 - x, y));
  put("turned.jpg", fuzz::with_exif(jpeg(lying)));
  put("none.jpg", jpeg(plain(150)));
  put("large.jpg", jpeg(plain(10'000)));  // 100 megapixels
  put("empty.jpg", ""), put("text.png", "no picture"), put("cut.jpg", jpeg(face).substr(0, 3000));
  std::string huge = png;  // a header that promises 60000 x 60000 pixels
  huge[18] = huge[22] = char(60000 >> 8), huge[19] = huge[23] = char(60000 & 255);
  put("huge.png", huge);
  put("notes.txt", "not looked at");
  put("tab\there.jpg", jpeg(face));
  fs::create_symlink("nothing.jpg", src / "dangling.jpg");
  fs::create_symlink("..", src / "stem/up");
  fs::create_symlink(src, src / "good/loop");

  const Result r = crop({"--src", src.string(), "--dst", dst.string(), "--out-size", "64", "--workers", "2"});
  expect(r, 0, "18 inputs: 8 outputs, 10 rejected\n  2  ");
  CHECK(r.text.find("1 other files in") != std::string::npos);
  CHECK(r.text.find("[crop] 14/14 100%  6 rejected") != std::string::npos);
  const std::map<std::string, std::string> reasons{{"none.jpg", "no face found"},
                                                   {"large.jpg", "no face found"},
                                                   {"empty.jpg", "is empty (0 bytes)"},
                                                   {"text.png", "is not a JPEG"},
                                                   {"cut.jpg", "damaged JPEG: "},
                                                   {"huge.png", "image of 60000 x 60000 pixels; the limit is "},
                                                   {"tab\there.jpg", "its name holds a control character"},
                                                   {"dangling.jpg", "a link that leads nowhere"},
                                                   {"stem/up", "a link to a folder that is listed as ."},
                                                   {"good/loop", "a link to a folder that is listed as ."}};
  const auto why = rejects(dst / "rejects.csv");
  CHECK(why.size() == reasons.size());
  for (const auto& [name, reason] : reasons) {
    CAPTURE(name);
    REQUIRE(why.count(name));
    CHECK(why.at(name).starts_with(reason));
  }

  // The manifest has a row of every file, the box file one of every readable photograph, the crops mirror the tree.
  const Manifest m = read_manifest(dst / "manifest.csv", {.keep_rejected = true});
  const BoxTable boxes = read_box_csv(dst / "bboxes.csv");
  CHECK(m.records.size() == 14);
  CHECK(boxes.boxes.size() == 10);
  const auto column = [&](const Record& rec, const std::string& name) {
    const auto at = std::find(m.extra_columns.begin(), m.extra_columns.end(), name);
    REQUIRE(at != m.extra_columns.end());
    return rec.extra[std::size_t(at - m.extra_columns.begin())];
  };
  std::size_t crops = 0;
  for (const Record& rec : m.records) {
    CAPTURE(rec.filename);
    CHECK(rec.reject_reason == (why.count(rec.filename) ? why.at(rec.filename) : ""));
    const auto row = boxes.boxes.find(rec.filename);
    if (rec.reject_reason == "no face found") {
      REQUIRE(row != boxes.boxes.end());
      CHECK_FALSE(row->second.box.valid());
      CHECK(column(rec, "faces") == "0");
    }
    if (!rec.reject_reason.empty()) {
      CHECK(column(rec, "crop").empty());
      CHECK_FALSE(rec.box.valid());
      continue;
    }
    const Image photo = decode_image((src / rec.filename).string());
    const std::vector<Face> faces = haar().detect(photo);
    REQUIRE(!faces.empty());
    const Face& want = faces[std::size_t(largest_face(faces))];
    const Box box = published_box(want.box, photo.width, photo.height);
    for (const Box& b : {rec.box, row->second.box}) CHECK((b.x1 == box.x1 && b.y1 == box.y1 && b.x2 == box.x2 && b.y2 == box.y2));
    CHECK(column(rec, "detection_score") == format_number(want.score));
    CHECK(column(rec, "faces") == str(faces.size()));
    CHECK(column(rec, "width") == "150");
    CHECK(column(rec, "orientation") == (rec.filename == "turned.jpg" ? "6" : "1"));
    const Image small = decode_image((dst / column(rec, "crop")).string());
    CHECK((small.width == 64 && small.height == 64));
    ++crops;
  }
  CHECK(crops == 8);
  CHECK(read_file(dst / "bboxes.csv").find("none.jpg,-1,-1,-1,-1\n") != std::string::npos);
  CHECK(tree(dst).size() == 8 + 3);  // and the three lists: no journal stays behind
  for (const char* name : {"stem/foo.jpg", "stem/foo.png.jpg", "Zoë, \"the\" 2nd/a b.jpg", "turned.jpg", "good/person 0/0.jpg"})
    CHECK_MESSAGE(fs::exists(dst / name), name);
}

TEST_CASE("crop: killed in the middle and started again, with 1 and with 8 workers: the same files, byte for byte") {
  const TempFolder folder;
  const fs::path src = folder / "photos";
  write_portraits(src, 24, 200);
  const auto words = [&](const std::string& dst, const std::string& workers) {
    return std::vector<std::string>{"--src", src.string(), "--dst", (folder / dst).string(), "--workers", workers};
  };
  expect(crop(words("whole", "1")), 0, "24 inputs: ");
  const auto whole = tree(folder / "whole");
  expect(crop(words("eight", "8")), 0, "24 inputs: ");
  CHECK(tree(folder / "eight") == whole);

  const fs::path journal = folder / "cut/crop.journal";
  std::uintmax_t size = 500;
  for (const int signal : {SIGKILL, SIGTERM, SIGKILL}) {
    const Result r = crop(words("cut", "2"), {.file = journal, .bytes = size, .signal = signal});
    REQUIRE(fs::exists(journal));  // it was not finished
    size = fs::file_size(journal) + 100;
    CHECK(r.code == (signal == SIGKILL ? 128 + SIGKILL : 130));
    CHECK_FALSE(fs::exists(folder / "cut/manifest.csv"));
    // As a kill in the middle of writing leaves it.
    write_file_atomically(folder / "cut/person 0" / str(".9.jpg.", signal, "-0.tmp"), "half", Durable::eventually);
    if (signal == SIGTERM) CHECK(r.text.find("the same command goes on") != std::string::npos);
  }
  expect(crop(words("cut", "8")), 0, "going on: ");
  CHECK(tree(folder / "cut") == whole);
  // Finished: the same command begins anew, and changes nothing.
  const Result again = crop(words("cut", "1"));
  expect(again, 0, "24 inputs: ");
  CHECK(again.text.find("going on") == std::string::npos);
  CHECK(tree(folder / "cut") == whole);
}

TEST_CASE("crop: a journal of another command line or of other photographs is refused, --restart forgets it") {
  const TempFolder folder;
  const fs::path src = folder / "photos", dst = folder / "out", journal = dst / "crop.journal";
  write_portraits(src, 12, 200);
  const std::vector<std::string> words{"--src", src.string(), "--dst", dst.string(), "-j", "1"};
  REQUIRE(crop(words, {.file = journal, .bytes = 400, .signal = SIGKILL}).code == 128 + SIGKILL);
  const std::string kept = read_file(journal);
  auto other = words;
  other.insert(other.end(), {"--out-size", "32"});
  const Result refused = crop(other);
  expect(refused, 2, "is of another command line\n  there: crop ");
  CHECK(refused.text.find("--out-size 224") != std::string::npos);
  CHECK(refused.text.find("--out-size 32") != std::string::npos);
  write_file_atomically(src / "person 0/zz.jpg", jpeg(found_portrait(1)));
  expect(crop(words), 2, "is of other inputs: files were added, removed or changed");
  CHECK(read_file(journal) == kept);
  other.emplace_back("--restart");
  expect(crop(other), 0, "13 inputs: ");
  CHECK(decode_image((dst / "person 0/0.jpg").string()).width == 32);
}

TEST_CASE("crop: options: sizes, margins, several faces, photographs without one, lists as input") {
  const TempFolder folder;
  const fs::path src = folder / "photos";
  write_portraits(src, 2, 200);
  Image two(200, 400);
  for (int k = 0; k < 2; ++k) {
    const Image one = found_portrait(k, k ? 200 : 150);
    for (int y = 0; y < one.height; ++y) std::copy_n(one.at(y, 0), 3 * one.width, two.at(y, 200 * k));
  }
  const std::size_t in_two = haar().detect(two).size();
  write_png((src / "two.png").string(), two);
  write_png((src / "none.png").string(), plain(64));
  const auto out = [&](const char* name) { return (folder / name).string(); };

  expect(crop({"--src", src.string(), "--dst", out("a"), "--out-size", "0", "--margin", "1.2", "--csv-name", "b.csv", "--ext", "jpg", "jpeg"}), 0,
         "2 inputs: 2 outputs, 0 rejected\n");
  for (const Record& r : read_manifest(folder / "a/manifest.csv").records) {
    const CropRect rect = crop_rect(r.box, 1.2, 200, 200);
    const Image cut = decode_image((folder / "a" / r.filename).string());
    CHECK((cut.width == rect.width() && cut.height == rect.height()));
  }
  CHECK(fs::exists(folder / "a/b.csv"));
  CHECK(read_file(folder / "a/rejects.csv") == "filename,reason\n");

  expect(crop({"--src", src.string(), "--dst", out("b"), "--no-crops", "--select", "only", "--no-face", "full-frame"}), 0, "full frame: 1 (no face found)");
  const auto why = rejects(folder / "b/rejects.csv");
  if (in_two > 1) CHECK(why.at("two.png") == str(in_two, " faces found, expected one"));
  CHECK(in_two > 1);
  CHECK(why.size() == 1);
  const Manifest b = read_manifest(folder / "b/manifest.csv");
  CHECK(b.records.size() == 3);
  CHECK(b.full_frame.size() == 1);
  CHECK(tree(folder / "b").size() == 3);

  // A list: labels and further columns stay, boxes are found anew, rows that were rejected before are no inputs of the work.
  Manifest list;
  list.extra_columns = {"camera", "faces"};
  for (const char* name : {"person 0/0.jpg", "person 1/1.jpg", "gone.jpg", "two.png"}) {
    Record r;
    r.filename = name, r.label = kPrint, r.subject = "someone", r.box = {1, 2, 3, 4}, r.extra = {"old phone", "77"};
    if (list.records.size() == 1) r.reject_reason = "too blurred";
    list.records.push_back(r);
  }
  write_manifest(src / "list.csv", list);
  expect(crop({"--manifest", (src / "list.csv").string(), "--dst", out("c"), "--select", "surest"}), 0,
         "4 inputs: 2 outputs, 2 rejected\n  1  cannot read: No such file or directory\n  1  too blurred\n");
  const Manifest c = read_manifest(folder / "c/manifest.csv", {.keep_rejected = true});
  REQUIRE(c.records.size() == 4);
  CHECK(c.extra_columns[0] == "camera");
  CHECK(c.records[0].label == kPrint);
  CHECK(c.records[0].extra[0] == "old phone");
  CHECK(c.records[0].extra[1] == "1");
  CHECK(c.records[0].box.x2 > 50);
  CHECK(c.records[1].reject_reason == "too blurred");
  CHECK(c.records[1].extra[1] == "77");  // untouched
  CHECK(c.records[2].reject_reason == "cannot read: No such file or directory");
  CHECK(fs::exists(folder / "c/person 0/0.jpg"));
}

TEST_CASE("crop: wrong usage is exit 2, a folder that is none exit 1, nothing to show for it exit 3") {
  const TempFolder folder;
  const fs::path src = folder / "photos";
  fs::create_directories(src);
  write_file_atomically(src / "none.jpg", jpeg(plain(64)));
  const std::string s = src.string(), d = (folder / "out").string();
  expect(crop({"--src", s}), 2, "--dst is required");
  expect(crop({"--dst", d}), 2, "--src");
  expect(crop({"--src", s, "--dst", d, "--detector", "mtcn"}), 2, "--detector: there is no face detector 'mtcn'; there are: haar");
  expect(crop({"--src", s, "--dst", d, "--detector", "yunet:" + d + "/no.onnx"}), 2, "no.onnx: cannot be read");
  expect(crop({"--src", s, "--dst", d, "--device", "cuda"}), 2, "the detector haar computes on the CPU");
  expect(crop({"--src", s, "--dst", d, "--workers", "0"}), 2, "--workers 0");
  expect(crop({"--src", s, "--dst", d, "--out-size", "-1"}), 2, "--out-size");
  expect(crop({"--src", s, "--dst", d, "--csv-name", "../x.csv"}), 2, "--csv-name");
  expect(crop({"--src", s, "--dst", d, "--csv-name", "manifest.csv"}), 2, "--csv-name");
  expect(crop({"--src", s, "--dst", s}), 2, "outputs would lie among them");
  expect(crop({"--src", s, "--dst", folder.path().string()}), 2, "outputs would lie among them");
  expect(crop({"--src", d, "--dst", d + "2"}), 1, "out: is no folder");
  expect(crop({"--src", s, "--dst", d, "--ext", "png"}), 1, "no images (png) below it");
  CHECK_FALSE(fs::exists(d));
  expect(crop({"--src", s, "--dst", d}), 3, "none of the photographs has an output");
  CHECK(rejects(folder / "out/rejects.csv").at("none.jpg") == "no face found");
  expect(crop({"--src", s, "--dst", s + "/out"}), 3, "1 input: 0 outputs");  // inside, but not read
  expect(crop({"--src", s, "--dst", s + "/out"}), 3, "1 input: 0 outputs");
  expect(crop({"--help"}), 0, "--out-size");
}

TEST_CASE("crop: resident memory does not grow with the number of photographs") {
  const TempFolder folder;
  for (int k = 0; k < 4; ++k) write_jpeg((folder / str(k, ".jpg")).string(), found_portrait(k, 40), 95);
  long peak[2];
  for (const int n : {250, 5000}) {
    const fs::path src = folder / str("photos ", n);
    for (int i = 0; i < n; ++i) {
      const fs::path to = src / str(i / 1000);
      if (i % 1000 == 0) fs::create_directories(to);
      fs::create_hard_link(folder / str(i % 4, ".jpg"), to / str(i, ".jpg"));
    }
    const Result r = crop({"--src", src.string(), "--dst", (folder / str("out ", n)).string(), "--no-crops", "--no-face", "full-frame", "--workers", "2"});
    expect(r, 0, str(n, " inputs: "));
    peak[n == 5000] = r.peak_kb;
  }
  MESSAGE("peak of 250 photographs: ", peak[0], " kB, of 5000: ", peak[1], " kB");
  CHECK(peak[0] > 10'000);
  CHECK(peak[1] - peak[0] < 16'000);  // rows of the lists, and nothing of the photographs
}
