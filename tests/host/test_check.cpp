// tests/host/test_check.cpp — every check finds what was planted, names its rows, and finds nothing where nothing is.
#include "data/check.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "data/nearest.h"
#include "engine/philox.h"
#include "tests/support/lists.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Two lists without a fault: pairs of 12 people, two attacks each, people apart.
struct Clean {
  std::vector<CheckedList> lists;
  std::vector<CheckedImage> images;
  Clean() {
    for (const char* name : {"train", "val"}) {
      ListBuilder b;
      for (int i = 0; i < 12; ++i) {
        const std::string person = str(name, i);
        b.add(str(person, "/g.jpg"), Label{}, {}, person);
        b.add(str(person, "/print, \"", i, "\".jpg"), kPrint, str(person, "/g.jpg"), person);
        b.add(str(person, "/replay.jpg"), kReplay, str(person, "/g.jpg"), person);
      }
      b.manifest.origin = str(name, ".csv");
      for (Record& r : b.manifest.records) r.box = {10, 10, 60, 70};
      lists.push_back({std::move(b.manifest), name});
    }
    refresh();
  }
  Record& at(std::size_t list, std::size_t record) { return lists[list].manifest.records[record]; }
  void refresh() {
    images = images_of(lists);
    Random r(1, "facts");
    for (CheckedImage& i : images) i.facts = {80, 70, 1, std::uint64_t(r.u32()) << 32 | r.u32(), std::uint64_t(r.u32()) << 32 | r.u32()};
  }
  CheckReport check(const CheckSettings& settings = {}, bool decoded = true) const { return bonafide::check(lists, images, decoded, nullptr, nullptr, settings); }
};

// The findings of one check, and that there are no others.
std::vector<Finding> only(const CheckReport& r, const std::string& check) {
  std::vector<Finding> found;
  for (const Finding& f : r.findings) {
    CAPTURE(str(f.check, ": ", f.what, f.rows.empty() ? "" : " " + f.rows[0]));
    CHECK(f.check == check);
    if (f.check == check) found.push_back(f);
  }
  REQUIRE(!found.empty());
  return found;
}

void expect(const Finding& f, Severity severity, std::int64_t count, const std::string& what, const std::string& row) {
  CAPTURE(f.what);
  CHECK(f.severity == severity);
  CHECK(f.count == count);
  CHECK(f.what.find(what) != std::string::npos);
  if (row.empty()) return;
  REQUIRE(!f.rows.empty());
  CAPTURE(f.rows[0]);
  CHECK(f.rows[0].starts_with(row));
}

}  // namespace

TEST_CASE("check: a clean data set has no findings, and is counted") {
  const CheckReport r = Clean().check();
  CHECK(r.findings.empty());
  CHECK(r.rows == 72);
  CHECK(r.images == 72);
  CHECK(r.counts.at("train").at("print").images == 12);
  CHECK(r.counts.at("train").at("print").pairs == 12);
  CHECK(r.counts.at("val").at("genuine").pairs == 0);
  CHECK(to_text(r, 5).find("0 errors, 0 warnings, 0 notes") != std::string::npos);
}

