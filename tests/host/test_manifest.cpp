// tests/host/test_manifest.cpp — protocols, box files, published lists and our own: every row is accounted for.
#include "data/manifest.h"

#include <cmath>

#include "data/csv.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using test::expect_throw;
using test::TempFolder;

namespace {

constexpr const char* kPublished =
    "path,label_original,resolution,height,width,class,category,type,label,abs_path,max_live_sim,paired_live_path,x1,"
    "y1,x2,y2\n"
    "T/0.png,0_0_0,9x9,9,9,Live Face,Live Face,Live Face,0,/d/0.png,,,1,2,7,8\n"
    "T/1.png,0_0_0,9x9,9,9,Live Face,Live Face,Live Face,0,/d/1.png,,,-1,-1,-1,-1\n"
    "T/2.png,2_1_0,9x9,9,9,Digital Attack,\"Digital, Adversarial\",Pixel,1,/d/2.png,0.98,T/0.png,3.5,3,6,7\n"
    "T/3.png,1_0_0,9x9,9,9,Physical Attack,2D Attack,Print,1,/d/3.png,,NaN,0,0,9,9\n"
    "T/4.png,2_0_1,9x9,9,9,Digital Attack,Manipulation,Swap,1.0,/d/4.png,0.91,T/7.png,5,5,5,9\n";

Manifest published(const TempFolder& dir, const std::string& text) {
  return read_published_csv(dir.file("list.csv", text), "train");
}

}  // namespace

TEST_CASE("protocol: labels, unlabelled lines, blank lines, CRLF") {
  const Protocol p = parse_protocol("a/0.png 1_0_2\r\n\n a/1.png\t0_0_0 \na/2.png", "p.txt");
  REQUIRE(p.entries.size() == 3);
  CHECK(p.entries[0].label == kCutout);
  CHECK(p.entries[1].path == "a/1.png");
  CHECK(p.entries[1].label->genuine());
  CHECK(p.entries[1].line == 3);
  CHECK(!p.entries[2].label);
  CHECK(p.entries[2].line == 4);
}

TEST_CASE("protocol: bad lines name file and line") {
  expect_throw("p.txt:2: expected `path` or `path label`, found 3 columns",
               [] { parse_protocol("a 0_0_0\nb 0_0_0 c\n", "p.txt"); });
  expect_throw("p.txt:1: '0' is no label", [] { parse_protocol("a 0\n", "p.txt"); });
  expect_throw("p.txt:3: a is 1_0_0 here and 0_0_0 in line 1",
               [] { parse_protocol("a 0_0_0\nb\na 1_0_0\n", "p.txt"); });
  expect_throw("p.txt: has no entries", [] { parse_protocol("\n \n", "p.txt"); });
  expect_throw("p.txt: is no text file", [] { parse_protocol(std::string_view("a\0b", 3), "p.txt"); });
  expect_throw("/nowhere/p.txt: cannot read: No such file", [] { read_protocol("/nowhere/p.txt"); });
}

TEST_CASE("protocol: the first column of any line") {
  const Protocol p = parse_protocol("a x y z\nb 1_0_0\nc 7\nd\n", "p.txt", {.first_column_only = true});
  REQUIRE(p.entries.size() == 4);
  CHECK(!p.entries[0].label);
  CHECK(p.entries[1].label == kPrint);
  CHECK(p.labels_ignored == 2);
}

