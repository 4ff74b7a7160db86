// apps/eval.cpp — `bonafide eval`: scores a list of photographs and, where it has labels, says how good the scores are.
#include <algorithm>
#include <cstdio>
#include <set>
#include <thread>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/image_files.h"
#include "apps/common/open_source.h"
#include "apps/common/scoring.h"
#include "data/augment.h"
#include "data/csv.h"
#include "data/metrics/report.h"
#include "engine/zip.h"
#include "engine/checkpoint.h"
#include "engine/files.h"
#include "layers/weights.h"

namespace bonafide {
namespace {

struct Options {
  std::string checkpoint, protocol, manifest, split, root_dir, bbox_csv, output = "submission.txt", backbone = "convnextv2_tiny";
  std::string scores, report_dir, contact_sheet, device = "auto", gpus, precision = "f32";
  int proj_dim = 128, batch_size = 32, num_workers = -1, image_size = 224;
  double threshold = 0;
  bool no_zip = false, has_threshold = false;
};

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  CLI::App app("Scores photographs with a trained detector. Score = P(attack).", "bonafide eval");
  app.add_option("--checkpoint", o.checkpoint, "model file, checkpoint folder, run folder, or weights of PyTorch (.pth, .pt, .bin)")->required();
  auto* list = app.add_option_group("list", "what to score (one of the two)");
  list->add_option("--protocol", o.protocol, "protocol file: `path label` or `path` a line");
  list->add_option("--manifest", o.manifest, "manifest CSV");
  list->require_option(1);
  app.add_option("--split", o.split, "only this split of the manifest");
  app.add_option("--root-dir", o.root_dir, "folder the paths are relative to, or a packed file");
  app.add_option("--bbox-csv", o.bbox_csv, "face boxes for --protocol; without one the whole image is the face");
  app.add_option("--output", o.output, "one `path score` line an entry, in order; the zip stands beside it")->capture_default_str();
  app.add_flag("--no-zip", o.no_zip, "write no zip");
  app.add_option("--scores", o.scores, "scores with labels and subjects as CSV");
  app.add_option("--report-dir", o.report_dir, "folder for metrics.json, metrics.csv, species.csv");
  app.add_option("--contact-sheet", o.contact_sheet, "PNG of all faces with their scores");
  auto* threshold = app.add_option("--threshold", o.threshold, "attack from this score on; default: the model file's, else this set's EER");
  app.add_option("--batch-size", o.batch_size, "images")->capture_default_str()->check(CLI::Range(1, 65536));
  app.add_option("--num-workers", o.num_workers, "decoding threads; -1: one per core")->capture_default_str()->check(CLI::Range(-1, 1024));
  app.add_option("--device", o.device, "auto takes a usable GPU, else the CPU")->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--gpus", o.gpus, "number of the GPU to use, from 0");
  app.add_option("--precision", o.precision, "tf32 is a GPU's; auto is bf16 on a GPU")->capture_default_str()->check(CLI::IsMember({"auto", "f32", "tf32", "bf16"}));
  auto* published = app.add_option_group("published", "for weights without this program's metadata");
  published->add_option("--backbone", o.backbone, "architecture")->capture_default_str();
  published->add_option("--proj-dim", o.proj_dim, "width of the projection head")->capture_default_str();
  published->add_option("--image-size", o.image_size, "input size")->capture_default_str();
  if (!parse_words(app, argc, argv)) return std::nullopt;
  o.has_threshold = threshold->count() > 0;
  if (!o.contact_sheet.empty()) require_image_files("--contact-sheet");
  return o;
}

// A model file of ours says everything itself; a bare state dict of the published system needs the three options.
struct Loaded {
  ChosenDevice device;
  ChosenPrecision precision;
  Context context;
  std::unique_ptr<PairedModel> model;
  ModelInfo info;
  Loaded(const ChosenDevice& d, const std::string& p) : device(d), precision(choose_precision(p, d.device)), context(d.device) {
    context.set_f32_products(precision.f32_products);
  }
};
std::unique_ptr<Loaded> load(const Options& o) {
  std::filesystem::path file = o.checkpoint;
  if (std::filesystem::is_directory(file)) file = find_checkpoint(file) / "model.safetensors";
  auto l = std::make_unique<Loaded>(choose_device(o.device, o.gpus), o.precision);
  const DType compute = l->precision.compute;
  const WeightFile f(file);
  if (f.metadata().count("bonafide.format")) {
    l->model = load_model(l->context, file, &l->info, compute);
    return l;
  }
  l->info.architecture = {ConvNeXtV2Config::by_name(o.backbone), o.proj_dim};
  l->info.input_size = o.image_size;
  l->model = std::make_unique<PairedModel>(l->context, l->info.architecture, compute);
  load_strict(l->model->parameters(), f);
  return l;
}

std::shared_ptr<const Manifest> read_list(const Options& o) {
  if (!o.protocol.empty()) {
    std::optional<BoxTable> boxes;
    if (!o.bbox_csv.empty()) boxes = read_box_csv(o.bbox_csv);
    return std::make_shared<const Manifest>(manifest_from_protocol(read_protocol(o.protocol, {.first_column_only = true}),
                                                                   boxes ? &*boxes : nullptr, {.keep_duplicates = true}));
  }
  Manifest m = read_manifest(o.manifest);
  return std::make_shared<const Manifest>(o.split.empty() ? std::move(m) : m.only_split(o.split));
}

// One line an entry, five decimals, no newline after the last: what the challenge's server takes.
std::string submission(const Manifest& list, const std::vector<double>& scores) {
  std::string text;
  char number[32];
  for (std::size_t i = 0; i < scores.size(); ++i) {
    std::snprintf(number, sizeof number, "%.5f", scores[i]);
    text += (i ? "\n" : "") + list.records[i].filename + " " + number;
  }
  return text;
}

void write_scores(const std::string& path, const Manifest& list, const std::vector<double>& scores, const std::vector<float>& logits) {
  CsvWriter csv(path, {"filename", "subject", "attack_type", "split", "score", "logit", "full_frame"});
  char score[32], logit[32];
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Record& r = list.records[i];
    std::snprintf(score, sizeof score, "%.9g", scores[i]);
    std::snprintf(logit, sizeof logit, "%.9g", double(logits[i]));
    csv.row({r.filename, r.subject, r.label ? r.label->code() : "", r.split, score, logit, r.box.valid() ? "0" : "1"});
  }
  csv.commit();
}

