// tests/images/test_render_files.cpp — renders as files: manifests, `bonafide synth`, `bonafide demo-data`, contact
// sheets.
#include "data/images/render_files.h"

#include <omp.h>

#include <set>

#include "apps/commands.h"
#include "apps/common/exit_codes.h"
#include "data/detector.h"
#include "data/images/adversarial_files.h"
#include "data/images/contact_sheet.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "tests/images/portrait.h"
#include "tests/support/formula_model.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

// people/<name>/<k>.png, `each` photographs of every person.
Manifest write_people(const fs::path& root, int people, int each, const std::string& split = "train") {
  Manifest m;
  m.origin = "people";
  m.extra_columns = {"camera"};
  for (int p = 0; p < people; ++p)
    for (int k = 0; k < each; ++k) {
      Record r;
      r.subject = str("person", p), r.split = split, r.domain = "drawn", r.label = Label{}, r.box = portrait_box();
      r.filename = str(r.subject, "/", k, ".png"), r.extra = {"box camera"};
      fs::create_directories(root / r.subject);
      write_png((root / r.filename).string(), portrait(std::uint64_t(10 * p + k)));
      m.records.push_back(r);
    }
  return m;
}

int command(int (*run)(int, char**), std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& w : words) argv.push_back(w.data());
  return run(int(argv.size()), argv.data());
}

std::string bytes(const fs::path& file) { return read_file(file); }

}  // namespace

TEST_CASE("render_files: every row is accounted for, and carries what its photograph carried") {
  const TempFolder folder;
  Manifest people = write_people(folder.path(), 2, 2);
  Record attack = people.records[0];
  attack.filename = "attack.png", attack.label = kPrint, attack.line = 7;
  people.records.push_back(attack);
  RenderPlan plan;
  plan.species = {kReplay, kFaceSwap};
  plan.per_image = 2, plan.include_genuine = true;
  const Manifest got = render_files(people, FileImageSource(folder.path().string()), folder / "out", plan);
  REQUIRE(got.records.size() == 4 * (1 + 2 * 2));
  REQUIRE(got.dropped.size() == 1);
  CHECK(got.dropped[0].filename == "attack.png");
  CHECK(got.extra_columns == std::vector<std::string>{"camera", "source"});
  std::set<std::string> names;
  for (const Record& r : got.records) {
    CAPTURE(r.filename);
    CHECK(names.insert(r.filename).second);
    const Image image = decode_image((folder / "out" / r.filename).string());
    CHECK(image.width == 112);
    CHECK(r.box.valid());
    CHECK(r.box.x2 <= 112);
    CHECK(r.split == "train");
    CHECK(r.domain == "drawn");
    CHECK(r.extra[0] == "box camera");
    CHECK(r.extra[1].starts_with(r.subject + "/"));
    CHECK(r.filename.starts_with(r.label->name() + "/"));
    if (r.attack()) {
      const auto partner = got.find(r.pair_filename);
      REQUIRE(partner >= 0);
      CHECK(got.records[std::size_t(partner)].extra == r.extra);
      CHECK(got.records[std::size_t(partner)].genuine());
    } else {
      CHECK(r.pair_filename.empty());
    }
  }
}

TEST_CASE("render_files: files depend on the seed, not on threads or on other photographs") {
  const TempFolder folder;
  Manifest people = write_people(folder.path(), 3, 1);
  const FileImageSource source(folder.path().string());
  RenderPlan plan;
  plan.species = {kPrint, kCutout, kRecoded};
  plan.include_genuine = true;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Manifest a = render_files(people, source, folder / "a", plan);
  omp_set_num_threads(2);
  render_files(people, source, folder / "b", plan);
  omp_set_num_threads(threads);
  plan.seed = 2;
  render_files(people, source, folder / "c", plan);
  for (const Record& r : a.records) {
    CHECK(bytes(folder / "a" / r.filename) == bytes(folder / "b" / r.filename));
    CHECK(bytes(folder / "a" / r.filename) != bytes(folder / "c" / r.filename));
  }
  // The control is a capture of its own, not a copy of the genuine one.
  CHECK(bytes(folder / "a" / "genuine" / "00000-0.jpg") != bytes(folder / "a" / "recoded" / "00000-0.jpg"));
  plan.seed = 1;
  people.records.erase(people.records.begin());
  const Manifest fewer = render_files(people, source, folder / "d", plan);
  CHECK(bytes(folder / "d" / "print" / "00000-0.jpg") == bytes(folder / "a" / "print" / "00001-0.jpg"));
}