TEST_CASE("check: labels, counts, faces") {
  {
    Clean c;
    c.at(0, 1).label.reset(), c.at(0, 1).pair_filename.clear();
    expect(only(c.check(), "labels").at(0), Severity::warning, 1, "rows have no label", "train.csv:3: train0/print, \"0\".jpg");
  }
  {
    Clean c;
    c.lists.push_back({c.lists[0].manifest, "more"});  // the same list once more, with another label
    c.lists[2].manifest.origin = "more.csv";
    for (Record& r : c.lists[2].manifest.records) r.split = "train";
    c.at(2, 1).label = kReplay;
    c.refresh();
    CHECK(c.images.size() == 72);
    expect(only(c.check(), "labels").at(0), Severity::error, 1, "two labels", "more.csv:3: train0/print, \"0\".jpg: is 1_0_1, and 1_0_0 in train.csv:3");
  }
  {
    Clean c;
    for (std::size_t i = 0; i < 36; i += 3) c.at(0, i + 1).label = i < 30 ? kReplay : kPrint;
    expect(only(c.check(), "counts").at(0), Severity::warning, 2, "split train has 2 print, fewer than 10", "");
    CHECK(c.check({.min_images = 2}).findings.empty());
  }
  {
    Clean c;
    std::erase_if(c.lists[1].manifest.records, [](const Record& r) { return r.genuine(); });
    for (Record& r : c.lists[1].manifest.records) r.pair_filename.clear();
    c.refresh();
    expect(only(c.check(), "counts").at(0), Severity::error, 24, "split val has 24 attacks and no genuine", "");
  }
  {
    Clean c;
    std::erase_if(c.lists[0].manifest.records, [](const Record& r) { return r.attack(); });
    c.refresh();
    expect(only(c.check(), "counts").at(0), Severity::warning, 12, "12 genuine photographs and no attack", "");
  }
  {
    Clean c;
    c.at(1, 4).box = {};
    const CheckReport r = c.check();
    expect(only(r, "no-face").at(0), Severity::warning, 1, "1 of 12 print in val (8.3 %) have no face box, more than 5 %", "val.csv:6: val1/print");
    CHECK(r.counts.at("val").at("print").no_face == 1);
    CHECK(c.check({.max_no_face = 0.09}).findings.empty());
  }
  {
    Clean c;
    c.at(0, 0).reject_reason = "blurred";
    c.at(0, 1).pair_filename.clear(), c.at(0, 2).pair_filename.clear();
    c.lists[1].manifest.dropped.push_back({"x.jpg", "listed before", 99});
    c.refresh();
    const CheckReport r = c.check();
    const Finding f = only(r, "rejected").at(0);
    expect(f, Severity::note, 2, "for the books", "train.csv:2: train0/g.jpg: blurred");
    CHECK(f.rows.at(1) == "val.csv:99: x.jpg: listed before");
    CHECK(r.rejected == 2);
    CHECK(r.counts.at("train").at("genuine").images == 11);
    CHECK(r.images == 71);
  }
}

TEST_CASE("check: pairs and lost species") {
  Clean c;
  c.at(0, 1).pair_filename = "gone.jpg";
  c.at(0, 4).pair_filename = c.at(0, 5).filename;
  c.at(0, 7).split = "val", c.at(0, 7).subject.clear();
  const auto f = only(c.check(), "pairs");
  REQUIRE(f.size() == 3);
  expect(f[0], Severity::error, 1, "is missing", "train.csv:3: train0/print, \"0\".jpg: its partner gone.jpg is not in the list");
  expect(f[1], Severity::error, 1, "is not genuine", "train.csv:6: train1/print, \"1\".jpg: its partner train1/replay.jpg is replay");
  expect(f[2], Severity::error, 1, "different splits", "train.csv:9: train2/print, \"2\".jpg: its partner train2/g.jpg is in split train");
  {
    Clean lost;
    for (Record& r : lost.lists[0].manifest.records)
      if (r.label == kReplay) r.pair_filename.clear();
    expect(only(lost.check(), "lost-species").at(0), Severity::error, 12, "none of the 12 replay in train has a partner", "");
    for (Record& r : lost.lists[0].manifest.records) r.pair_filename.clear();
    CHECK(lost.check().findings.empty());  // no list of pairs
  }
}