// Each species' AUC against all genuine faces, then the AUC over the species that the model was trained on (over all of
// them where it does not say): what the detector was made for, and what it has never seen, kept apart.
void print_aucs(const ModelInfo& info, const Manifest& list, const std::vector<double>& scores, const Report& report) {
  const auto trained = [&](const Label& l) {
    return info.trained_species.empty() || std::count(info.trained_species.begin(), info.trained_species.end(), l) > 0;
  };
  for (const SpeciesReport& s : report.species)
    std::printf("AUC %-12s %.4f (%lld attacks%s)\n", s.species.name().c_str(), s.auc, static_cast<long long>(s.apcer.n),
                trained(s.species) ? "" : ", not in training");
  std::vector<double> part;
  std::vector<Label> labels;
  std::set<std::string> people;
  std::int64_t genuine = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Record& r = list.records[i];
    if (!r.label || (r.attack() && !trained(*r.label))) continue;
    part.push_back(scores[i]), labels.push_back(*r.label);
    genuine += r.genuine();
    if (!r.subject.empty()) people.insert(r.subject);
  }
  if (genuine == std::int64_t(part.size())) {
    std::printf("no attack of a species that the model was trained on\n");
    return;
  }
  std::printf("AUC %.4f (%lld genuine, %lld attacks, ", RocTable(part, labels).auc(), static_cast<long long>(genuine),
              static_cast<long long>(part.size()) - static_cast<long long>(genuine));
  people.empty() ? std::printf("people unknown)\n") : std::printf("%zu people)\n", people.size());
}

