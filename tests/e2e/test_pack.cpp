// tests/e2e/test_pack.cpp — `bonafide pack`, and training and evaluation from its file: the same bits as from the photographs,
// also by a program without OpenCV; kills, workers, names of every kind.
#include <algorithm>

#include "data/csv.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/packed.h"
#include "engine/philox.h"
#include "engine/safetensors.h"
#include "tests/e2e/program.h"
#include "tests/e2e/toy_data.h"
#include "tests/fuzz/images.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

constexpr const char* kWithoutImages = "tests/bonafide_without_images";

Result pack(std::vector<std::string> words, const Interrupt& interrupt = {}) {
  words.insert(words.begin(), "pack");
  return bonafide_program(words, interrupt);
}

std::vector<float> final_weights(const fs::path& run) {
  const SafetensorsFile f(run / "checkpoints/last/model.safetensors");
  std::vector<float> all;
  for (const auto& a : f.arrays())
    for (const float v : f.read<float>(a.name)) all.push_back(v);
  return all;
}

Image noise(int height, int width, std::uint64_t seed) {
  Random random(seed, "noise");
  Image image(height, width);
  for (std::uint8_t& p : image.pixels) p = std::uint8_t(random.u32());
  return image;
}

std::string jpeg(const Image& image) {
  const std::vector<std::uint8_t> bytes = encode_jpeg(image, 95);
  return {bytes.begin(), bytes.end()};
}

// Boxes so small that crops are parts of the photographs.
void shrink_boxes(const ToyData& data) {
  std::string table = "path,x1,y1,x2,y2\n";
  for (const fs::path& list : {data.train, data.val}) {
    Manifest m = read_manifest(list);
    for (Record& r : m.records) {
      r.box = {12.5f, 13.25f, 33, 36};
      table += csv_line({r.filename, "12.5", "13.25", "33", "36"});
    }
    write_manifest(list, m);
  }
  write_file_atomically(data.boxes, table);
}

// The same training and evaluation from `root`; what they leave behind goes to data.root/<name>.
struct Outcome {
  std::vector<float> weights;
  std::string submission, metrics;
};
Outcome train_and_evaluate(const ToyData& data, const std::string& name, const fs::path& root, const fs::path& train, const fs::path& val,
                           const std::string& program = "bin/bonafide") {
  TrainConfig c = toy_config(data);
  c.paths.root_dir = root.string(), c.paths.train_manifest = train.string(), c.paths.val_manifest = val.string();
  c.trainer.max_steps = 6;
  const fs::path config = data.root / (name + ".json"), out = data.root / name;
  write_file_atomically(config, config_json(c));
  expect(bonafide_program({"train", "--config", config.string(), "--name", name, "trainer.weights_save_folder=" + (data.root / "runs").string()}, {}, program),
         0, "run ");
  const fs::path run = data.root / "runs" / name;
  expect(bonafide_program({"eval", "--checkpoint", run.string(), "--protocol", data.protocol.string(), "--bbox-csv", data.boxes.string(), "--root-dir",
                           root.string(), "--output", (out / "submission.txt").string(), "--report-dir", (out / "report").string()}, {}, program),
         0, "8 genuine, 16 attacks");
  return {final_weights(run), read_file(out / "submission.txt"), read_file(out / "report" / "metrics.json")};
}

}  // namespace

TEST_CASE("pack: training and evaluation from the packed file end with the same bits, also without OpenCV") {
  const ToyData data;
  shrink_boxes(data);
  const fs::path dst = data.root / "packed";
  const Result r = pack({"--manifest", data.train.string(), "--manifest", data.val.string(), "--root", data.root.string(), "--dst", dst.string()});
  expect(r, 0, "48 photographs in 2 lists");
  expect(r, 0, "48 inputs: 48 outputs, 0 rejected");
  const Outcome files = train_and_evaluate(data, "files", data.root, data.train, data.val);
  const fs::path file = dst / "images.pack";
  CHECK(!PackedFile(file).images()[0].whole());
  for (const auto& [name, program] : {std::pair{"packed", "bin/bonafide"}, {"without", kWithoutImages}}) {
    const Outcome packed = train_and_evaluate(data, name, file, dst / "train.csv", dst / "val.csv", program);
    CHECK(packed.weights == files.weights);
    CHECK(packed.submission == files.submission);
    CHECK(packed.metrics == files.metrics);
  }
  // The lists themselves serve as well: nothing in them changes.
  CHECK(train_and_evaluate(data, "lists", file, data.train, data.val).weights == files.weights);

  // Crops that are not in it are refused before the first step.
  TrainConfig c = toy_config(data);
  c.paths.root_dir = file.string(), c.crop.train_margin_max = 1.4;
  write_file_atomically(data.root / "wide.json", config_json(c));
  expect(bonafide_program({"train", "--config", (data.root / "wide.json").string(), "--dry-run"}), 2,
         "is packed for crops with a margin of up to 1.3, and 1.4 is wanted");
  expect(bonafide_program({"eval", "--checkpoint", (data.root / "runs/files").string(), "--manifest", data.val.string(), "--root-dir", file.string(),
                           "--contact-sheet", (data.root / "sheet.png").string(), "--output", (data.root / "s.txt").string()}), 0, "faces");
}