TEST_CASE("box file: columns by name, no-face rows, contradictions") {
  TempFolder dir;
  const BoxTable t = read_box_csv(dir.file("b.csv",
                                           "label,path,x1,y1,x2,y2,category\n1,a,1,2,3,4,\n,b,-1,-1,-1,-1,\n,c,,,,,\n"
                                           ",d,5,5,5,9,\n,e,0.5,1,10.25,11,x\n1,a,1,2,3,4,again\n"));
  CHECK(t.boxes.size() == 5);
  CHECK(t.boxes.at("a").box.x2 == 3);
  CHECK(t.boxes.at("e").box.x2 == 10.25f);
  CHECK(t.boxes.at("e").line == 6);
  for (const char* p : {"b", "c", "d"}) CHECK_MESSAGE(!t.boxes.at(p).box.valid(), p);
  expect_throw("b.csv:3: a has another box in line 2",
               [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\na,1,2,3,4\na,1,2,3,5\n")); });
  expect_throw("b.csv:2: column 'y1': 'two' is no number",
               [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\na,1,two,3,4\n")); });
  expect_throw("b.csv:1: no column 'y2'", [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2\n")); });
  expect_throw("b.csv:2: column 'path' is empty",
               [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\n,1,2,3,4\n")); });
  expect_throw("b.csv: has a header and no rows", [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\n")); });
  expect_throw("cannot read: No such file", [&] { read_box_csv(dir / "none.csv"); });
}

TEST_CASE("box file: a corner beyond any image is an error, not an infinity") {
  TempFolder dir;
  const auto read = [&](const std::string& row) { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\n" + row + "\n")); };
  expect_throw("b.csv:2: a corner of the box is at 1e+300: no image is that large", [&] { read("a,0,0,1,1e300"); });
  expect_throw("b.csv:2: a corner of the box is at 1e+09", [&] { read("a,1e9,0,1,1"); });
  expect_throw("b.csv:2: a corner of the box is at -1e+300", [&] { read("a,-1e300,0,1,1"); });
  read("a,0,0,134217728,1");
}

TEST_CASE("lists: paths lead anywhere, but hold no control characters") {
  TempFolder dir;
  for (const std::string path : {"../../etc/passwd", "/dev/null", "a//b/./c", "\xff\xfe", "~root", "-rf", "$(id)"}) {
    CHECK(parse_protocol(path + " 0_0_0\n", "p.txt").entries[0].path == path);
    CHECK(read_any_list(dir.file("l.csv", "path,label_original\n" + path + ",0_0_0\n")).records[0].filename == path);
  }
  expect_throw("p.txt:2: the path holds a control character", [] { parse_protocol("a\nb\x1b[2J 0_0_0\n", "p.txt"); });
  expect_throw("p.txt:1: the path holds a control character", [] { parse_protocol("\x7f\n", "p.txt"); });
  const std::string h = "path,label_original,paired_live_path\n";
  expect_throw("list.csv:2: column 'path': the path holds a control character",
               [&] { published(dir, h + "\"a 0.0\nb\",0_0_0,\n"); });
  expect_throw("list.csv:2: column 'paired_live_path': the path holds", [&] { published(dir, h + "a,1_0_0,\"b\rc\"\n"); });
  expect_throw("b.csv:2: column 'path': the path holds",
               [&] { read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\na\tb,1,2,3,4\n")); });
}

TEST_CASE("lists: lines of a megabyte and lists in other dress") {
  TempFolder dir;
  const std::string wide(1 << 20, 'x');
  CHECK(parse_protocol(wide + " 0_0_0\n", "p.txt").entries[0].path == wide);
  expect_throw("p.txt:1: expected `path` or `path label`, found 524288 columns", [&] {
    std::string columns = wide;
    for (std::size_t i = 1; i < columns.size(); i += 2) columns[i] = ' ';
    parse_protocol(columns, "p.txt");
  });
  try {
    parse_protocol("a " + wide, "p.txt");
    CHECK(false);
  } catch (const Error& e) {
    CHECK(std::string(e.what()).size() < 2000);
  }
  CHECK(parse_protocol("\xEF\xBB\xBF" "a 0_0_0\r\n", "p.txt").entries[0].path == "a");
  CHECK(read_any_list(dir.file("bom.csv", "\xEF\xBB\xBF" "\"path\",label_original\r\na,0_0_0\r\n")).records[0].filename == "a");
  expect_throw("zero.csv:2: is no text file (a zero byte)",
               [&] { read_any_list(dir.file("zero.csv", std::string_view("path,label_original\na\0b,0_0_0\n", 31))); });
  expect_throw("open.csv:2: a quote is opened and never closed",
               [&] { read_any_list(dir.file("open.csv", "path,label_original\n\"a,0_0_0\n")); });
}

TEST_CASE("manifest: a protocol with boxes; full frames are counted by reason") {
  TempFolder dir;
  const Protocol p = parse_protocol("a 0_0_0\nb 1_0_0\na 0_0_0\nc\nd 1_0_1\n", "p.txt");
  const BoxTable t = read_box_csv(dir.file("b.csv", "path,x1,y1,x2,y2\na,1,2,3,4\nb,-1,-1,-1,-1\nc,3,3,3,3\n"));
  const Manifest m = manifest_from_protocol(p, &t, {.split = "val"});
  REQUIRE(m.records.size() == 4);
  CHECK(m.records[0].box.y2 == 4);
  CHECK(m.records[0].split == "val");
  CHECK(m.where(m.records[3]) == "p.txt:5");
  CHECK(m.full_frame.size() == 3);
  for (const auto& [reason, n] : m.full_frame) CHECK(n == 1);
  CHECK(m.dropped_counts() == std::map<std::string, std::int64_t>{{"listed before", 1}});
  CHECK(m.dropped[0].line == 3);
  CHECK(m.counts().at("val") ==
        std::map<std::string, std::int64_t>{{"genuine", 1}, {"print", 1}, {"replay", 1}, {"unlabelled", 1}});

  CHECK(m.summary().starts_with("val: 4 (1 genuine, 1 print, 1 replay, 1 unlabelled)\n"));
  CHECK(manifest_from_protocol(parse_protocol("b 1_0_0\n", "p.txt"), nullptr)
            .summary()
            .starts_with("records: 1 (1 print)\n"));

  const Manifest all = manifest_from_protocol(p, nullptr, {.keep_duplicates = true});
  CHECK(all.records.size() == 5);
  CHECK(all.full_frame.at("no box file") == 5);
}

TEST_CASE("manifest: the published paired list") {
  TempFolder dir;
  const Manifest m = published(dir, kPublished);
  REQUIRE(m.records.size() == 6);
  CHECK(m.records[0].genuine());
  CHECK(m.records[0].box.x2 == 7);
  CHECK(m.records[2].pair_filename == "T/0.png");
  CHECK(m.records[2].pair_similarity == 0.98);
  CHECK(m.records[2].box.x1 == 3.5f);
  CHECK(m.records[3].attack());
  CHECK(m.records[3].pair_filename.empty());  // "NaN" is no partner
  CHECK(m.records[4].pair_filename == "T/7.png");
  CHECK(m.records[5].filename == "T/7.png");  // added: the partner had no row
  CHECK(m.records[5].genuine());
  CHECK(!m.records[5].box.valid());
  CHECK(m.extra_columns ==
        std::vector<std::string>{"resolution", "height", "width", "class", "category", "type", "label", "abs_path"});
  CHECK(m.records[2].extra[4] == "Digital, Adversarial");
  CHECK(m.records[5].extra.size() == 8);
  CHECK(m.full_frame == std::map<std::string, std::int64_t>{{"no face found (a corner of the box is negative)", 1},
                                                            {"the box has no size", 1},
                                                            {"the genuine partner has no row of its own", 1}});
  CHECK(m.summary().starts_with("train: 6 (3 genuine, 1 face_swap, 1 pixel_adversarial, 1 print)\nfull frame: 1 ("));
}

TEST_CASE("manifest: a published list without box columns is all full frames, counted") {
  TempFolder dir;
  const Manifest m = published(
      dir,
      "path,label_original,label,max_live_sim,paired_live_path\na,0_0_0,0,,\nb,2_1_0,1,0.9,a\nc,2_1_0,1,0.9,none\n");
  CHECK(m.records.size() == 3);
  CHECK(m.records[1].pair_filename == "a");
  CHECK(m.records[2].pair_filename.empty());
  CHECK(m.full_frame == std::map<std::string, std::int64_t>{{"the file has no box columns", 3}});
}

TEST_CASE("manifest: contradictions in a published list name the line") {
  TempFolder dir;
  const std::string h = "path,label_original,label,paired_live_path\n";
  expect_throw("list.csv:3: label 0 contradicts label_original 1_0_0",
               [&] { published(dir, h + "a,0_0_0,0,\nb,1_0_0,0,a\n"); });
  expect_throw("list.csv:2: a genuine row has a paired_live_path", [&] { published(dir, h + "a,0_0_0,0,b\n"); });
  expect_throw("list.csv:2: its paired_live_path b is 1_0_0 (line 3), not genuine",
               [&] { published(dir, h + "a,1_0_0,1,b\nb,1_0_0,1,\n"); });
  expect_throw("list.csv:3: a is listed twice, first in line 2",
               [&] { published(dir, h + "a,0_0_0,0,\na,0_0_0,0,\n"); });
  expect_throw("list.csv:2: column 'label_original': '1_0' is no label", [&] { published(dir, h + "a,1_0,1,\n"); });
  expect_throw("list.csv:2: expected 4 fields as in the header, found 3", [&] { published(dir, h + "a,1_0_0,1\n"); });
  expect_throw("list.csv: has no usable rows", [&] { published(dir, h); });
  expect_throw("list.csv:1: no column 'label_original'", [&] { published(dir, "path,x\n"); });
  for (const std::string some : {"x1", "y1", "x2", "y2", "x1,y1,x2", "y1,x2,y2"})  // in front: column number 0
    expect_throw("list.csv:1: has some of the columns", [&] { published(dir, some + ",path,label_original\n"); });
  expect_throw("list.csv:1: column 'landmarks' belongs to our manifest",
               [&] { published(dir, "path,label_original,landmarks\n"); });
}

TEST_CASE("manifest: our own file, every column and free ones, survives a round trip") {
  TempFolder dir;
  Manifest m;
  m.extra_columns = {"camera", "note"};
  Record a;
  a.filename = "faces/a, 1.jpg";
  a.subject = "s1";
  a.label = kReplay;
  a.split = "train";
  a.domain = "johns";
  a.box = {1.1f, 2, 1234.567f, 99};
  a.landmarks = {{36.5f, 40}, {74, 40.25f}};
  a.embedding_row = 0;
  a.pair_filename = "b.jpg";
  a.pair_similarity = 0.90002;
  a.extra = {"x", "says \"hi\""};
  Record b;
  b.filename = "b.jpg";
  b.label = Label{};
  Record c;
  c.filename = "c.jpg";
  c.reject_reason = "two faces";
  m.records = {a, b, c};
  write_manifest(dir / "m.csv", m);
  CHECK(read_file(dir / "m.csv")
            .starts_with("filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,"
                         "pair_filename,pair_similarity,reject_reason,camera,note\n\"faces/a, 1.jpg\",s1,1_0_1,"));

  const Manifest r = read_manifest(dir / "m.csv", {.keep_rejected = true});
  REQUIRE(r.records.size() == 3);
  const Record& x = r.records[0];
  CHECK(x.filename == a.filename);
  CHECK(x.subject == a.subject);
  CHECK(x.label == a.label);
  CHECK(x.split == a.split);
  CHECK(x.domain == a.domain);
  CHECK(x.box.x1 == a.box.x1);
  CHECK(x.box.x2 == a.box.x2);
  CHECK(x.landmarks == a.landmarks);
  CHECK(x.embedding_row == 0);
  CHECK(x.pair_filename == "b.jpg");
  CHECK(x.pair_similarity == 0.90002);
  CHECK(x.extra == a.extra);
  CHECK(r.records[1].genuine());
  CHECK(r.records[1].embedding_row == -1);
  CHECK(std::isnan(r.records[1].pair_similarity));
  CHECK(!r.records[2].label);
  CHECK(r.records[2].reject_reason == "two faces");
  write_manifest(dir / "again.csv", r);
  CHECK(read_file(dir / "again.csv") == read_file(dir / "m.csv"));

  const Manifest used = read_manifest(dir / "m.csv");
  CHECK(used.records.size() == 2);
  CHECK(used.dropped_counts() == std::map<std::string, std::int64_t>{{"two faces", 1}});
  CHECK(used.dropped[0].line == 4);
  CHECK(used.find("b.jpg") == 1);
  CHECK(used.find("c.jpg") == -1);
}

TEST_CASE("manifest: genuine is spelled out; an empty attack_type is unlabelled unless asked otherwise") {
  TempFolder dir;
  const std::string text =
      "filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,"
      "reject_reason\n"
      "a,,,train,,,,,,,,,,\nb,,genuine,train,,,,,,,,,,\nc,,print,test,,,,,,,,,,\n";
  const std::string path = dir.file("m.csv", text);
  CHECK(!read_manifest(path).records[0].label);
  CHECK(read_manifest(path).records[1].genuine());
  CHECK(read_manifest(path, {.empty_is_genuine = true}).records[0].genuine());
  CHECK(read_manifest(path).only_split("test").records[0].label == kPrint);
  expect_throw("m.csv: no rows of split 'val'; there are: 'test', 'train'",
               [&] { read_manifest(path).only_split("val"); });
}

TEST_CASE("manifest: bad rows name file and line") {
  TempFolder dir;
  const std::string h =
      "filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,"
      "reject_reason\n";
  const auto read = [&](const std::string& rows) { read_manifest(dir.file("m.csv", h + rows)); };
  expect_throw("m.csv:2: column 'attack_type': 'spoof' is no label", [&] { read("a,,spoof,,,,,,,,,,,\n"); });
  expect_throw("m.csv:2: column 'landmarks': expected points", [&] { read("a,,,,,,,,,1 2;3,,,,\n"); });
  expect_throw("m.csv:2: column 'landmarks': expected a semicolon", [&] { read("a,,,,,,,,,1 2 3 4,,,,\n"); });
  expect_throw("m.csv:2: column 'embedding_row': '1.5' is no whole number", [&] { read("a,,,,,,,,,,1.5,,,\n"); });
  expect_throw("m.csv:2: only attacks have a pair_filename", [&] { read("a,,genuine,,,,,,,,,b,,\n"); });
  expect_throw("m.csv:3: a is listed twice, first in line 2", [&] { read("a,,,,,,,,,,,,,\na,,,,,,,,,,,,,\n"); });
  expect_throw("m.csv: has no usable rows; dropped: 2 (blurred)",
               [&] { read("a,,,,,,,,,,,,,blurred\nb,,,,,,,,,,,,,blurred\n"); });
  expect_throw("m.csv:1: no column 'subject'", [&] { read_manifest(dir.file("m.csv", "filename,attack_type\n")); });
}

TEST_CASE("manifest: a list is told by its first line") {
  TempFolder dir;
  CHECK(read_any_list(dir.file("p.txt", "a 0_0_0\nb 1_0_0\n"), "val").records[1].split == "val");
  CHECK(read_any_list(dir.file("l.csv", kPublished)).records.size() == 6);
  write_manifest(dir / "m.csv", published(dir, kPublished));
  CHECK(read_any_list(dir / "m.csv").records.size() == 6);
  CHECK(read_any_list(dir / "m.csv", "train").records.size() == 6);
  expect_throw("x.csv:1: is neither our manifest", [&] { read_any_list(dir.file("x.csv", "file,label\na,1\n")); });
}
