// tests/host/test_purge.cpp — a person is erased: no byte of the name, the photographs or the vectors is left in the new files,
// and everything else is as it was.
#include "data/purge.h"

#include <cstring>
#include <filesystem>

#include "data/embedding_rows.h"
#include "data/match.h"
#include "data/packed.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

constexpr const char* kManifest =
    "filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,reject_reason,note,pair_kind\n"
    "gen/anna_1.jpg,Anna B.,live,train,,1,2,3,4,,0,,,,,\n"
    "gen/ben_1.jpg,ben,0_0_0,train,,,,,,,1,,,,kept \"as\" is,\n"
    "att/anna_p.jpg,Anna B.,print,train,,,,,,,2,gen/ben_1.jpg,0.5,,,identity\n"
    "\"att/ben, é.jpg\",ben,1_0_0,train,,,,,,,3,gen/anna_1.jpg,0.97,,,identity\n"
    "att/ben_r.jpg,ben,replay,train,,,,,,,4,gen/ben_1.jpg,0.99,,,identity\n"
    "att/swap.jpg,ben,2_0_1,train,,,,,,,,gen/anna_1.jpg,,no face found,donor gen/ann.jpg,\n";
constexpr const char* kNames[] = {"gen/anna_1.jpg", "gen/ben_1.jpg", "att/anna_p.jpg", "att/ben, é.jpg", "att/ben_r.jpg"};

struct Files {
  TempFolder dir;
  fs::path embeddings = dir / "e.safetensors", manifest = dir / "m.csv";
  std::vector<std::vector<float>> vectors;
  explicit Files(bool names_in_index = true) {
    EmbeddingsWriter w(embeddings, {"toy", "digest", 8, {{"note", "stays"}}});
    const Buffer<> values = Buffer<>::random(5 * 8, 77);
    for (int i = 0; i < 5; ++i)
      w.append({kNames[i], !names_in_index ? "" : std::string(kNames[i]).find("anna") == std::string::npos ? "ben" : "Anna B."},
               values.cspan().slice(i * 8, 8));
    w.commit();
    dir.file("m.csv", kManifest);
    const EmbeddingsFile f(embeddings);
    for (int i = 0; i < 5; ++i) {
      vectors.emplace_back(8);
      f.read(i, vectors.back());
    }
  }
  PurgePlan plan() const { return {{"Anna B."}, embeddings, {manifest}, false}; }
};

bool holds(const fs::path& file, const std::string& bytes) { return read_file(file).find(bytes) != std::string::npos; }
std::string bytes_of(const std::vector<float>& v) { return {reinterpret_cast<const char*>(v.data()), v.size() * 4}; }

}  // namespace