TEST_CASE("check: people, photographs and pictures in two splits") {
  {
    Clean c;
    c.at(1, 3).subject = "train5";
    const Finding f = only(c.check(), "subjects").at(0);
    expect(f, Severity::error, 1, "in more than one split", "subject train5: 3 in train (train.csv:17: train5/g.jpg), 1 in val (val.csv:5: val1/g.jpg)");
  }
  {
    Clean c;
    c.at(1, 3).filename = c.at(0, 3).filename;
    c.at(1, 3).subject.clear();
    for (Record& r : c.lists[1].manifest.records)
      if (r.pair_filename == "val1/g.jpg") r.pair_filename = c.at(0, 3).filename;
    c.refresh();
    expect(only(c.check(), "splits").at(0), Severity::error, 1, "in two splits", "val.csv:5: train1/g.jpg: split val, and train in train.csv:5");
  }
  {
    Clean c;
    c.images[40].facts.digest = c.images[4].facts.digest;  // both print: val.csv:6 and train.csv:6
    c.images[8].facts.digest = c.images[2].facts.digest;
    const auto f = only(c.check(), "duplicates");
    REQUIRE(f.size() == 2);
    expect(f[0], Severity::error, 1, "the same picture is in two splits", "val.csv:6: val1/print, \"1\".jpg: split val, and train as train.csv:6");
    expect(f[1], Severity::note, 1, "twice in a split", "train.csv:10: train2/replay.jpg: the same as train.csv:4: train0/replay.jpg");
    CHECK(only(c.check({}, false), "duplicates").size() == 2);
  }
  {
    Clean c;
    c.images[3].facts.digest = c.images[2].facts.digest;
    const auto f = only(c.check(), "duplicates");
    expect(f[0], Severity::error, 1, "two labels", "train.csv:5: train1/g.jpg: genuine, and replay as train.csv:4");
  }
  {
    Clean c;
    c.images[40].facts.hash = *c.images[4].facts.hash ^ 0x8000000000010001u;
    c.images[41].facts.hash = *c.images[4].facts.hash ^ 0x8000100000110101u;
    c.images[50].facts.hash.reset();
    const Finding f = only(c.check(), "near-duplicates").at(0);
    expect(f, Severity::error, 2, "at most 4 bits apart", "train.csv:6: train1/print, \"1\".jpg: split train, 3 of 64 bits from val.csv:6: val1/print");
    CHECK(f.rows.at(1).starts_with("val.csv:6: "));
    CHECK(c.check({}, false).findings.empty());             // not decoded: no hashes
    CHECK(c.check({.hash_distance = 2}).findings.empty());
    CHECK(only(c.check({.hash_distance = 6}), "near-duplicates").at(0).count == 3);
    CHECK(only(c.check({.severity = {{"near-duplicates", Severity::note}}}), "near-duplicates").at(0).severity == Severity::note);
  }
}

TEST_CASE("check: what is wrong with photographs and boxes, each with its row") {
  Clean c;
  c.images[0].problem = "missing", c.images[0].missing = true;
  c.images[7].problem = "damaged JPEG: x";
  c.images[36].facts.orientation = 6;
  c.at(0, 10).box = {65, 5, 90, 60};    // 70 wide: 5 of 25 are inside
  c.at(0, 11).box = {70, 5, 90, 60};
  c.at(0, 12).box = {50, 10, 74, 60};   // 20 of 24
  const CheckReport r = c.check();
  std::map<std::string, std::vector<Finding>> by;
  for (const Finding& f : r.findings) by[f.check].push_back(f);
  CHECK(by.size() == 4);
  expect(by["paths"].at(0), Severity::error, 1, "not there", "train.csv:2: train0/g.jpg: missing");
  expect(by["decode"].at(0), Severity::error, 1, "cannot be read", "train.csv:9: train2/print, \"2\".jpg: damaged JPEG: x");
  expect(by["exif"].at(0), Severity::note, 1, "upright", "val.csv:2: val0/g.jpg: EXIF orientation 6");
  expect(by["boxes"].at(0), Severity::error, 1, "wholly outside", "train.csv:13: train3/replay.jpg: 70,5,90,60 in 70 x 80");
  expect(by["boxes"].at(1), Severity::warning, 1, "more than 25 %", "train.csv:12: train3/print, \"3\".jpg: 65,5,90,60 in 70 x 80");
  CHECK(r.unreadable == 2);
  CHECK(r.findings.front().severity == Severity::error);
  CHECK(r.findings.back().severity == Severity::note);
}

