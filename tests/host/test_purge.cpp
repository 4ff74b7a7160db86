// tests/host/test_purge.cpp — a person is erased: no byte of the name, the photographs or the vectors is left in the new files,
// and everything else is as it was.
#include "data/purge.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "data/csv.h"
#include "data/embedding_rows.h"
#include "data/match.h"
#include "data/npy.h"
#include "data/npy_tree.h"
#include "data/output_names.h"
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

namespace {

// A list of photographs `name subject`, and a tree of .npy files. Every file holds its own number.
struct Tree {
  TempFolder dir;
  fs::path root = dir / "emb", list = dir / "list.csv";
  std::vector<std::string> names;
  void rows(const std::vector<std::pair<std::string, std::string>>& faces) {
    std::string text = "filename,subject\n";
    for (const auto& [name, subject] : faces) {
      text += csv_line({name, subject});
      names.push_back(name);
    }
    dir.file("list.csv", text);
  }
  void npy(const std::string& name) {
    fs::create_directories((root / name).parent_path());
    write_npy(root / name, {1}, std::vector<float>{float(++count_)}, Durable::eventually);
  }
  PurgePlan plan(const std::string& subject = "anna") const {
    PurgePlan p{{subject}, {}, {list}, false};
    p.npy_trees = {root};
    return p;
  }
  std::set<std::string> left() const { return files_below(root); }
  static std::set<std::string> files_below(const fs::path& folder) {
    std::set<std::string> all;
    for (const auto& e : fs::recursive_directory_iterator(folder)) all.insert(e.path().lexically_relative(folder).generic_string());
    return all;
  }

 private:
  int count_ = 0;
};

using Names = std::set<std::string>;

}  // namespace

TEST_CASE("purge: the .npy files of the person go, with the folders that are empty then; the rest stays") {
  Tree t;
  t.rows({{"anna/1.jpg", "anna"}, {"anna/2, \"é\".png", "anna"}, {"both/3.jpg", "anna"}, {"both/4.jpg", "ben"}, {"ben/1.jpg", "ben"}, {"anna/noface.jpg", "anna"}});
  for (const char* name : {"anna/1.npy", "anna/2, \"é\".npy", "both/3.npy", "both/4.npy", "ben/1.npy", "stranger/1.npy"}) t.npy(name);
  write_file_atomically(t.root / "both/3.txt", "no vector");
  const std::string before = read_file(t.list), kept = read_file(t.root / "both/4.npy");
  PurgePlan plan = t.plan();
  plan.dry_run = true;
  const PurgeReport dry = purge(plan);
  CHECK(t.left().size() == 6 + 4 + 1);
  CHECK(read_file(t.list) == before);
  const PurgeReport r = purge(t.plan());
  for (const PurgeReport& report : {dry, r}) {
    REQUIRE(report.files.size() == 2);
    CHECK(report.files[1].kind == "npy");
    CHECK(report.files[1].name == t.root.string());
    CHECK(report.files[1].rows == 6);
    CHECK(report.files[1].removed == 3);
    CHECK(report.files[1].missing == 1);  // noface.jpg
    CHECK(report.files[1].shared == 0);
    CHECK(report.files[1].links == 0);
    CHECK(report.npy_files == std::vector<std::string>{(t.root / "anna/1.npy").string(), (t.root / "anna/2, \"é\".npy").string(), (t.root / "both/3.npy").string()});
  }
  CHECK(t.left() == Names{"both", "both/3.txt", "both/4.npy", "ben", "ben/1.npy", "stranger", "stranger/1.npy"});
  CHECK(read_file(t.root / "both/4.npy") == kept);
  // The last ones: the tree itself stays, and is no error when it is empty. A slash behind its name changes nothing.
  Tree one;
  one.rows({{"1.jpg", "anna"}, {"a/b/2.jpg", "anna"}});
  one.npy("1.npy"), one.npy("a/b/2.npy");
  PurgePlan slash = one.plan();
  slash.npy_trees = {one.root.string() + "/"};
  purge(slash);
  CHECK(fs::is_directory(one.root));
  CHECK(one.left().empty());
  one.rows({{"1.jpg", "anna"}});
  CHECK(purge(one.plan()).files[1].missing == 1);
}