TEST_CASE("purge: nothing of the person is left, everything else is") {
  for (const bool names_in_index : {true, false}) {
    const Files f(names_in_index);
    CHECK(holds(f.embeddings, bytes_of(f.vectors[0])));
    const PurgeReport r = purge(f.plan());
    for (const fs::path& file : {f.embeddings, f.manifest}) {
      CHECK(!holds(file, "Anna"));
      CHECK(!holds(file, "anna_p"));
    }
    for (const int i : {0, 2}) CHECK(!holds(f.embeddings, bytes_of(f.vectors[std::size_t(i)])));
    for (const int i : {1, 3, 4}) CHECK(holds(f.embeddings, bytes_of(f.vectors[std::size_t(i)])));

    CHECK(read_file(f.manifest) ==
          "filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,reject_reason,note,pair_kind\n"
          "gen/ben_1.jpg,ben,0_0_0,train,,,,,,,0,,,,\"kept \"\"as\"\" is\",\n"
          "\"att/ben, é.jpg\",ben,1_0_0,train,,,,,,,1,,,match: its partner was erased,,\n"
          "att/ben_r.jpg,ben,replay,train,,,,,,,2,gen/ben_1.jpg,0.99,,,identity\n"
          "att/swap.jpg,ben,2_0_1,train,,,,,,,,,,no face found,donor gen/ann.jpg,\n");
    const EmbeddingsFile e(f.embeddings);
    CHECK(e.info().embedder == "toy");
    CHECK(e.info().embedder_digest == "digest");
    CHECK(e.info().notes.at("note") == "stays");
    REQUIRE(e.rows() == 3);
    CHECK(e.faces()[0].subject == (names_in_index ? "ben" : ""));
    // The lists and the embeddings belong together as before.
    const Manifest m = read_manifest(f.manifest, {.keep_rejected = true});
    const EmbeddingRows rows = find_embeddings(std::make_shared<const EmbeddingsFile>(f.embeddings), m);
    CHECK(rows.row == std::vector<std::int64_t>{0, 1, 2, -1});
    for (std::size_t i = 0; i < 3; ++i) CHECK(rows.vector(std::int64_t(i)) == f.vectors[std::vector<std::size_t>{1, 3, 4}[i]]);

    REQUIRE(r.files.size() == 2);
    CHECK(r.files[0].kind == "embeddings");
    CHECK(r.files[0].rows == 5);
    CHECK(r.files[0].removed == 2);
    CHECK(r.files[1].kind == "manifest");
    CHECK(r.files[1].rows == 6);
    CHECK(r.files[1].removed == 2);
    CHECK(r.files[1].pairs_lost == 2);
    CHECK(r.files[1].mentions == 0);
    CHECK(r.photographs == std::vector<std::string>{"att/anna_p.jpg", "gen/anna_1.jpg"});
    CHECK(std::distance(fs::directory_iterator(f.dir.path()), {}) == 2);
  }
}

TEST_CASE("purge: fields that still name a photograph are counted") {
  const Files f;
  std::string text = kManifest;
  text.replace(text.find("donor gen/ann.jpg"), 17, "/x/gen/anna_1.jpg");  // a path that ends in the photograph's
  f.dir.file("m.csv", text);
  CHECK(purge(f.plan()).files[1].mentions == 1);
}

TEST_CASE("purge: a dry run counts and writes nothing") {
  const Files f;
  const std::string e = read_file(f.embeddings), m = read_file(f.manifest);
  PurgePlan plan = f.plan();
  plan.dry_run = true;
  const PurgeReport r = purge(plan);
  CHECK(r.files[0].removed == 2);
  CHECK(r.files[1].removed == 2);
  CHECK(r.files[1].pairs_lost == 2);
  CHECK(read_file(f.embeddings) == e);
  CHECK(read_file(f.manifest) == m);
}

TEST_CASE("purge: a published list loses rows and pairs; photographs are known by the other files") {
  const Files f;
  const std::string list = f.dir.file("p.csv",
                                      "path,label_original,max_live_sim,paired_live_path\ngen/anna_1.jpg,0_0_0,,\ngen/ben_1.jpg,0_0_0,,\n"
                                      "att/anna_p.jpg,1_0_0,.5,gen/ben_1.jpg\nx.jpg,1_0_0,.9,gen/anna_1.jpg\n");
  PurgePlan plan = f.plan();
  plan.lists.push_back(list);
  const PurgeReport r = purge(plan);
  CHECK(read_file(list) == "path,label_original,max_live_sim,paired_live_path\ngen/ben_1.jpg,0_0_0,,\nx.jpg,1_0_0,,\n");
  CHECK(r.files[2].kind == "list");
  CHECK(r.files[2].removed == 2);
  CHECK(r.files[2].pairs_lost == 1);
}