TEST_CASE("pack: the program without OpenCV does what needs no image files, and says so where one does") {
  const ToyData data(2);
  const auto without = [](std::vector<std::string> words) { return bonafide_program(words, {}, kWithoutImages); };
  const std::string say = "this build has no image decoder (BONAFIDE_OPENCV=OFF)";
  for (const char* command : {"crop", "synth", "demo-data"}) expect(without({command, "--help"}), 2, say);
  write_file_atomically(data.root / "toy.json", config_json(toy_config(data)));
  const std::string config = (data.root / "toy.json").string();
  expect(without({"train", "--config", config, "--dry-run"}), 2, data.root.string() + ": " + say);
  expect(without({"train", "--config", config, "--dry-run", "paths.root_dir="}), 2, "photographs in the working folder: " + say);
  expect(without({"eval", "--checkpoint", "x", "--manifest", data.val.string(), "--contact-sheet", "x.png"}), 2, "--contact-sheet: " + say);
  expect(without({"pack", "--manifest", data.train.string(), "--dst", (data.root / "new").string()}), 2, say);
  CHECK(!fs::exists(data.root / "new"));
  const fs::path dst = data.root / "packed";
  expect(pack({"--manifest", data.train.string(), "--root", data.root.string(), "--dst", dst.string()}), 0, "6 outputs");
  expect(without({"train", "--config", config, "--dry-run", "paths.root_dir=" + (dst / "images.pack").string(), "paths.val_manifest=", "simulate.enabled=true"}), 2,
         "simulated attacks: " + say);
  // Packing out of a packed file decodes nothing.
  expect(without({"pack", "--manifest", (dst / "train.csv").string(), "--root", (dst / "images.pack").string(), "--dst", (data.root / "again").string()}), 0, "6 outputs");
  CHECK(read_file(data.root / "again" / "images.pack") == read_file(dst / "images.pack"));
  expect(without({"doctor", "--model", "convnextv2_atto"}), 0, "parameters");
  expect(without({"match", "--help"}), 0, "--sim-thr");
}

TEST_CASE("pack: names of every kind, turned photographs, two files with one stem, and what is no photograph") {
  const TempFolder folder;
  const fs::path root = folder / "photos";
  const auto put = [&](const std::string& name, const std::string& bytes) {
    fs::create_directories((root / name).parent_path());
    write_file_atomically(root / name, bytes);
  };
  put("a b, \"c\"/é ü.jpg", jpeg(noise(40, 60, 1)));
  put("one.jpg", jpeg(noise(50, 50, 2)));
  put("one.png", jpeg(noise(30, 30, 3)));  // another file: content tells, not the name
  put("turned.jpg", fuzz::with_exif(jpeg(noise(40, 60, 4))));
  put("cut.jpg", jpeg(noise(40, 60, 5)).substr(0, 900));
  put("empty.png", "");
  put("folder.jpg/x", "x");
  ListBuilder list;
  list.manifest.extra_columns = {"note"};
  const std::string first = "a b, \"c\"/é ü.jpg";
  list.add(first, Label{}, {}, "anna").box = {10.5f, 10.25f, 30, 30};
  list.manifest.records[0].extra = {"n1"};
  list.add("one.jpg", Label{}).box = {40, 40, 60, 60};
  list.add("one.png", kPrint, first);
  list.add("turned.jpg", Label{}).box = {5, 30, 25, 50};
  for (const char* name : {"cut.jpg", "empty.png", "folder.jpg", "missing.jpg"}) list.add(name, Label{});
  list.add("before.jpg", Label{}).reject_reason = "too blurred";
  write_manifest(folder / "list.csv", list.manifest);
  const fs::path dst = folder / "packed";
  const Result r = pack({"--manifest", (folder / "list.csv").string(), "--root", root.string(), "--dst", dst.string()});
  expect(r, 0, "9 inputs: 4 outputs, 5 rejected");
  CsvReader rejects(dst / "rejects.csv");
  std::vector<std::string> seen;
  while (rejects.next()) seen.push_back(rejects.row()[0] + " | " + rejects.row()[1]);
  REQUIRE(seen.size() == 5);
  CHECK(seen[0].starts_with("cut.jpg | pack: damaged JPEG"));
  CHECK(seen[1] == "empty.png | pack: is empty (0 bytes)");
  CHECK(seen[2].starts_with("folder.jpg | pack: "));
  CHECK(seen[3] == "missing.jpg | pack: cannot read: No such file or directory");
  CHECK(seen[4] == "before.jpg | too blurred");
  for (const std::string& line : seen) CHECK(line.find(root.string()) == std::string::npos);

  const PackedFile file(dst / "images.pack");
  REQUIRE(file.images().size() == 4);
  const Manifest after = read_manifest(dst / "list.csv", {.keep_rejected = true});
  REQUIRE(after.records.size() == 9);
  CHECK(after.records[0].extra[0] == "n1");
  CHECK(after.records[2].pair_filename == first);
  for (const Record& rec : after.records) {
    const std::int64_t i = file.find(rec.filename);
    CHECK((i >= 0) == rec.reject_reason.empty());
    if (i < 0) continue;
    const Image photo = decode_image((root / rec.filename).string()), part = file.load(i);
    for (const double margin : {1.1, 1.2, 1.3}) {
      const CropRect a = crop_rect(rec.box, margin, photo), b = crop_rect(rec.box, margin, part);
      REQUIRE(a.width() == b.width());
      REQUIRE(a.height() == b.height());
      for (int y = 0; y < a.height(); ++y) CHECK(std::equal(photo.at(a.y1 + y, a.x1), photo.at(a.y1 + y, a.x1) + 3 * a.width(), part.at(b.y1 + y, b.x1)));
    }
  }
  CHECK(file.images()[std::size_t(file.find("turned.jpg"))].part.height == 60);  // stood upright
  CHECK(!file.images()[0].whole());
  CHECK(file.images()[std::size_t(file.find("one.png"))].whole());
  // Whole photographs are simulated on as from files; parts are not.
  const fs::path whole = folder / "whole";
  expect(pack({"--manifest", (folder / "list.csv").string(), "--root", root.string(), "--dst", whole.string(), "--whole"}), 0, "4 outputs");
  const PackedFile all(whole / "images.pack");
  CHECK(std::all_of(all.images().begin(), all.images().end(), [](const PackedImage& i) { return i.whole(); }));
  CHECK(all.margin() == 0);
}

