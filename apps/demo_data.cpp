// apps/demo_data.cpp — `bonafide demo-data`: a small data set from the photographs of Debian's libdlib19.1.
//
// The package has 11 aligned chips (150 x 150) of each of five people, and group photographs with face boxes. People
// are split, never photographs: nobody is in two splits. The training list holds the photographs themselves (attacks
// are rendered afresh during training); the test set is files, genuine captures and attacks through the same camera.
#include <algorithm>
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/species_list.h"
#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/images/render_files.h"
#include "engine/files.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

// Where the face is in an aligned chip: hairline to chin, cheek to cheek (measured on the 55 chips: eyes at a third of
// the height, as in a detector's box).
Box chip_box(const Image& chip) {
  const float sx = float(chip.width) / 150, sy = float(chip.height) / 150;
  return {22 * sx, 10 * sy, 128 * sx, 142 * sy};
}

// The folder `name` below `root`, wherever the package has put it; empty where there is none.
fs::path find_folder(const fs::path& root, const std::string& name) {
  if (fs::is_directory(root / name)) return root / name;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_directory() && entry.path().filename() == name) return entry.path();
  return {};
}

std::vector<fs::path> sorted_entries(const fs::path& folder, bool folders) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder))
    if (folders ? entry.is_directory() : entry.path().extension() == ".jpg") found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  return found;
}

struct GroupFace {
  std::string file;
  float left, top, width, height;
};

// <image file='…'> and <box top='…' left='…' width='…' height='…'/> of dlib's annotation files.
std::vector<GroupFace> read_boxes(const fs::path& xml) {
  const std::string text = read_file(xml);
  const auto attribute = [&](std::size_t tag, const std::string& name) {
    const std::size_t end = text.find('>', tag), at = text.find(" " + name + "='", tag);
    if (end == std::string::npos || at > end) throw Error(str(xml.string(), ": a tag without ", name));
    const std::size_t from = at + name.size() + 3;
    return text.substr(from, text.find('\'', from) - from);
  };
  std::vector<GroupFace> faces;
  std::string file;
  for (std::size_t at = text.find('<'); at != std::string::npos; at = text.find('<', at + 1)) {
    if (!text.compare(at, 7, "<image ")) file = attribute(at, "file");
    if (!text.compare(at, 5, "<box "))
      faces.push_back({file, std::stof(attribute(at, "left")), std::stof(attribute(at, "top")),
                       std::stof(attribute(at, "width")), std::stof(attribute(at, "height"))});
  }
  return faces;
}

Record genuine_record(std::string filename, std::string subject, std::string split, std::string domain,
                      const Box& box) {
  Record r;
  r.filename = std::move(filename), r.subject = std::move(subject), r.split = std::move(split),
  r.domain = std::move(domain);
  r.label = Label{};
  r.box = box;
  return r;
}

// One person's chips, copied to out/photos/<person>.
void add_person(Manifest& to, const fs::path& person, const std::string& split, const fs::path& out) {
  const std::string name = person.filename().string();
  const fs::path folder = fs::path("photos") / name;
  fs::create_directories(out / folder);
  for (const fs::path& file : sorted_entries(person, false)) {
    const Box box = chip_box(decode_image(file.string()));
    const std::string kept = (folder / file.filename()).string();
    write_file_atomically(out / kept, read_file(file), Durable::eventually);
    to.records.push_back(genuine_record(kept, name, split, "johns", box));
  }
}

// Faces cut out of the group photographs with room around them, each a person of its own. dlib's boxes end at the
// brows: the forehead is added.
void add_group_faces(Manifest& to, const fs::path& faces, int smallest, const std::string& split, const fs::path& out) {
  fs::create_directories(out / "photos" / "group");
  std::map<std::string, int> count;
  for (const char* xml : {"training.xml", "testing.xml"})
    for (const GroupFace& f : read_boxes(faces / xml)) {
      const std::string stem = fs::path(f.file).stem().string(), subject = str(stem, "-", ++count[stem]);
      if (f.width < float(smallest)) continue;
      const Image photo = decode_image((faces / f.file).string());
      const float top = f.top - 0.15f * f.height, room = 0.5f * f.width;
      const auto edge = [](float v, int limit) { return std::clamp(int(v), 0, limit); };
      const int x1 = edge(f.left - room, photo.width), x2 = edge(f.left + f.width + room, photo.width),
                y1 = edge(top - room, photo.height), y2 = edge(f.top + f.height + room, photo.height);
      Image crop(y2 - y1, x2 - x1);
      for (int y = 0; y < crop.height; ++y) std::copy_n(photo.at(y1 + y, x1), 3 * crop.width, crop.at(y, 0));
      const std::string kept = str("photos/group/", subject, ".png");
      write_png((out / kept).string(), crop);
      to.records.push_back(genuine_record(kept, subject, split, "group",
                                          {f.left - float(x1), std::max(0.0f, top - float(y1)),
                                           f.left + f.width - float(x1), f.top + f.height - float(y1)}));
    }
}

// The manifest's filenames, seen from the folder above.
Manifest below(Manifest m, const std::string& folder) {
  for (Record& r : m.records) {
    r.filename = folder + "/" + r.filename;
    if (!r.pair_filename.empty()) r.pair_filename = folder + "/" + r.pair_filename;
  }
  return m;
}

}  // namespace