TEST_CASE("purge: what any of the lists gives to the person is erased everywhere") {
  TempFolder dir;
  const std::string first = dir.file("a.csv", "filename,subject\nanna_1.jpg,Anna B.\nben_1.jpg,ben\n");
  const std::string second = dir.file("b.csv", "filename,subject\nanna_2.jpg,Anna B.\nben_2.jpg,ben\n");
  const std::string bare = dir.file("c.csv", "filename\nanna_2.jpg\nben_1.jpg\nanna_1.jpg\n");
  const PurgeReport r = purge({.subjects = {"Anna B."}, .lists = {first, second, bare}});
  CHECK(r.photographs == std::vector<std::string>{"anna_1.jpg", "anna_2.jpg"});
  CHECK(read_file(first) == "filename,subject\nben_1.jpg,ben\n");
  CHECK(read_file(second) == "filename,subject\nben_2.jpg,ben\n");
  CHECK(read_file(bare) == "filename\nben_1.jpg\n");
}

TEST_CASE("purge: several people at once, the only one of a file, and a manifest alone") {
  {
    const Files f;
    PurgePlan plan = f.plan();
    plan.subjects.push_back("ben");
    purge(plan);
    CHECK(EmbeddingsFile(f.embeddings).rows() == 0);
    for (const auto& v : f.vectors) CHECK(!holds(f.embeddings, bytes_of(v)));
    CHECK(read_file(f.manifest).find('\n') + 1 == read_file(f.manifest).size());
  }
  const Files f;
  const std::string before = read_file(f.embeddings);
  PurgePlan plan = f.plan();
  plan.embeddings.clear();
  purge(plan);
  CHECK(read_file(f.embeddings) == before);
  CHECK(holds(f.manifest, "gen/ben_1.jpg,ben,0_0_0,train,,,,,,,1,"));  // rows of embeddings that nobody touched
}

TEST_CASE("purge: what is wrong is found before anything is written") {
  const auto fails = [](const std::string& why, const std::function<void(Files&, PurgePlan&)>& change) {
    Files f;
    PurgePlan plan = f.plan();
    change(f, plan);
    const std::string e = read_file(f.embeddings), m = read_file(f.manifest);
    expect_throw(why, [&] { purge(plan); });
    CHECK(read_file(f.embeddings) == e);
    CHECK(read_file(f.manifest) == m);
  };
  fails("no row of subject 'anna b.' in these files; nothing was changed", [](Files&, PurgePlan& p) { p.subjects = {"anna b."}; });
  fails("no row of subject 'Zoë' in these files", [](Files&, PurgePlan& p) { p.subjects.push_back("Zoë"); });
  fails("a subject without a name", [](Files&, PurgePlan& p) { p.subjects = {" "}; });
  fails("cannot read: No such file", [](Files&, PurgePlan& p) { p.lists.push_back("/nowhere/m.csv"); });
  fails("no column 'filename'", [](Files& f, PurgePlan& p) { p.lists.push_back(f.dir.file("x.csv", "a,b\n1,2\n")); });
  fails("m2.csv:2: has an embedding_row, but the embeddings know no other.jpg", [](Files& f, PurgePlan& p) {
    p.lists.push_back(f.dir.file("m2.csv", "filename,embedding_row\nother.jpg,1\n"));
  });
  fails("'x' is no whole number", [](Files& f, PurgePlan& p) { p.lists.push_back(f.dir.file("m2.csv", "filename,embedding_row\nother.jpg,x\n")); });
  fails("truncated file?", [](Files& f, PurgePlan&) {
    const std::string e = read_file(f.embeddings);
    f.dir.file("e.safetensors", e.substr(0, e.size() - 1));
  });
}

TEST_CASE("purge: interrupted after one file, the same call again finishes") {
  // The embeddings know everybody, so they are replaced last: the manifest is new, the embeddings are old.
  const Files f, done;
  purge(done.plan());
  write_file_atomically(f.manifest, read_file(done.manifest));
  purge(f.plan());
  CHECK(read_file(f.manifest) == read_file(done.manifest));
  CHECK(read_file(f.embeddings) == read_file(done.embeddings));
  // Names in the manifest only: it is replaced last, the embeddings are new already.
  const Files g(false), finished(false);
  purge(finished.plan());
  write_file_atomically(g.embeddings, read_file(finished.embeddings));
  purge(g.plan());
  CHECK(read_file(g.manifest) == read_file(finished.manifest));
  CHECK(read_file(g.embeddings) == read_file(finished.embeddings));
}

