// apps/synth.cpp — `bonafide synth`: files of simulated attacks from genuine photographs.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/species_list.h"
#include "data/images/adversarial_files.h"
#include "data/images/decode.h"
#include "data/images/render_files.h"
#include "data/list_folder.h"
#include "data/model_file.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

// Every image below a folder, taken for genuine; the folder it lies in is the person.
Manifest photographs_below(const fs::path& folder) {
  Manifest m = manifest_of_folder(folder, list_folder(folder));
  for (Record& r : m.records) r.subject = fs::path(r.filename).parent_path().string(), r.label = Label{};
  return m;
}

// What is said of adversarial noise on the command line.
struct Adversarial {
  std::string model, method = "pgd", goal = "attack", device = "auto";
  AdversarialOptions options;

  void add_options(CLI::App& app) {
    auto* against = app.add_option("--against", model, "model file that pixel_adversarial is to deceive");
    const auto option = [&](const char* name, auto& value, const char* what) {
      return app.add_option(name, value, what)->needs(against)->capture_default_str();
    };
    option("--attack", method, "fgsm (one step) or pgd (many, from a random start)")->check(CLI::IsMember({"fgsm", "pgd"}));
    option("--goal", goal, "attack: genuine photographs are to pass for attacks; genuine: the manifest's attacks for genuine")
        ->check(CLI::IsMember({"attack", "genuine"}));
    option("--epsilon", options.epsilon, "levels of 255 that a value moves at most")->check(CLI::Range(1, 255));
    option("--steps", options.steps, "of pgd")->check(CLI::Range(1, 10000));
    option("--step-size", options.step_size, "levels of a step of pgd; 0: 2.5 epsilon / steps")->check(CLI::Range(0.0, 255.0));
    option("--device", device, "of the network: auto takes a usable GPU, else the CPU")
        ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  }

  Manifest files(const Manifest& photographs, const ImageSource& source, const std::string& dst, const RenderPlan& plan) {
    Context ctx(choose_device(device, "").device);
    ModelInfo info;
    const auto network = load_model(ctx, model, &info);
    options.method = method == "pgd" ? AdversarialOptions::Method::pgd : AdversarialOptions::Method::fgsm;
    std::pair<double, double> scores;
    Manifest m = adversarial_files(photographs, source, dst, PixelAdversary(*network, info, options),
                                   {.toward_attack = goal == "attack", .include_originals = plan.include_genuine, .seed = plan.seed},
                                   &scores);
    std::printf("%s against %s: mean P(attack) %.3f before, %.3f after\n", method.c_str(), model.c_str(), scores.first,
                scores.second);
    return m;
  }
};

void append(Manifest& to, Manifest&& from) {
  to.extra_columns = from.extra_columns;
  to.records.insert(to.records.end(), from.records.begin(), from.records.end());
  to.dropped.insert(to.dropped.end(), from.dropped.begin(), from.dropped.end());
}

}  // namespace

int run_synth(int argc, char** argv) {
  std::string manifest_path, src, root, dst, split;
  std::vector<std::string> species{"print", "replay", "cutout"};
  RenderPlan plan;
  Adversarial adversarial;
  CLI::App app(
      "Renders attacks from genuine photographs: " +
          [] {
            std::string all;
            for (const Label& l : PhotoSimulator::species()) all += str(all.empty() ? "" : ", ", l.name());
            return all + ";\nand pixel_adversarial, noise that deceives the model --against (PNG files of face crops).\n"
                         "Writes DST/<species>/*.jpg and DST/manifest.csv. The same seed gives the same files.";
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
  adversarial.add_options(app);
  if (!parse_words(app, argc, argv)) return kExitOk;
  const auto is_adversarial = [](const std::string& word) { return Label::parse(word) == kPixelAdversarial; };
  const bool deceives = std::erase_if(species, is_adversarial) > 0;
  if (deceives != !adversarial.model.empty())
    throw UsageError("pixel_adversarial among the --species and --against MODEL go together");
  plan.species = parse_species(species, true);

  Manifest photographs = src.empty() ? read_any_list(manifest_path) : photographs_below(src);
  if (!split.empty()) photographs = photographs.only_split(split);
  if (root.empty()) root = src.empty() ? fs::path(manifest_path).parent_path().string() : src;
  const FileImageSource source(root);
  Manifest rendered;
  rendered.origin = photographs.origin;
  if (!plan.species.empty()) append(rendered, render_files(photographs, source, dst, plan));
  if (deceives) append(rendered, adversarial.files(photographs, source, dst, plan));
  rendered.dropped.insert(rendered.dropped.end(), photographs.dropped.begin(), photographs.dropped.end());
  const std::string list = (fs::path(dst) / "manifest.csv").string();
  write_manifest(list, rendered);
  std::printf("%s%s: %zu files listed\n", rendered.summary().c_str(), list.c_str(), rendered.records.size());
  return kExitOk;
}

}  // namespace bonafide
