// tests/e2e/test_walk.cpp — the whole way from photographs to scores, as docs/data.md walks it: crop, embed, match, join, train,
// eval with the options of the published scripts, on drawn faces in the layout of UniAttackData. Every photograph is accounted for
// at every step. Then check and pack: training from the packed file ends with the same weights.
#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "data/csv.h"
#include "data/faces/face_detector.h"
#include "data/images/encode.h"
#include "data/manifest.h"
#include "data/npy.h"
#include "data/protocol.h"
#include "engine/philox.h"
#include "engine/safetensors.h"
#include "tests/e2e/program.h"
#include "tests/images/portrait.h"
#include "tests/support/formula_faces.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

using Words = std::vector<std::string>;

// The photograph of a person as an attack leaves it: paler, with a grain of its own.
Image attacked(Image image, std::uint64_t seed) {
  Random r(seed, "attack");
  const float contrast = r.uniform(0.94f, 0.98f);
  for (std::uint8_t& p : image.pixels)
    p = std::uint8_t(std::clamp(128 + contrast * (float(p) - 128) + r.uniform(-3, 3), 0.0f, 255.0f));
  return image;
}

Image flat() {
  Image image(120, 120);
  std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t(127));
  return image;
}

std::vector<std::pair<std::string, std::string>> rejects(const fs::path& file) {
  CsvReader csv(file);
  std::vector<std::pair<std::string, std::string>> all;
  while (csv.next()) all.emplace_back(csv.row()[0], csv.row()[1]);
  return all;
}

std::int64_t rows(const fs::path& csv) {
  CsvReader r(csv);
  std::int64_t n = 0;
  while (r.next()) ++n;
  return n;
}

std::vector<float> final_weights(const fs::path& run) {
  const SafetensorsFile f(run / "checkpoints/last/model.safetensors");
  std::vector<float> all;
  for (const auto& a : f.arrays())
    for (const float v : f.read<float>(a.name)) all.push_back(v);
  return all;
}

// A data set as the challenge hands it out: three folders of numbered files and a protocol for each. Attacks come before genuine
// photographs, as in the published training list.
struct DataSet {
  static constexpr int kPeople = 4;  // genuine photographs in training
  TempFolder dir;
  fs::path root = dir / "data", out = dir / "out", weights = dir / "inception.safetensors";
  std::map<std::string, std::uint64_t> person;  // of a photograph with a face
  std::vector<std::uint64_t> people;

  DataSet() {
    write_formula_inception(weights);
    const auto haar = make_face_detector("haar");
    for (std::uint64_t k = 1; people.size() < std::size_t(kPeople) + 4; ++k) {  // people whose every picture below has one face
      const Image face = portrait(k);
      const auto found = [&](const Image& i) { return haar->detect(i).size() == 1; };
      if (found(face) && found(attacked(face, 2 * k)) && found(attacked(face, 2 * k + 1))) people.push_back(k);
    }
    const std::span<const std::uint64_t> train = std::span(people).first(kPeople), val = std::span(people).subspan(kPeople + 1, 2);
    const std::uint64_t stranger = people[kPeople], tested = people.back();
    Split t(*this, "train");
    t.add(flat(), "1_0_0");  // 0: no face; the only print
    for (const std::uint64_t k : train) {
      t.add(attacked(portrait(k), 2 * k), "2_1_0", k);
      t.add(attacked(portrait(k), 2 * k + 1), "2_0_1", k);
    }
    t.add(attacked(portrait(stranger), 2 * stranger), "2_1_0", stranger);  // 9: nobody's photograph is its partner
    t.add({}, "2_1_0");                                                     // 10: a damaged file
    for (const std::uint64_t k : train) t.add(portrait(k), "0_0_0", k);
    t.add(flat(), "0_0_0");  // 15: no face
    Split v(*this, "val");
    for (const std::uint64_t k : val) v.add(portrait(k), "0_0_0", k), v.add(attacked(portrait(k), 2 * k), "2_1_0", k);
    v.add(flat(), "1_0_1");
    Split s(*this, "test");
    s.add(portrait(tested), "", tested), s.add(attacked(portrait(tested), 2 * tested), "", tested), s.add(flat(), "");
    s.lines += "Data-test/00001.png\n";  // listed twice: answered twice
    for (const Split* split : {&t, &v, &s}) write_file_atomically(root / ("Protocol-" + split->name + ".txt"), split->lines);
  }

  std::string at(const std::string& name) const { return (out / name).string(); }
  std::string in(const std::string& name) const { return (root / name).string(); }

