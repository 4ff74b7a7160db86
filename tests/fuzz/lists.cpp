// tests/fuzz/lists.cpp — protocols, box files, published lists and manifests. The first byte says which of them follows.
#include <cmath>

#include "data/crop.h"
#include "data/manifest.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

// A box that was let through must give a rectangle inside any image.
void check_box(const Box& box) {
  if (!box.valid()) return;
  must(std::isfinite(box.x1) && std::isfinite(box.y1) && std::isfinite(box.x2) && std::isfinite(box.y2), "a box without end");
  const CropRect r = crop_rect(box, 1.2, 640, 480);
  must(r.x1 >= 0 && r.y1 >= 0 && r.x2 > r.x1 && r.y2 > r.y1 && r.x2 <= 640 && r.y2 <= 480, "a crop outside its image");
}

void check(const Manifest& m) {
  must(!m.records.empty(), "a list without records");
  for (const Record& r : m.records) {
    must(!r.filename.empty() && r.filename.find_first_of(std::string("\0\n\x1b", 3)) == std::string::npos, "a record without a usable path");
    must(r.extra.size() == m.extra_columns.size(), "extra columns are lost");
    check_box(r.box);
  }
  m.summary();
}

void run(const std::string& input) {
  if (input.empty()) return;
  const std::string text = input.substr(1);
  accepts([&] {
    switch (input[0]) {
      case 'p': check(manifest_from_protocol(parse_protocol(text, "fuzz.txt"), nullptr)); break;
      case 'f': must(!parse_protocol(text, "fuzz.txt", {.first_column_only = true}).entries.empty(), "no entries"); break;
      case 'b':
        for (const auto& [path, entry] : read_box_csv(MemoryFile(text).path()).boxes) check_box(entry.box);
        break;
      case 'm': check(read_manifest(MemoryFile(text).path(), {.keep_rejected = true})); break;
      default: check(read_any_list(MemoryFile(text).path()));
    }
  });
}

const std::string kManifest =
    "filename,subject,attack_type,split,domain,x1,y1,x2,y2,landmarks,embedding_row,pair_filename,pair_similarity,"
    "reject_reason,camera\n";

const Register target(
    "lists", run,
    {"pa/0.png 1_0_2\r\n\n a/1.png\t0_0_0 \na/2.png\n", "fa x y z\nb 1_0_0\nc 7\nd\n",
     "bpath,x1,y1,x2,y2\na,1,2,3,4\nb,-1,-1,-1,-1\nc,,,,\nd,0.5,1,1e300,1e308\n",
     "m" + kManifest + "a.jpg,s1,print,train,d,1,2,3,4,36.5 40;74 40.25,0,b.jpg,0.9,,x\nb.jpg,s1,genuine,train,,,,,,,,,,,y\n"
                       "c.jpg,,,test,,,,,,,,,,two faces,\n",
     "apath,label_original,label,max_live_sim,paired_live_path,x1,y1,x2,y2\nT/0.png,0_0_0,0,,,1,2,7,8\n"
     "T/2.png,2_1_0,1,0.98,T/0.png,3.5,3,6,7\nT/4.png,2_0_1,1.0,0.91,T/7.png,5,5,5,9\n",
     "aa/0.png 1_0_2\n"});

}  // namespace
}  // namespace bonafide::fuzz
