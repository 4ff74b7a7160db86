// tests/host/test_output_names.cpp — a name for each input, never twice, never where it must not be.
#include "data/output_names.h"

#include <filesystem>
#include <set>

#include "engine/philox.h"
#include "tests/support/support.h"

using namespace bonafide;
using Names = std::vector<std::string>;

TEST_CASE("output names: the input's own with the extension, never twice") {
  CHECK(output_names({"a/foo.jpg", "a/foo.png", "b/foo.jpeg", "b/x y, \"z\".PNG", "Zoë.bmp"}, ".jpg") ==
        Names{"a/foo.jpg", "a/foo.png.jpg", "b/foo.jpg", "b/x y, \"z\".jpg", "Zoë.jpg"});
  CHECK(output_names({"foo.png", "foo.jpg"}, ".jpg") == Names{"foo.png.jpg", "foo.jpg"});  // whoever comes first
  CHECK(output_names({"foo.jpg", "foo.png", "foo.png.jpg"}, ".jpg") == Names{"foo.jpg", "foo.png~2.jpg", "foo.png.jpg"});
  CHECK(output_names({"foo.jpg", "foo.JPG", "foo.Jpg", "foo.jpeg"}, ".jpg") == Names{"foo.jpg", "foo.JPG.jpg", "foo.Jpg.jpg", "foo.jpeg.jpg"});
  CHECK(output_names({"a.jpg", "a.png"}, ".npy") == Names{"a.npy", "a.png.npy"});
  CHECK(output_names({"noextension", "a.b/c"}, ".npy") == Names{"noextension.npy", "a.b/c.npy"});
  CHECK(output_names({}, ".jpg").empty());
}

TEST_CASE("output names: folders with the name of a file keep theirs") {
  CHECK(output_names({"foo.png", "foo.jpg/1.png"}, ".jpg") == Names{"foo.png.jpg", "foo.jpg/1.jpg"});
  CHECK(output_names({"foo.png", "foo.jpg/foo.png.jpg/1.png"}, ".jpg") == Names{"foo.png.jpg", "foo.jpg/foo.png.jpg/1.jpg"});
  CHECK(output_names({"foo.png", "foo.jpg/1.png", "foo.png.jpg/2.png"}, ".jpg") == Names{"foo.png~2.jpg", "foo.jpg/1.jpg", "foo.png.jpg/2.jpg"});
}

TEST_CASE("output names: none leads out of its folder") {
  CHECK(output_names({"../../etc/a.jpg", "/etc/a.jpg", "./b/../c.png", "..", "/", "a//b.png"}, ".jpg") ==
        Names{"etc/a.jpg", "etc/a.jpg.jpg", "b/c.jpg", "unnamed.jpg", "unnamed~2.jpg", "a/b.jpg"});
}

TEST_CASE("output names: of any list they are different and fit into one tree") {
  Random random(test::seed(), "output names");
  const Names parts = {"a", "a.jpg", "a.png", "a.png.jpg", "a~2.jpg", "..", "a.jpg.jpg", "a.png~2.jpg"};
  for (int round = 0; round < 200; ++round) {
    Names inputs;
    for (int i = 0; i < 30; ++i) {
      std::string s = parts[std::size_t(random.below(8))];
      for (std::int64_t deep = random.below(3); deep > 0; --deep) s += "/" + parts[std::size_t(random.below(8))];
      inputs.push_back(s);
    }
    const Names names = output_names(inputs, ".jpg");
    CHECK(names == output_names(inputs, ".jpg"));
    std::set<std::string> files(names.begin(), names.end());
    CHECK(files.size() == inputs.size());
    for (const std::string& n : names) {
      CHECK(n.ends_with(".jpg"));
      CHECK(n.find("..") == std::string::npos);
      for (auto folder = std::filesystem::path(n).parent_path(); !folder.empty(); folder = folder.parent_path())
        CHECK_FALSE(files.count(folder.string()));
    }
  }
}