 private:
  struct Split {
    DataSet& data;
    std::string name, lines;
    int n = 0;
    Split(DataSet& d, std::string split) : data(d), name(std::move(split)) { fs::create_directories(d.root / ("Data-" + name)); }
    void add(const Image& image, const std::string& label, std::uint64_t who = 0) {
      char number[16];
      std::snprintf(number, sizeof number, "%05d.png", n++);
      const std::string file = str("Data-", name, "/", number);
      if (image.empty())
        write_file_atomically(data.root / file, "\x89PNG, cut short");
      else
        write_png((data.root / file).string(), image);
      if (who) data.person[file] = who;
      lines += file + (label.empty() ? "" : " " + label) + "\n";
    }
  };
};

// The published way up to lists with boxes.
void crop_all(const DataSet& d) {
  for (const auto& [split, counts] : {std::pair{"train", "16 inputs: 13 outputs, 3 rejected\n"},
                                     {"val", "5 inputs: 4 outputs, 1 rejected\n"},
                                     {"test", "3 inputs: 2 outputs, 1 rejected\n"}})
    expect(bonafide_program({"crop", "--src", d.in(str("Data-", split)), "--dst", d.at(str("crop-", split)), "--out-size", "64", "--device", "cpu",
                             "--ext", "jpg", "jpeg", "png", "bmp", "--csv-name", "boxes.csv"}),
           0, counts);
}

void embed_train(const DataSet& d) {
  expect(bonafide_program({"embed", "--src", d.in("Data-train"), "--dst", d.at("emb"), "--batch-size", "8", "--device", "cpu", "--ext", "jpg",
                           "jpeg", "png", "bmp", "tif", "--npy", "--detector", "haar", "--embedder", "inception:" + d.weights.string()}),
         0, "16 inputs: 13 outputs, 3 rejected\n");
}

Words match_words(const DataSet& d, const std::string& threshold, Words more = {}) {
  Words words{"match", "--data-dir", d.root.string(), "--embeddings-dir", d.at("emb"), "--clean-df-path", d.in("Protocol-train.txt"), "--sim-thr",
              threshold, "--output-csv", d.at("train_matched.csv"), "--progress-desc", "pairs"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

Words join_words(const DataSet& d) {
  return {"join", "--train-df", d.at("train_matched.csv"), "--val-df", d.in("Protocol-val.txt"), "--test-df", d.in("Protocol-test.txt"),
          "--train-bboxes", d.at("crop-train/boxes.csv"), "--val-bboxes", d.at("crop-val/boxes.csv"), "--test-bboxes", d.at("crop-test/boxes.csv"),
          "--output-train-csv", d.at("train_bbox.csv"), "--output-val-csv", d.at("val_bbox.csv"), "--output-test-csv", d.at("test_bbox.csv")};
}

// A configuration with the published keys, of a network small enough for seconds.
std::string config(const DataSet& d) {
  const fs::path file = d.out / "config.json";
  write_file_atomically(file, R"({
    "model_input_size": 32,
    "model": {"model_name": "convnextv2_atto", "pretrained": false, "depths": [1, 1, 1, 1], "dims": [8, 12, 16, 24]},
    "cutmix_prob": 0.3,
    "dataset": {"epoch_fraction": 1.0, "val_seed": 42},
    "train_dataloader": {"batch_size": 4, "num_workers": 1, "drop_last": true},
    "val_dataloader": {"batch_size": 4, "num_workers": 1},
    "trainer": {"epochs": 3},
    "loss": {"type": "binary_focal", "alpha": 0.528, "gamma": 0.73, "contrastive": true, "supcon_proj_dim": 16},
    "optimizer": {"type": "AdamW", "weight_decay": 1.1e-5}
  })");
  return file.string();
}

Result train(const DataSet& d, const std::string& name, Words paths) {
  Words words{"train", "--config", config(d), "--name", name, "trainer.weights_save_folder=" + d.at("runs")};
  words.insert(words.end(), paths.begin(), paths.end());
  return bonafide_program(words);
}

Result train_from_files(const DataSet& d) {
  return train(d, "files", {"paths.root_dir=" + d.root.string(), "paths.train_csv=" + d.at("train_bbox.csv"),
                            "paths.val_protocol=" + d.in("Protocol-val.txt"), "paths.val_bbox_csv=" + d.at("val_bbox.csv")});
}

// One line a line of the protocol, in its order, each with a probability.
void check_submission(const fs::path& submission, const fs::path& protocol) {
  const std::string text = read_file(submission) + "\n";  // as published, the last line has none
  const Protocol p = read_protocol(protocol);
  std::size_t from = 0;
  for (const ProtocolEntry& e : p.entries) {
    const std::size_t end = text.find('\n', from);
    REQUIRE(end != text.npos);
    const std::string line = text.substr(from, end - from);
    CHECK(line.starts_with(e.path + " "));
    const double score = std::stod(line.substr(e.path.size()));
    CHECK((score > 0 && score < 1));
    from = end + 1;
  }
  CHECK(from == text.size());
}

// A data set with lists, made once by the commands themselves.
struct Prepared : DataSet {
  Result matched, joined;
  double threshold = 0;  // between the stranger and everybody who has a partner
  Prepared() {
    crop_all(*this);
    embed_train(*this);
    // What the published script computes, from the files that it would read.
    std::map<std::string, std::vector<float>> vectors;
    for (const auto& [file, who] : person)
      if (file.starts_with("Data-train/")) vectors[file] = read_npy(fs::path(at("emb")) / fs::path(file).filename().replace_extension(".npy")).values;
    double least = 1, strange = -1;
    for (const ProtocolEntry& e : read_protocol(in("Protocol-train.txt")).entries) {
      if (e.label->genuine() || !vectors.contains(e.path)) continue;
      double best = -1;
      std::string partner;
      for (const ProtocolEntry& g : read_protocol(in("Protocol-train.txt")).entries) {
        if (!g.label->genuine() || !vectors.contains(g.path)) continue;
        const auto &a = vectors[e.path], &b = vectors[g.path];
        const double s = std::inner_product(a.begin(), a.end(), b.begin(), 0.0, std::plus<>(), [](double x, double y) { return x * y; });
        if (s > best) best = s, partner = g.path;
      }
      if (person.at(e.path) == people[kPeople]) {
        strange = best;
      } else {
        least = std::min(least, best);
        nearest[e.path] = {partner, best};
      }
    }
    CHECK(strange < least);
    threshold = (strange + least) / 2;
    const std::string text = str(threshold);
    lost = bonafide_program(match_words(*this, text));
    matched = bonafide_program(match_words(*this, text, {"--allow-lost-species"}));
    joined = bonafide_program(join_words(*this));
  }
  Result lost;
  std::map<std::string, std::pair<std::string, double>> nearest;
  static const Prepared& get() {
    static const Prepared p;
    return p;
  }
};

}  // namespace