TEST_CASE("purge: the disk fills up between two files: the same call finishes, for who knew the person still does") {
  for (const bool bare_is_large : {true, false}) {
    const Files f;
    const std::string much(100'000, 'x');  // more than the disk takes
    const std::string one = f.dir.file("one.csv", "filename,subject,note\ngen/anna_1.jpg,Anna B.,\nben.jpg,ben," + (bare_is_large ? "" : much) + "\n");
    const std::string bare = f.dir.file("bare.csv", "filename,note\natt/anna_p.jpg,\ngen/anna_1.jpg,\nben.jpg," + (bare_is_large ? much : "") + "\n");
    PurgePlan plan = f.plan();  // the embeddings know two photographs, one.csv knows one of them, bare.csv none
    plan.lists = {one, bare};
    {
      const FullDisk full(50'000);
      expect_throw("cannot write", [&] { purge(plan); });
    }
    const PurgeReport r = purge(plan);
    CHECK(r.photographs == std::vector<std::string>{"att/anna_p.jpg", "gen/anna_1.jpg"});
    for (const fs::path& file : {f.embeddings, fs::path(one), fs::path(bare)}) CHECK(!holds(file, "anna"));
  }
}

TEST_CASE("purge: packed photographs lose the person's pixels and name, and keep everybody else's bits") {
  const auto pack = [](const fs::path& file) {
    PackedWriter w(file, 1.3);
    for (int i = 0; i < 5; ++i) {
      const std::vector<std::uint8_t> pixels(4 * 5 * 3, std::uint8_t('A' + i));  // the subject only of ben's: the lists know Anna's
      w.append({.filename = kNames[i], .subject = i == 1 ? "ben" : "", .box = {}, .height = 4, .width = 5, .part = {0, 0, 4, 5}}, pixels);
    }
    w.commit();
  };
  const Files f;
  pack(f.dir / "images.pack");
  PurgePlan plan = f.plan();
  plan.packs = {f.dir / "images.pack"};
  plan.dry_run = true;
  const std::string before = read_file(f.dir / "images.pack");
  CHECK(purge(plan).files.back().removed == 2);
  CHECK(read_file(f.dir / "images.pack") == before);
  plan.dry_run = false;

  write_file_atomically(PackedWriter::partial(f.dir / "images.pack"), "x");
  expect_throw("is being packed; nothing was changed", [&] { purge(plan); });
  fs::remove(PackedWriter::partial(f.dir / "images.pack"));
  std::string damaged = before;
  damaged[64 + 60] ^= 1;  // of somebody who stays
  write_file_atomically(f.dir / "images.pack", damaged);
  const std::string manifest = read_file(f.manifest);
  expect_throw("are damaged", [&] { purge(plan); });
  CHECK(read_file(f.manifest) == manifest);
  CHECK(!fs::exists(PackedWriter::partial(f.dir / "images.pack")));
  write_file_atomically(f.dir / "images.pack", before);

  const PurgeReport report = purge(plan);
  CHECK(report.files.back().kind == "packed");
  CHECK(report.files.back().rows == 5);
  CHECK(report.files.back().removed == 2);
  const PackedFile packed(f.dir / "images.pack");
  REQUIRE(packed.images().size() == 3);
  CHECK(packed.margin() == 1.3);
  CHECK(packed.find(kNames[0]) == -1);
  CHECK(packed.load(packed.find(kNames[1])).pixels[7] == 'B');
  CHECK(packed.load(packed.find(kNames[4])).pixels[7] == 'E');
  for (const char* trace : {"anna", "Anna", "AAAA", "CCCC"}) CHECK(!holds(f.dir / "images.pack", trace));
}