TEST_CASE("check: results go through the journal as they are") {
  struct Probe final : ImageProbe {
    bool there(const std::string& f) const override { return f != "train0/replay.jpg"; }
    ImageFacts probe(const std::string& f, const Box& face, bool decode) const override {
      CHECK(face.x2 == 60);
      if (f == "train1/g.jpg") throw Error("/data/train1/g.jpg: is empty (0 bytes)");
      ImageFacts facts{81, 72, 6, ~std::uint64_t(0), {}};
      if (decode) facts.hash = ~std::uint64_t(0) - 1;
      return facts;
    }
  };
  Clean c;
  for (const bool decode : {true, false}) {
    CheckedImage i{"x", 0, 0, {}, {}, false};
    set_result(i, probe_result(Probe(), c.lists, c.images[0], decode));
    CHECK(i.facts.height == 81);
    CHECK(i.facts.width == 72);
    CHECK(i.facts.orientation == 6);
    CHECK(i.facts.digest == ~std::uint64_t(0));
    CHECK(i.facts.hash.has_value() == decode);
    if (decode) CHECK(*i.facts.hash == ~std::uint64_t(0) - 1);
  }
  expect_throw("missing", [&] { probe_result(Probe(), c.lists, c.images[2], true); });
  expect_throw("is empty (0 bytes)", [&] { probe_result(Probe(), c.lists, c.images[3], true); });
  CheckedImage bad;
  expect_throw("a result of check", [&] { set_result(bad, "1 2 x"); });
}