int run_demo_data(int argc, char** argv) {
  std::string photos, out, group = "train", control = "none";
  std::vector<std::string> trained{"print", "replay", "cutout"}, held_out{"face_swap"}, test_names;
  int test_people = 2, smallest = 50;
  RenderPlan plan;
  plan.include_genuine = true;
  plan.per_image = 2;
  CLI::App app(
      "Makes a data set, split by person, from the photographs in Debian's package libdlib19.1\n"
      "(apt-get download libdlib19.1 && dpkg-deb -x libdlib19.1_*.deb DIR).\n"
      "Writes OUT/train.csv, OUT/test.csv (OUT/val.csv if asked for) and the files they list.",
      "bonafide demo-data");
  app.add_option("--photos", photos, "folder of the extracted package")->required();
  app.add_option("--out", out, "folder to write to")->required();
  app.add_option("--seed", plan.seed, "seed of the split and of all draws")->capture_default_str();
  app.add_option("--test-people", test_people, "how many people are for the test")
      ->check(CLI::Range(1, 4))
      ->capture_default_str();
  app.add_option("--test-names", test_names, "or which ones, by folder name, separated by commas")->delimiter(',');
  app.add_option("--attacks", plan.per_image, "test attacks of each species from each photograph")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--species", trained, "test species that training may render too")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--held-out", held_out, "test species kept out of training ('none': none)")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--group-faces", group, "where faces cut out of the group photographs go")
      ->check(CLI::IsMember({"train", "val", "none"}))
      ->capture_default_str();
  app.add_option("--smallest-face", smallest, "narrowest box of a group face, pixels")->capture_default_str();
  app.add_option("--control", control,
                 "reencode: the test's attacks are genuine captures drawn once more, which nothing "
                 "should tell from genuine ones")
      ->check(CLI::IsMember({"none", "reencode"}))
      ->capture_default_str();
  app.add_option("--size", plan.simulator.size, "side of the test captures in pixels")
      ->check(CLI::Range(32, 2048))
      ->capture_default_str();
  if (!parse_words(app, argc, argv)) return kExitOk;
  if (held_out == std::vector<std::string>{"none"}) held_out.clear();
  const std::vector<Label> seen = parse_species(trained), unseen = parse_species(held_out);
  for (const Label& l : unseen)
    if (std::find(seen.begin(), seen.end(), l) != seen.end())
      throw UsageError(str("species ", l.name(), " is in --species and in --held-out"));

  if (!fs::is_directory(photos)) throw Error(photos + ": is no folder");
  const fs::path johns = find_folder(photos, "johns");
  if (johns.empty()) throw Error(photos + ": no folder 'johns' in it (expected the extracted package libdlib19.1)");
  const fs::path faces = find_folder(johns.parent_path(), "faces");
  std::vector<fs::path> people = sorted_entries(johns, true);
  std::vector<std::string> chosen = test_names;
  if (chosen.empty()) {
    Random random(plan.seed, "demo people");
    const auto order = random.permutation(std::int64_t(people.size()));
    for (int i = 0; i < test_people && i < int(people.size()); ++i)
      chosen.push_back(people[std::size_t(order[std::size_t(i)])].filename().string());
  }
  for (const std::string& name : chosen)
    if (std::none_of(people.begin(), people.end(), [&](const fs::path& p) { return p.filename() == name; }))
      throw UsageError(str("--test-names: ", johns.string(), " has no folder '", name, "'"));
  if (chosen.size() >= people.size())
    throw Error(str(johns.string(), ": ", people.size(), " people, ", chosen.size(),
                    " of them for the test: nobody is left to train on"));

  Manifest train, test, val;
  train.origin = test.origin = val.origin = johns.string();
  for (const fs::path& person : people) {
    const bool for_test = std::find(chosen.begin(), chosen.end(), person.filename().string()) != chosen.end();
    add_person(for_test ? test : train, person, for_test ? "test" : "train", out);
  }
  if (group != "none") {
    if (faces.empty()) throw Error(photos + ": no folder 'faces' in it (--group-faces none goes without)");
    add_group_faces(group == "val" ? val : train, faces, smallest, group, out);
  }

  const FileImageSource source(out);
  plan.species = seen;
  if (control == "none")
    plan.species.insert(plan.species.end(), unseen.begin(), unseen.end());
  else
    plan.species = {kRecoded};
  std::vector<std::pair<std::string, Manifest>> lists{{"train", train}};
  lists.emplace_back("test", below(render_files(test, source, fs::path(out) / "test", plan), "test"));
  if (group == "val") {
    if (control == "none") plan.species = seen;
    lists.emplace_back("val", below(render_files(val, source, fs::path(out) / "val", plan), "val"));
  }
  for (const auto& [name, list] : lists) {
    const std::string file = (fs::path(out) / (name + ".csv")).string();
    write_manifest(file, list);
    std::printf("%s  %s", file.c_str(), list.summary().c_str());
  }
  std::string names;
  for (const std::string& name : chosen) names += str(names.empty() ? "" : ", ", name);
  std::printf("people of the test: %s\n", names.c_str());
  return kExitOk;
}

}  // namespace bonafide
