// apps/synth.cpp — `bonafide synth`: files of simulated attacks from genuine photographs.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/species_list.h"
#include "data/images/decode.h"
#include "data/images/render_files.h"
#include "data/list_folder.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

// Every image below a folder, taken for genuine; the folder it lies in is the person.
Manifest photographs_below(const fs::path& folder) {
  Manifest m = manifest_of_folder(folder, list_folder(folder));
  for (Record& r : m.records) r.subject = fs::path(r.filename).parent_path().string(), r.label = Label{};
  return m;
}

}  // namespace

int run_synth(int argc, char** argv) {
  std::string manifest_path, src, root, dst, split;
  std::vector<std::string> species{"print", "replay", "cutout"};
  RenderPlan plan;
  CLI::App app(
      "Renders attacks from genuine photographs: " +
          [] {
            std::string all;
            for (const Label& l : PhotoSimulator::species()) all += str(all.empty() ? "" : ", ", l.name());
            return all + ".\nWrites DST/<species>/*.jpg and DST/manifest.csv. The same seed gives the same files.";
          }(),
      "bonafide synth");
  auto* from = app.add_option_group("input");
  from->add_option("--manifest", manifest_path, "manifest CSV of photographs; only its genuine rows are used");
  from->add_option("--src", src, "or a folder: every image below it is taken for genuine, its folder for the person");
  from->require_option(1);
  app.add_option("--root", root, "folder the manifest's filenames are relative to (default: the manifest's)");
  app.add_option("--dst", dst, "folder to write to")->required();
  app.add_option("--species", species, "names or label codes, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--per-image", plan.per_image, "renders of each species from each photograph")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--seed", plan.seed, "seed of all draws")->capture_default_str();
  app.add_flag("--include-genuine", plan.include_genuine, "also one genuine capture of each, through the same camera");
  app.add_option("--split", split, "use only the rows of this split");
  app.add_option("--size", plan.simulator.size, "side of the captures in pixels")
      ->check(CLI::Range(32, 2048))
      ->capture_default_str();
  app.add_option("--quality", plan.jpeg_quality, "JPEG quality of the files")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  if (!parse_words(app, argc, argv)) return kExitOk;
  plan.species = parse_species(species, true);

  Manifest photographs = src.empty() ? read_any_list(manifest_path) : photographs_below(src);
  if (!split.empty()) photographs = photographs.only_split(split);
  if (root.empty()) root = src.empty() ? fs::path(manifest_path).parent_path().string() : src;
  Manifest rendered = render_files(photographs, FileImageSource(root), dst, plan);
  rendered.dropped.insert(rendered.dropped.end(), photographs.dropped.begin(), photographs.dropped.end());
  const std::string list = (fs::path(dst) / "manifest.csv").string();
  write_manifest(list, rendered);
  std::printf("%s%s: %zu files listed\n", rendered.summary().c_str(), list.c_str(), rendered.records.size());
  return kExitOk;
}

}  // namespace bonafide