TEST_CASE("render_files: a face swap takes another person of the same split, or says that there is none") {
  const TempFolder folder;
  Manifest people = write_people(folder.path(), 2, 2);
  const FileImageSource source(folder.path().string());
  RenderPlan plan;
  plan.species = {kFaceSwap};
  for (Record& r : people.records)
    if (r.subject == "person1") r.split = "test";
  expect_throw("a face swap needs photographs of a second person in split train (person0/0.png is of 'person0')",
               [&] { render_files(people, source, folder / "out", plan); });
  for (Record& r : people.records) r.subject.clear(), r.split.clear();
  CHECK(render_files(people, source, folder / "out", plan).records.size() == 4);
  for (Record& r : people.records) r.label.reset();
  expect_throw("no genuine photographs", [&] { render_files(people, source, folder / "out", plan); });
}

TEST_CASE("render_files: a face swap is laid on by landmarks where both faces have them") {
  const TempFolder folder;
  Manifest people = write_people(folder.path(), 2, 1);
  const FileImageSource source(folder.path().string());
  RenderPlan plan;
  plan.species = {kFaceSwap};
  const Manifest boxes = render_files(people, source, folder / "boxes", plan);
  people.records[0].landmarks = {{50, 55}, {95, 60}, {75, 85}, {55, 110}, {90, 115}};
  render_files(people, source, folder / "one", plan);
  people.records[1].landmarks = {{52, 55}, {97, 55}, {75, 87}, {57, 112}, {93, 112}};
  render_files(people, source, folder / "both", plan);
  for (const Record& r : boxes.records) {
    CHECK(bytes(folder / "boxes" / r.filename) == bytes(folder / "one" / r.filename));
    CHECK(bytes(folder / "boxes" / r.filename) != bytes(folder / "both" / r.filename));
  }
}

TEST_CASE("synth: a folder or a manifest in, files and a manifest out") {
  const TempFolder folder;
  const fs::path photos = folder / "photos";
  const Manifest people = write_people(photos, 2, 2);
  write_manifest(photos / "list.csv", people);
  const std::string by_folder = (folder / "f").string(), by_list = (folder / "m").string();
  CHECK(command(run_synth, {"synth", "--src", photos.string(), "--dst", by_folder, "--species", "replay,2_3_0",
                            "--per-image", "2", "--include-genuine"}) == kExitOk);
  const Manifest f = read_manifest(folder / "f" / "manifest.csv");
  CHECK(f.records.size() == 4 * 5);
  CHECK(f.records[1].subject == "person0");
  CHECK(f.records[1].label == kReplay);
  CHECK(f.records[3].label == kPixelNoise);
  CHECK(command(run_synth, {"synth", "--manifest", (photos / "list.csv").string(), "--dst", by_list, "--species",
                            "print", "--seed", "9", "--size", "64"}) == kExitOk);
  const Manifest m = read_manifest(folder / "m" / "manifest.csv");
  CHECK(m.records.size() == 4);
  CHECK(decode_image((folder / "m" / m.records[0].filename).string()).width == 64);
  const auto synth = [&](std::vector<std::string> words) {
    words.insert(words.begin(), "synth");
    return command(run_synth, words);
  };
  expect_throw("--dst is required", [&] { synth({"--src", photos.string()}); });
  expect_throw("'mask' is no species that can be simulated (print, replay, cutout, face_swap, pixel_noise", [&] {
    synth({"--src", photos.string(), "--dst", by_list, "--species", "mask"});
  });
  CHECK_THROWS_AS(synth({"--dst", by_list}), UsageError);
  expect_throw("nowhere: is no folder", [&] { synth({"--src", (folder / "nowhere").string(), "--dst", by_list}); });
  fs::create_directories(folder / "empty");
  expect_throw("no images", [&] { synth({"--src", (folder / "empty").string(), "--dst", by_list}); });
}