TEST_CASE("pack: killed in the middle, with another number of workers, it ends with the same bytes; wrong words are explained") {
  const TempFolder folder;
  const fs::path root = folder / "photos";
  fs::create_directories(root);
  std::string text = "path,label_original,x1,y1,x2,y2\n";
  for (int i = 0; i < 240; ++i) {
    const std::string name = str(i, ".png");
    write_png((root / name).string(), noise(160, 160, std::uint64_t(i)));
    text += str(name, ",0_0_0,", 20 + i % 60, ",30,", 60 + i % 60, ",90\n");
  }
  const std::string list = folder.file("list.csv", text);
  const auto words = [&](const std::string& dst, int workers) {
    return std::vector<std::string>{"--manifest", list, "--root", root.string(), "--dst", (folder / dst).string(), "--workers", str(workers)};
  };
  expect(pack(words("one", 1)), 0, "240 outputs");
  expect(pack(words("eight", 8)), 0, "240 outputs");
  const auto same = [&](const std::string& dst) {
    for (const char* file : {"images.pack", "list.csv", "rejects.csv"}) CHECK(read_file(folder / dst / file) == read_file(folder / "one" / file));
    for (const auto& e : fs::directory_iterator(folder / dst)) CHECK_MESSAGE(e.path().extension() != ".partial", e.path().string());
    CHECK(!fs::exists(folder / dst / "pack.journal"));
  };
  same("eight");
  const fs::path partial = folder / "killed" / "images.pack.partial";
  for (const std::uintmax_t bytes : {10000, 150000}) {
    const Result r = pack(words("killed", 1), {.file = partial, .bytes = bytes, .signal = SIGKILL});
    CHECK(r.code == 128 + SIGKILL);
  }
  CHECK(!fs::exists(folder / "killed" / "images.pack"));
  auto others = words("killed", 2);
  others.insert(others.end(), {"--margin", "1.5"});
  expect(pack(others), 2, "--restart");
  expect(pack(words("killed", 8)), 0, "going on: ");
  same("killed");
  const Result stopped = pack(words("stopped", 1), {.file = folder / "stopped" / "images.pack.partial", .bytes = 20000, .signal = SIGTERM});
  CHECK((stopped.code == 130 || stopped.code == 0));
  expect(pack(words("stopped", 1)), 0, "240 outputs");
  same("stopped");

  expect(pack({"--manifest", list}), 2, "--dst");
  expect(pack({"--manifest", list, "--dst", folder.path().string()}), 2, "lies in --dst");
  expect(pack({"--manifest", list, "--dst", (folder / "x").string(), "--margin", "1.2"}), 2, "--margin");
  expect(pack({"--manifest", list, "--dst", (folder / "x").string(), "--workers", "0"}), 2, "--workers 0");
  expect(pack({"--manifest", (folder / "none.csv").string(), "--dst", (folder / "x").string()}), 1, "none.csv: cannot read");
  expect(pack({"--manifest", list, "--root", (folder / "one/images.pack").string(), "--dst", (folder / "one").string()}), 2, "--root is the packed file in it");
  // A file that is no packed one, and none of whose photographs is there.
  expect(pack({"--manifest", list, "--root", list, "--dst", (folder / "x").string()}), 1, "list.csv: is no packed file of bonafide");
  expect(pack({"--manifest", list, "--root", folder.path().string(), "--dst", (folder / "x").string()}), 3, "none of the photographs could be packed");
}
