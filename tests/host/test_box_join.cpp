// tests/host/test_box_join.cpp — boxes put to lists: every row stays as it was, every row without a partner is named.
#include "data/box_join.h"

#include "data/manifest.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::expect_throw;
using test::TempFolder;

namespace {

constexpr const char* kBoxes =
    "path,x1,y1,x2,y2\n0.png,1,2,3,4\n1.png,-1,-1,-1,-1\nData-train/3.png,5,6,7.5,8\n\"a, \"\"b\"\" é.png\",0,0,9,9\nspare.png,1,1,2,2\n";

using Rejects = std::vector<std::pair<std::string, std::string>>;
Rejects rejects(const BoxJoin& j) {
  Rejects all;
  for (const auto& r : j.rejects) all.emplace_back(r.filename, r.reason);
  return all;
}

}  // namespace

TEST_CASE("join: a CSV keeps its rows, order and fields; boxes come last") {
  TempFolder dir;
  const std::string list = dir.file("list.csv",
                                    "path,label_original,note\nData-train/3.png,1_0_0,\"x, \"\"y\"\"\"\nData-train/0.png,0_0_0, padded\n"
                                    "Data-train/1.png,live,\nData-train/2.png,2_1_0,\n\"Data-train/a, \"\"b\"\" é.png\",0_0_0,ü\nData-train/0.png,0_0_0,again\n");
  const BoxJoin j = join_boxes(list, dir.file("boxes.csv", kBoxes), "Data-train/", dir / "out.csv");
  CHECK(read_file(dir / "out.csv") ==
        "path,label_original,note,x1,y1,x2,y2\nData-train/3.png,1_0_0,\"x, \"\"y\"\"\",5,6,7.5,8\nData-train/0.png,0_0_0,\" padded\",1,2,3,4\n"
        "Data-train/1.png,live,,-1,-1,-1,-1\nData-train/2.png,2_1_0,,,,,\n\"Data-train/a, \"\"b\"\" é.png\",0_0_0,ü,0,0,9,9\nData-train/0.png,0_0_0,again,1,2,3,4\n");
  CHECK(j.rows == 6);
  CHECK(j.with_box == 4);
  CHECK(j.no_face == 1);
  CHECK(j.unknown == 1);
  CHECK(j.boxes == 5);
  CHECK(j.boxes_used == 4);
  CHECK(!j.replaced);
  CHECK(rejects(j) == Rejects{{"Data-train/1.png", "no face found (a corner of the box is negative)"},
                              {"Data-train/2.png", "not in the box file"},
                              {"Data-train/spare.png", "a box without a row in the list"}});
  CHECK(j.summary() == "6 rows = 4 with a box + 1 without a face + 1 not in the box file\n5 boxes, 1 of photographs that are not in the list\n");
}

TEST_CASE("join: a protocol becomes the box file that eval reads") {
  TempFolder dir;
  const std::string list = dir.file("p.txt", "Data-train/0.png 1_0_2\nData-train/1.png 0_0_0\nData-train/3.png\n");
  join_boxes(list, dir.file("boxes.csv", kBoxes), "Data-train/", dir / "out.csv");
  CHECK(read_file(dir / "out.csv") ==
        "path,label_original,label,x1,y1,x2,y2\nData-train/0.png,1_0_2,1,1,2,3,4\nData-train/1.png,0_0_0,0,-1,-1,-1,-1\nData-train/3.png,,,5,6,7.5,8\n");
  const BoxTable t = read_box_csv(dir / "out.csv");
  CHECK(t.boxes.at("Data-train/3.png").box.x2 == 7.5f);
  CHECK(!t.boxes.at("Data-train/1.png").box.valid());
}

TEST_CASE("join: a published paired list with boxes reads back with them; joining again replaces them") {
  TempFolder dir;
  const std::string boxes = dir.file("boxes.csv", kBoxes);
  const std::string list = dir.file("list.csv",
                                    "path,x1,label_original,max_live_sim,paired_live_path,y1,x2,y2\nData-train/0.png,77,0_0_0,,,7,88,88\n"
                                    "Data-train/3.png,,1_0_0,0.9,Data-train/0.png,,,\n");
  const BoxJoin j = join_boxes(list, boxes, "Data-train/", dir / "out.csv");
  CHECK(j.replaced);
  CHECK(j.summary().find("the list had box columns: replaced\n") != std::string::npos);
  const Manifest m = read_published_csv(dir / "out.csv");
  CHECK(m.records[0].box.x1 == 1);
  CHECK(m.records[1].box.y2 == 8);
  CHECK(m.records[1].pair_filename == "Data-train/0.png");
  join_boxes((dir / "out.csv").string(), boxes, "Data-train/", dir / "again.csv");
  CHECK(read_file(dir / "out.csv") == read_file(dir / "again.csv"));
}

TEST_CASE("join: errors leave no output") {
  TempFolder dir;
  const std::string boxes = dir.file("boxes.csv", kBoxes), list = dir.file("list.csv", "path\nData-train/0.png\n");
  const auto fails = [&](const std::string& why, const std::string& l, const std::string& b) {
    expect_throw(why, [&] { join_boxes(l, b, "Data-train/", dir / "out.csv"); });
    CHECK(!std::filesystem::exists(dir / "out.csv"));
  };
  fails("Data-train/0.png has two boxes, in lines 2 and 3", list,
        dir.file("two.csv", "path,x1,y1,x2,y2\n0.png,1,2,3,4\nData-train/0.png,1,2,3,5\n"));
  fails("l.csv:1: no column 'path'", dir.file("l.csv", "file,label\na,b\n"), boxes);
  fails("l.csv:2: column 'path' is empty", dir.file("l.csv", "path,label\n,b\n"), boxes);
  fails("l.csv: has a header and no rows", dir.file("l.csv", "path,label\n"), boxes);
  fails("l.csv:3: expected 2 fields", dir.file("l.csv", "path,label\na,b\nc\n"), boxes);
  fails("cannot read: No such file", list, (dir / "none.csv").string());
  CHECK(join_boxes(list, dir.file("same.csv", "path,x1,y1,x2,y2\n0.png,1,2,3,4\nData-train/0.png,1,2,3,4\n"), "Data-train/", dir / "out.csv").boxes == 1);
}