namespace {

// A small detector's file, with the formula's weights.
void write_small_model(const fs::path& path, double margin) {
  ModelInfo info;
  info.architecture = {.backbone = {.name = "small", .depths = {1, 1, 1, 1}, .dims = {8, 16, 16, 24}}, .projection = 8};
  info.input_size = 40, info.crop_margin = margin, info.std = {0.3f, 0.4f, 0.5f};
  Context ctx;
  PairedModel model(ctx, info.architecture);
  load_formula(model.parameters());
  save_model(path, model.parameters(), info);
}

}  // namespace

TEST_CASE("adversarial_files: what was attacked is what evaluation sees of the file, whatever the margin") {
  const TempFolder folder;
  Manifest people = write_people(folder.path(), 2, 2);
  people.records[1].label = kReplay;
  const FileImageSource source(folder.path().string());
  for (const double margin : {0.9, 1.0, 1.2, 1.37, 3.0}) {
    CAPTURE(margin);
    write_small_model(folder / "model.safetensors", margin);
    Context ctx;
    ModelInfo info;
    const auto model = load_model(ctx, folder / "model.safetensors", &info);
    const Detector detector(folder / "model.safetensors");
    const PixelAdversary adversary(*model, info, {.epsilon = 6, .steps = 4});
    for (const bool toward_attack : {true, false}) {
      std::pair<double, double> mean;
      const Manifest got = adversarial_files(people, source, folder / "out", adversary,
                                             {.toward_attack = toward_attack, .include_originals = true}, &mean);
      const std::size_t n = toward_attack ? 3 : 1;
      REQUIRE(got.records.size() == 2 * n);
      REQUIRE(got.dropped.size() == 4 - n);
      CHECK(got.dropped[0].reason == (toward_attack ? "not a genuine photograph" : "not an attack"));
      double before = 0, after = 0;
      for (std::size_t i = 0; i < 2 * n; i += 2) {
        const Record &own = got.records[i], &noisy = got.records[i + 1];
        const Record& from = people.records[std::size_t(people.find(noisy.extra[1]))];
        CHECK(own.label == from.label);
        CHECK(noisy.label == kPixelAdversarial);
        CHECK(noisy.pair_filename == (toward_attack ? own.filename : ""));
        CHECK(noisy.subject == from.subject);
        const Image a = source.load(from.filename), b = decode_image((folder / "out" / own.filename).string()),
                    c = decode_image((folder / "out" / noisy.filename).string());
        REQUIRE(c.width == 40);
        int furthest = 0;
        for (std::size_t k = 0; k < b.pixels.size(); ++k) furthest = std::max(furthest, std::abs(b.pixels[k] - c.pixels[k]));
        CHECK(furthest == 6);
        const float first = detector.detect(a, from.box).score, same = detector.detect(b, own.box).score,
                    last = detector.detect(c, noisy.box).score;
        CHECK(same == first);
        CHECK((toward_attack ? last > first : last < first));
        before += double(first), after += double(last);
      }
      CHECK(mean.first == doctest::Approx(before / double(n)).epsilon(1e-5));
      CHECK(mean.second == doctest::Approx(after / double(n)).epsilon(1e-5));
    }
  }
  people.records.erase(people.records.begin() + 1);
  Context ctx;
  ModelInfo info;
  const auto model = load_model(ctx, folder / "model.safetensors", &info);
  expect_throw("people: no attacks to add adversarial noise to", [&] {
    adversarial_files(people, source, folder / "out", {*model, info, {}}, {.toward_attack = false});
  });
}