TEST_CASE("purge: two files with one stem: embed's own names say whose is whose, in either order") {
  for (const bool anna_first : {true, false}) {
    Tree t;
    const std::string anna = anna_first ? "x/1.jpg" : "x/1.png", ben = anna_first ? "x/1.png" : "x/1.jpg";
    t.rows({{"x/1.jpg", anna_first ? "anna" : "ben"}, {"x/1.png", anna_first ? "ben" : "anna"}});
    for (const std::string& name : output_names(t.names, ".npy")) t.npy(name);
    const PurgeReport r = purge(t.plan());
    CHECK(t.left() == (anna_first ? Names{"x", "x/1.png.npy"} : Names{"x", "x/1.npy"}));
    CHECK(r.files[1].removed == 1);
    CHECK(r.files[1].shared == 0);
    CHECK(r.files[1].missing == 0);
  }
  // Both are hers; three of them.
  Tree t;
  t.rows({{"1.jpg", "anna"}, {"1.png", "anna"}, {"1.bmp", "ben"}});
  for (const std::string& name : output_names(t.names, ".npy")) t.npy(name);
  CHECK(t.left() == Names{"1.npy", "1.png.npy", "1.bmp.npy"});
  CHECK(purge(t.plan()).files[1].shared == 0);
  CHECK(t.left() == Names{"1.bmp.npy"});
  // In one of the two photographs no face was found: whose the file is, its name does not say. It goes, and that is counted.
  for (const char* subject : {"anna", "ben"}) {
    Tree u;
    u.rows({{"1.jpg", "anna"}, {"1.png", "ben"}, {"2.jpg", "carl"}});
    u.npy("1.npy"), u.npy("2.npy");
    const PurgeReport r = purge(u.plan(subject));
    CHECK(u.left() == Names{"2.npy"});
    CHECK(r.files[1].shared == 1);
    CHECK(r.files[1].missing == 0);
  }
}

TEST_CASE("purge: flat trees, trees of part of the list, and names below a data folder, as match finds them") {
  {
    Tree t;  // flat; two folders have a 1
    t.rows({{"train/1.png", "anna"}, {"val/1.png", "ben"}, {"train/2.png", "anna"}, {"val/3.png", "ben"}});
    for (const char* name : {"1.npy", "2.npy", "3.npy"}) t.npy(name);
    const PurgeReport r = purge(t.plan());
    CHECK(t.left() == Names{"3.npy"});
    CHECK(r.files[1].removed == 2);
    CHECK(r.files[1].shared == 1);
  }
  {
    Tree t;  // the longest tail wins: val/1 is ben's, whatever lies above it
    t.rows({{"train/1.png", "anna"}, {"val/1.png", "ben"}});
    for (const char* name : {"train/1.npy", "val/1.npy", "1.npy"}) t.npy(name);
    const PurgeReport r = purge(t.plan());
    CHECK(t.left() == Names{"val", "val/1.npy", "1.npy"});
    CHECK(r.files[1].shared == 0);
  }
  for (const bool told : {true, false}) {
    Tree t;  // the tree begins above the list
    t.rows({{"1.png", "anna"}});
    t.npy("data/one/1.npy"), t.npy("two/1.npy");
    PurgePlan plan = t.plan();
    if (told) plan.data_dir = "/somewhere/data/one";
    CHECK(purge(plan).files[1].missing == (told ? 0 : 1));
    CHECK(t.left().count("data/one/1.npy") == (told ? 0 : 1));
    CHECK(t.left().count("two/1.npy") == 1);
  }
}