// Every face as the network saw it, genuine first, species by species.
void write_sheet(const std::string& path, const Manifest& list, const std::vector<double>& scores, const ImageSource& source,
                 const ModelInfo& info, double threshold) {
  std::vector<std::size_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return list.records[a].label < list.records[b].label; });
  std::vector<SheetTile> tiles;
  for (const std::size_t i : order) {
    const Record& r = list.records[i];
    Image face(info.input_size, info.input_size);
    make_sample(source.load(r.filename), r.box, info.crop_margin, {}, {}, info.input_size, info.input_size, face.pixels);
    tiles.push_back({std::move(face), r.label ? r.label->name() : "unlabelled", scores[i], r.attack(), scores[i] >= threshold});
  }
  char title[96];
  std::snprintf(title, sizeof title, "P(attack); red frame: called attack (>= %.4f)", threshold);
  write_contact_sheet(path, tiles, title);
}

}  // namespace

int run_eval(int argc, char** argv) {
  const auto options = parse(argc, argv);
  if (!options) return kExitOk;
  const Options& o = *options;
  const auto loaded = load(o);
  const auto list = read_list(o);
  for (const std::filesystem::path file : {o.output, o.scores, o.contact_sheet})  // before anything is scored
    if (file.has_parent_path()) std::filesystem::create_directories(file.parent_path());
  std::fprintf(stderr, "device %s, precision %s\n%s", loaded->device.words.c_str(), loaded->precision.name.c_str(), list->summary().c_str());
  const auto source = open_source(o.root_dir, loaded->info.crop_margin);
  const int workers = o.num_workers >= 0 ? o.num_workers : int(std::max(1u, std::thread::hardware_concurrency()));
  const Detector detector(*loaded->model, loaded->info);
  const auto logits = score_manifest(detector, list, source, o.batch_size, workers);

  std::vector<double> scores;
  std::vector<std::optional<Label>> labels;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    scores.push_back(probability(logits[i]));
    labels.push_back(list->records[i].label);
  }
  const std::string text = submission(*list, scores);
  write_file_atomically(o.output, text);
  std::printf("scores       %s (%zu entries)\n", o.output.c_str(), scores.size());
  if (!o.no_zip) {
    auto zip = std::filesystem::path(o.output).replace_extension(".zip");
    write_zip(zip, std::filesystem::path(o.output).filename().string(), text);
    std::printf("zip          %s\n", zip.string().c_str());
  }
  if (!o.scores.empty()) {
    write_scores(o.scores, *list, scores, logits);
    std::printf("scores CSV   %s\n", o.scores.c_str());
  }

  const bool any_label = std::any_of(labels.begin(), labels.end(), [](const auto& l) { return l.has_value(); });
  if (!any_label) {
    std::printf("no labels in the list: nothing to measure\n");
    return kExitOk;
  }
  std::optional<Threshold> threshold;
  if (o.has_threshold) threshold = Threshold{o.threshold, "--threshold", false};
  else if (const auto& t = loaded->info.threshold) threshold = Threshold{t->value, "model file (" + t->criterion + ")", false};
  const Report report = make_report(scores, labels, threshold);
  std::printf("%s", to_table(report).c_str());
  if (!o.report_dir.empty()) {
    write_report(o.report_dir, report);
    std::printf("report       %s\n", o.report_dir.c_str());
  }
  if (!o.contact_sheet.empty()) {
    write_sheet(o.contact_sheet, *list, scores, *source, loaded->info, report.threshold.value);
    std::printf("faces        %s\n", o.contact_sheet.c_str());
  }
  print_aucs(loaded->info, *list, scores, report);
  return kExitOk;
}

}  // namespace bonafide