TEST_CASE("synth: adversarial noise beside other species, the same files for the same seed") {
  const TempFolder folder;
  const fs::path photos = folder / "photos";
  write_people(photos, 2, 1);
  write_small_model(folder / "model.safetensors", 1.2);
  const auto synth = [&](const std::string& dst, std::vector<std::string> more) {
    std::vector<std::string> words{"synth", "--src", photos.string(), "--dst", (folder / dst).string()};
    words.insert(words.end(), more.begin(), more.end());
    return command(run_synth, words);
  };
  const std::string model = (folder / "model.safetensors").string();
  const std::vector<std::string> noise{"--species", "print,2_1_0", "--against", model, "--device", "cpu", "--steps", "3"};
  REQUIRE(synth("a", noise) == kExitOk);
  const Manifest a = read_manifest(folder / "a" / "manifest.csv");
  REQUIRE(a.records.size() == 4);
  CHECK(a.records[1].label == kPrint);
  CHECK(a.records[2].label == kPixelAdversarial);
  CHECK(a.records[2].subject == "person0");
  CHECK(a.records[2].extra == a.records[0].extra);
  REQUIRE(synth("b", noise) == kExitOk);
  auto other = noise;
  other.insert(other.end(), {"--seed", "2"});
  REQUIRE(synth("c", other) == kExitOk);
  auto fgsm = noise;
  fgsm[1] = "pixel_adversarial", fgsm.insert(fgsm.end(), {"--attack", "fgsm", "--epsilon", "2"});
  REQUIRE(synth("d", fgsm) == kExitOk);
  CHECK(read_manifest(folder / "d" / "manifest.csv").records.size() == 2);
  for (const Record& r : a.records) {
    CHECK(bytes(folder / "a" / r.filename) == bytes(folder / "b" / r.filename));
    CHECK(bytes(folder / "a" / r.filename) != bytes(folder / "c" / r.filename));
  }
  CHECK(bytes(folder / "a" / a.records[2].filename) != bytes(folder / "d" / a.records[2].filename));
  expect_throw("pixel_adversarial among the --species and --against MODEL go together",
               [&] { synth("e", {"--species", "print,pixel_adversarial"}); });
  expect_throw("go together", [&] { synth("e", {"--species", "print", "--against", model}); });
  expect_throw("--against", [&] { synth("e", {"--species", "print", "--epsilon", "4"}); });
  expect_throw("no attacks to add adversarial noise to", [&] {
    auto words = noise;
    words[1] = "2_1_0", words.insert(words.end(), {"--goal", "genuine"});
    synth("e", words);
  });
}