TEST_CASE("purge: nothing outside the tree is touched, however names and links lead") {
  Tree t;
  const fs::path outside = t.dir / "outside";
  fs::create_directories(outside / "deep");
  const auto put = [&](const fs::path& file) { write_npy(file, {1}, std::vector<float>{1}); };
  put(t.dir / "1.npy"), put(outside / "2.npy"), put(outside / "3.npy"), put(outside / "deep/4.npy"), put(outside / "5.npy");
  t.rows({{"../1.png", "anna"}, {(outside / "2.png").string(), "anna"}, {"linked/3.png", "anna"}, {"linked/deep/4.png", "anna"},
          {"five.png", "anna"}, {"a/../../outside/5.png", "anna"}, {"..", "anna"}, {".npy", "anna"}, {"gone.png", "anna"}});
  t.npy("other.npy");
  fs::create_directory_symlink(outside, t.root / "linked");
  fs::create_symlink(outside / "5.npy", t.root / "five.npy");
  fs::create_symlink(t.dir / "nowhere.npy", t.root / "gone.npy");
  PurgePlan plan = t.plan();
  plan.data_dir = "../outside";
  for (const fs::path& data_dir : {fs::path(), fs::path("../outside"), outside, fs::path("linked")}) {
    plan.data_dir = data_dir;
    plan.dry_run = true;
    CHECK(purge(plan).files[1].removed == 1);
  }
  plan.data_dir.clear(), plan.dry_run = false;
  const PurgeReport r = purge(plan);
  CHECK(r.files[1].rows == 2);
  CHECK(r.files[1].removed == 1);  // the link five.npy
  CHECK(r.files[1].links == 1);
  CHECK(r.files[1].missing == 8);
  CHECK(t.left() == Names{"other.npy", "linked", "gone.npy"});
  CHECK(Tree::files_below(outside) == Names{"2.npy", "3.npy", "deep", "deep/4.npy", "5.npy"});
  CHECK(fs::exists(t.dir / "1.npy"));

  // A name that was once written below the folder lies there under what of it can: embed's rule.
  Tree u;
  u.rows({{"../a/1.png", "anna"}, {"a/1.png", "ben"}, {"../../a/1.png", "ben"}, {"b/../1.png", "anna"}, {"/root/2.png", "anna"}});
  for (const std::string& name : output_names(u.names, ".npy")) u.npy(name);
  CHECK(u.left() == Names{"a", "a/1.npy", "a/1.png.npy", "a/1.png~2.npy", "b", "b/1.npy", "root", "root/2.npy"});
  CHECK(purge(u.plan()).files[1].shared == 3);  // of the three a/1.png nobody knows which came first
  CHECK(u.left().empty());
  // Other programs resolve it, as match does.
  Tree v;
  v.rows({{"p/x/../y/1.png", "anna"}, {"y/1.png", "ben"}});
  v.npy("p/y/1.npy"), v.npy("y/1.npy");
  CHECK(purge(v.plan()).files[1].shared == 0);
  CHECK(v.left() == Names{"y", "y/1.npy"});
}

TEST_CASE("purge: a tree that is none, and embed at work, are refused before anything is written; interrupted, it finishes") {
  Tree t;
  t.rows({{"1.jpg", "anna"}, {"2.jpg", "ben"}});
  t.npy("1.npy"), t.npy("2.npy");
  const std::string before = read_file(t.list);
  const auto fails = [&](const std::string& why, const PurgePlan& plan) {
    expect_throw(why, [&] { purge(plan); });
    CHECK(read_file(t.list) == before);
    CHECK(t.left().count("1.npy") == 1);
  };
  PurgePlan plan = t.plan();
  plan.npy_trees.push_back(t.dir / "none");
  fails("none: is no folder", plan);
  plan.npy_trees.back() = t.list;
  fails("list.csv: is no folder", plan);
  write_file_atomically(t.root / "embed.journal", "vectors");
  fails("embed.journal: bonafide embed has not finished here and keeps vectors in it; nothing was changed", t.plan());
  const Files f;
  write_file_atomically(f.dir / "embed.journal", "vectors");
  expect_throw("bonafide embed has not finished here", [&] { purge(f.plan()); });
  fs::remove(t.root / "embed.journal");
  fs::permissions(t.root, fs::perms::owner_read | fs::perms::owner_exec);
  if (::access(t.root.c_str(), W_OK) != 0) fails("1.npy: cannot delete: ", t.plan());  // root may delete it
  fs::permissions(t.root, fs::perms::owner_all);
  // The files go first, while the list still knows whose they are.
  {
    const FullDisk full(5);
    expect_throw("list.csv: cannot write", [&] { purge(t.plan()); });
  }
  CHECK(read_file(t.list) == before);
  CHECK(t.left() == Names{"2.npy"});
  const PurgeReport r = purge(t.plan());
  CHECK(r.files[1].missing == 1);
  CHECK(read_file(t.list) == "filename,subject\n2.jpg,ben\n");
}

TEST_CASE("purge: photographs in lists, embeddings and packs are all known when a file is somebody's") {
  // ben's 1.png is only known to the embeddings, carl's 1.bmp only to the packed file: without them 1.npy would be anna's alone.
  for (const bool packed : {false, true}) {
    Tree t;
    t.rows({{"1.jpg", "anna"}});
    t.npy("1.npy");
    PurgePlan plan = t.plan();
    if (packed) {
      PackedWriter w(t.dir / "images.pack", 1.3);
      w.append({.filename = "1.bmp", .subject = "carl", .box = {}, .height = 1, .width = 1, .part = {0, 0, 1, 1}}, std::vector<std::uint8_t>(3));
      w.commit();
      plan.packs = {t.dir / "images.pack"};
    } else {
      EmbeddingsWriter w(t.dir / "e.safetensors", {"toy", "", 1, {}});
      w.append({"1.png", "ben"}, std::vector<float>{1});
      w.commit();
      plan.embeddings = t.dir / "e.safetensors";
    }
    const PurgeReport r = purge(plan);
    CHECK(r.files.back().removed == 1);
    CHECK(r.files.back().shared == 1);
  }
}