TEST_CASE("check: embeddings: NaN, none, of another photograph; people and pictures across splits; labels that do not fit") {
  // Genuine, print and replay faces lie around three directions of their own, each person's a little apart.
  Clean c;
  const TempFolder folder;
  constexpr std::int64_t d = 24;
  Random random(4, "vectors");
  std::map<std::string, std::vector<float>> v;
  for (CheckedList& l : c.lists)
    for (Record& r : l.manifest.records) {
      std::vector<float> x(d);
      for (float& e : x) e = random.uniform(-0.25f, 0.25f);
      x[r.genuine() ? 0 : r.label == kPrint ? 1 : 2] += 0.9f;
      v[r.filename] = x;
    }
  v["val3/g.jpg"] = v["train7/g.jpg"];                               // nearly the same picture
  v["val4/g.jpg"] = v["train8/g.jpg"], v["val4/g.jpg"][9] += 0.35f;  // probably the same person
  v["train2/replay.jpg"] = v["train9/print, \"9\".jpg"], v["train2/replay.jpg"][5] += 0.4f;  // a print called replay
  const auto write = [&] {
    EmbeddingsWriter w(folder / "e", {"toy", "", d, {}});
    for (const auto& [name, x] : v) w.append({name, ""}, x);
    w.commit();
  };
  Context ctx;
  const auto findings = [&](const CheckSettings& s = {}) {
    const EmbeddingsFile file(folder / "e");
    std::map<std::string, std::vector<Finding>> by;
    for (const Finding& f : check(c.lists, c.images, true, &file, &ctx, s).findings) by[f.check].push_back(f);
    return by;
  };
  write();
  {
    auto by = findings({.same_person = 0.9});
    CHECK(by.size() == 3);
    expect(by["near-duplicates"].at(0), Severity::error, 2, "at least 0.98", "train.csv:23: train7/g.jpg: split train, similarity 1.000 to val.csv:11: val3/g.jpg in val");
    expect(by["people"].at(0), Severity::warning, 2, "the same person", "train.csv:26: train8/g.jpg");
    expect(by["label-errors"].at(0), Severity::warning, 1, "the 5 nearest", "train.csv:10: train2/replay.jpg: replay, similarity ");
    CHECK(findings({.same_person = 0.9, .label_margin = 1.5})["label-errors"].empty());
    {  // the mean of the five nearest others of its species, itself not among them
      const EmbeddingsFile file(folder / "e");
      const auto unit = [&](const std::string& name) {
        std::vector<float> x(d);
        file.read(file.find(name), x);
        return x;
      };
      std::vector<double> near;
      for (const CheckedList& l : c.lists)
        for (const Record& r : l.manifest.records)
          if (r.label == kReplay && r.filename != "train2/replay.jpg") near.push_back(cosine(unit(r.filename), unit("train2/replay.jpg")));
      std::sort(near.begin(), near.end(), std::greater<>());
      char text[32];
      std::snprintf(text, sizeof text, "similarity %.3f to its own", (near[0] + near[1] + near[2] + near[3] + near[4]) / 5);
      CAPTURE(text);
      CHECK(by["label-errors"].at(0).rows.at(0).find(text) != std::string::npos);
    }
    CHECK(findings({.near_duplicate = 1, .same_person = 0.9})["near-duplicates"].empty() == false);
    // Four others are too few to doubt a label, five are enough.
    for (const int others : {4, 5}) {
      const auto all = c.lists;
      int prints = 0;
      for (CheckedList& l : c.lists)
        for (Record& r : l.manifest.records)
          if (r.label != kReplay && !(r.label == kPrint && prints++ < others)) r.label.reset();
      CHECK(findings()["label-errors"].size() == (others == 5 ? 1 : 0));
      c.lists = all;
    }
    // The share that is done: never falls, and ends at 1.
    const EmbeddingsFile file(folder / "e");
    std::vector<double> shares;
    check(c.lists, c.images, true, &file, &ctx, {}, [&](double share) { shares.push_back(share); });
    REQUIRE(shares.size() > 4);
    CHECK(std::is_sorted(shares.begin(), shares.end()));
    CHECK(shares.front() > 0);
    CHECK(shares.front() < 0.5);
    CHECK(shares.back() == doctest::Approx(1).epsilon(1e-9));
  }
  // One row that is gone, one that names another's, one NaN.
  c.at(0, 0).filename = "elsewhere.jpg";
  for (Record& r : c.lists[0].manifest.records)
    if (r.pair_filename == "train0/g.jpg") r.pair_filename = "elsewhere.jpg";
  c.at(0, 3).embedding_row = 0;
  c.at(0, 6).embedding_row = 100000;
  c.refresh();
  std::string bytes = read_file(folder / "e");
  const std::int64_t row = EmbeddingsFile(folder / "e").find("val0/g.jpg");
  {
    const EmbeddingsFile file(folder / "e");
    const std::size_t begin = bytes.find(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
    const float nan = std::nanf("");
    std::memcpy(bytes.data() + begin + std::size_t(row * d + 3) * 4, &nan, 4);
  }
  write_file_atomically(folder / "e", bytes);
  const auto f = findings({.same_person = 0.9})["embeddings"];
  REQUIRE(f.size() == 3);
  expect(f[0], Severity::error, 1, "no unit vectors", "val.csv:2: val0/g.jpg: ");
  CHECK(f[0].rows[0].find("not finite") != std::string::npos);
  expect(f[1], Severity::error, 2, "another photograph's embedding", "train.csv:5: train1/g.jpg: embedding_row 0 of ");
  CHECK(f[1].rows[1].ends_with("is not there"));
  expect(f[2], Severity::warning, 1, "have no embedding", "train.csv:2: elsewhere.jpg");
}

TEST_CASE("check: the text shows a few rows, the JSON as many as asked for; both say how many there are") {
  Clean c;
  for (Record& r : c.lists[0].manifest.records) r.box = {};
  const CheckSettings settings{.most_rows = 7, .severity = {{"no-face", Severity::error}}};
  const CheckReport r = c.check(settings);
  CHECK(r.count(Severity::error) == 3);
  const std::string text = to_text(r, 2);
  CHECK(text.find("error [no-face] 12 of 12 genuine in train") != std::string::npos);
  CHECK(text.find("  train.csv:2: train0/g.jpg\n  train.csv:5: train1/g.jpg\n  … and 10 more\n") != std::string::npos);
  CHECK(text.find("3 errors, 0 warnings, 0 notes") != std::string::npos);
  const auto j = nlohmann::json::parse(to_json(r, settings, {{"list", "a.csv"}}));
  CHECK(j["findings"][0]["rows"].size() == 7);
  CHECK(j["findings"][0]["count"] == 12);
  CHECK(j["settings"]["severity"]["no-face"] == "error");
  CHECK(j["counts"]["train"]["print"]["no_face"] == 12);
  CHECK(j["provenance"]["list"] == "a.csv");
  CHECK(j["errors"] == 3);
}