TEST_CASE("demo-data: people are split, nobody is in two splits, species are kept out") {
  // The package's shape: five people and one annotated group photograph.
  const TempFolder folder;
  const fs::path examples = folder / "package" / "usr" / "share" / "doc" / "examples";
  fs::create_directories(examples / "faces");
  for (int p = 0; p < 5; ++p)
    for (int k = 0; k < 3; ++k) {
      const fs::path dir = examples / "johns" / str("John_", char('A' + p));
      fs::create_directories(dir);
      write_jpeg((dir / str(k, ".jpg")).string(), portrait(std::uint64_t(10 * p + k)), 95);
    }
  write_jpeg((examples / "faces" / "group.jpg").string(), portrait(99, 240), 95);
  write_file_atomically(
      examples / "faces" / "training.xml",
      "<?xml version='1.0'?>\n<dataset><images>\n  <image file='group.jpg' width='240' height='240'>\n"
      "    <box top='60' left='50' width='90' height='90'/>\n    <box top='5' left='8' width='20' height='20'/>\n"
      "    <box top='80' left='150' width='70' height='71'/>\n  </image>\n</images></dataset>");
  write_file_atomically(examples / "faces" / "testing.xml", "<dataset/>");
  const auto demo = [&](const std::string& out, std::vector<std::string> more = {}) {
    std::vector<std::string> words{"demo-data", "--photos", (folder / "package").string(), "--out",
                                   (folder / out).string()};
    words.insert(words.end(), more.begin(), more.end());
    return command(run_demo_data, words);
  };
  const auto subjects = [](const Manifest& m) {
    std::set<std::string> s;
    for (const Record& r : m.records) s.insert(r.subject);
    return s;
  };
  REQUIRE(demo("a") == kExitOk);
  const Manifest train = read_manifest(folder / "a" / "train.csv"), test = read_manifest(folder / "a" / "test.csv");
  CHECK(train.counts().at("train") == std::map<std::string, std::int64_t>{{"genuine", 3 * 3 + 2}});
  CHECK(test.counts().at("test") ==
        std::map<std::string, std::int64_t>{
            {"genuine", 6}, {"print", 12}, {"replay", 12}, {"cutout", 12}, {"face_swap", 12}});
  CHECK(subjects(test).size() == 2);
  for (const std::string& s : subjects(test)) CHECK(subjects(train).count(s) == 0);
  for (const Manifest* m : {&train, &test})
    for (const Record& r : m->records) {
      CAPTURE(r.filename);
      const Image image = decode_image((folder / "a" / r.filename).string());
      REQUIRE(r.box.valid());
      CHECK(r.box.x2 <= float(image.width));
      CHECK(r.box.y2 <= float(image.height));
    }
  const auto group = train.find("photos/group/group-3.png");
  REQUIRE(group >= 0);
  CHECK(train.records[std::size_t(group)].box.x1 == 35);   // half a box of room at the left
  CHECK(train.records[std::size_t(group)].box.x2 == 105);  // and the frame's end at the right

  REQUIRE(demo("b", {"--control", "reencode", "--attacks", "1", "--group-faces", "val", "--test-names", "John_B"}) ==
          kExitOk);
  const Manifest control = read_manifest(folder / "b" / "test.csv"), val = read_manifest(folder / "b" / "val.csv");
  CHECK(control.counts().at("test") == std::map<std::string, std::int64_t>{{"genuine", 3}, {"recoded", 3}});
  CHECK(subjects(control) == std::set<std::string>{"John_B"});
  CHECK(subjects(val) == std::set<std::string>{"group-1", "group-3"});
  CHECK(read_manifest(folder / "b" / "train.csv").records.size() == 12);

  REQUIRE(demo("c", {"--species", "print", "--held-out", "none", "--group-faces", "none"}) == kExitOk);
  CHECK(read_manifest(folder / "c" / "test.csv").counts().at("test") ==
        std::map<std::string, std::int64_t>{{"genuine", 6}, {"print", 12}});
  expect_throw("species print is in --species and in --held-out", [&] { demo("d", {"--held-out", "print"}); });
  expect_throw("no folder 'John_X'", [&] { demo("d", {"--test-names", "John_X"}); });
  expect_throw("nobody is left", [&] { demo("d", {"--test-names", "John_A,John_B,John_C,John_D,John_E"}); });
  expect_throw("no folder 'johns'", [&] {
    command(run_demo_data, {"demo-data", "--photos", (folder / "a").string(), "--out", (folder / "d").string()});
  });
}

TEST_CASE("contact sheet: a grid with the verdict's colour around each face") {
  std::vector<SheetTile> tiles;
  for (int i = 0; i < 5; ++i)
    tiles.push_back({portrait(std::uint64_t(i), i == 4 ? 300 : 60), "print", 0.25 * i, i % 2 == 1, i >= 2});
  SheetOptions options;
  options.columns = 3;
  const Image plain = contact_sheet(tiles, options);
  CHECK(plain.width == 4 + 3 * 122);
  CHECK(plain.height == 4 + 2 * 148);
  const auto colour = [&](int column, int row) { return plain.at(4 + row * 148 + 1, 4 + column * 122 + 60); };
  for (int i = 0; i < 5; ++i) {
    const auto* frame = colour(i % 3, i / 3);
    CHECK((frame[0] > frame[1]) == (i >= 2));  // red: called an attack
  }
  // The picture is inside its frame.
  const auto* skin = plain.at(4 + 59, 4 + 59);
  CHECK(int(skin[0]) > int(skin[2]));
  options.title = "AUC";
  CHECK(contact_sheet(tiles, options).height == plain.height + 24);
  expect_throw("without tiles", [] { contact_sheet({}); });
  tiles[1].image = Image();
  expect_throw("tile 1 (print) has no pixels", [&] { contact_sheet(tiles); });
}