TEST_CASE("walk: from photographs to a submission with the options of the published scripts; every photograph is accounted for") {
  const Prepared& d = Prepared::get();
  // crop: a row for each photograph that could be read, a reason for each that is no output.
  CHECK(rows(d.at("crop-train/boxes.csv")) == 15);
  CHECK(rows(d.at("crop-train/manifest.csv")) == 16);
  auto why = rejects(d.at("crop-train/rejects.csv"));
  REQUIRE(why.size() == 3);
  CHECK(why[0] == std::pair<std::string, std::string>{"00000.png", "no face found"});
  CHECK(why[1].first == "00010.png");
  CHECK(why[2] == std::pair<std::string, std::string>{"00015.png", "no face found"});
  CHECK(fs::exists(d.at("crop-train/00001.jpg")));
  CHECK_FALSE(fs::exists(d.at("crop-train/00000.jpg")));
  // embed: rejects the same photographs.
  auto no_vector = rejects(d.at("emb/rejects.csv"));
  REQUIRE(no_vector.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(no_vector[i].first == why[i].first);

  // match: print is lost, which is said and stops; then everything in the protocol is a genuine face, a pair or a reject.
  expect(d.lost, 3, "no sample of print is left. No list was written");
  expect(d.matched, 0, "16 records = 4 genuine + 8 pairs + 0 class pairs + 4 rejected");
  std::map<std::string, std::string> left_out;
  for (const auto& [file, reason] : rejects(d.at("train_matched_report/rejects.csv"))) left_out[file] = reason;
  REQUIRE(left_out.size() == 4);
  for (const char* file : {"Data-train/00000.png", "Data-train/00010.png", "Data-train/00015.png"})
    CHECK(left_out.at(file) == "match: no embedding (no .npy of this name)");
  CHECK(left_out.at("Data-train/00009.png").starts_with("match: the nearest genuine face is below the threshold"));
  const Manifest pairs = read_published_csv(d.at("train_matched.csv"));
  REQUIRE(pairs.records.size() == 12);
  std::set<std::string> attacks;
  for (const Record& r : pairs.records) {
    CAPTURE(r.filename);
    if (r.genuine()) continue;
    attacks.insert(r.filename);
    CHECK(d.person.at(r.filename) == d.person.at(r.pair_filename));  // the photograph that it was made from
    CHECK(r.pair_filename == d.nearest.at(r.filename).first);
    CHECK(r.pair_similarity == doctest::Approx(d.nearest.at(r.filename).second).epsilon(1e-6));
  }
  CHECK(attacks.size() == 8);

  // join: every row of every list has its box, or a reason.
  expect(d.joined, 0, "12 rows = 12 with a box + 0 without a face + 0 not in the box file");
  expect(d.joined, 0, "5 rows = 4 with a box + 1 without a face + 0 not in the box file");
  expect(d.joined, 0, "4 rows = 3 with a box + 1 without a face + 0 not in the box file");
  const BoxTable found = read_box_csv(d.at("crop-train/boxes.csv"));
  for (const Record& r : read_published_csv(d.at("train_bbox.csv")).records) {
    const Box a = r.box, b = found.boxes.at(r.filename.substr(std::string("Data-train/").size())).box;
    CHECK(a.valid());
    CHECK((a.x1 == b.x1 && a.y1 == b.y1 && a.x2 == b.x2 && a.y2 == b.y2));
  }
  std::set<std::string> unused;
  for (const auto& [file, reason] : rejects(d.at("rejects.csv")))
    if (reason == "a box without a row in the list") unused.insert(file);
  CHECK(unused == std::set<std::string>{"Data-train/00000.png", "Data-train/00009.png", "Data-train/00015.png"});

  // train, eval.
  const Result run = train_from_files(d);
  expect(run, 0, "records: 12 (4 genuine, 4 face_swap, 4 pixel_adversarial)");
  expect(run, 0, "records: 5 (2 genuine, 2 pixel_adversarial, 1 replay)");
  expect(run, 0, "full frame: 1 (no face found (a corner of the box is negative))");
  for (const float w : final_weights(d.at("runs/files"))) REQUIRE(std::isfinite(w));
  expect(bonafide_program({"eval", "--checkpoint", d.at("runs/files"), "--protocol", d.in("Protocol-test.txt"), "--bbox-csv", d.at("test_bbox.csv"),
                           "--root-dir", d.root.string(), "--output", d.at("submission.txt")}),
         0, "(4 entries)");
  check_submission(d.at("submission.txt"), d.in("Protocol-test.txt"));
}

TEST_CASE("walk: check finds nothing wrong, and training from the packed file ends with the weights of training from files") {
  const Prepared& d = Prepared::get();
  // Drawn faces are one drawing in other colours: nearly the same to a hash of shapes.
  const Words check{"check", "--manifest", d.at("train_bbox.csv"), "--manifest", d.at("val_bbox.csv"), "--root", d.root.string(), "--json",
                    d.at("data.json"), "--severity", "near-duplicates=note"};
  expect(bonafide_program(check), 0, "report");
  // The same photograph in training and validation is found.
  const TempFolder copy;
  fs::copy(d.root, copy / "data", fs::copy_options::recursive);
  fs::copy_file(copy / "data/Data-train/00011.png", copy / "data/Data-val/00000.png", fs::copy_options::overwrite_existing);
  Words wrong = check;
  *std::find(wrong.begin(), wrong.end(), d.root.string()) = (copy / "data").string();
  *std::find(wrong.begin(), wrong.end(), d.at("data.json")) = (copy / "data.json").string();
  expect(bonafide_program(wrong), 3, "duplicates");

  expect(bonafide_program({"pack", "--manifest", d.at("train_bbox.csv"), "--manifest", d.at("val_bbox.csv"), "--root", d.root.string(), "--dst",
                           d.at("packed")}),
         0, "17 inputs: 17 outputs, 0 rejected\n");
  if (!fs::exists(d.at("runs/files"))) expect(train_from_files(d), 0, "run ");  // where this case runs alone
  expect(train(d, "packed", {"paths.root_dir=" + d.at("packed/images.pack"), "paths.train_manifest=" + d.at("packed/train_bbox.csv"),
                             "paths.val_manifest=" + d.at("packed/val_bbox.csv")}),
         0, "records: 12 (4 genuine, 4 face_swap, 4 pixel_adversarial)");
  CHECK(final_weights(d.at("runs/packed")) == final_weights(d.at("runs/files")));
  for (const auto& [run, root] : {std::pair{"files", d.root.string()}, {"packed", d.at("packed/images.pack")}}) {
    expect(bonafide_program({"eval", "--checkpoint", d.at(str("runs/", run)), "--protocol", d.in("Protocol-val.txt"), "--bbox-csv", d.at("val_bbox.csv"),
                             "--root-dir", root, "--output", d.at(str(run, "/submission.txt"))}),
           0, "(5 entries)");
    check_submission(d.at(str(run, "/submission.txt")), d.in("Protocol-val.txt"));
  }
  CHECK(read_file(d.at("files/submission.txt")) == read_file(d.at("packed/submission.txt")));
}
