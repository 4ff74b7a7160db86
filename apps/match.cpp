// apps/match.cpp — `bonafide match`: pairs every attack with the genuine face nearest to it, and says what that does to the data.
#include <omp.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "apps/commands.h"
#include "apps/common/build_info.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/progress.h"
#include "apps/common/signals.h"
#include "data/csv.h"
#include "data/match_report.h"
#include "data/work_list.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string list, split, embeddings, embeddings_dir, data_dir, output_csv, output_manifest, report_dir;
  std::string mode = "nearest", unmatched = "drop", device = "auto", gpus, progress_desc = "matching";
  std::vector<std::string> species_thresholds;
  MatchSettings match;
  MatchReportSettings report;
  int workers = -1;
  std::int64_t batch_size = 0;
  bool allow_lost_species = false;
};

std::optional<Options> parse(int argc, char** argv) {
  Options o;
  CLI::App app("Pairs every attack with the genuine face that is nearest by the cosine similarity of their embeddings, as the\n"
               "published filter_train.py does, and reports what each species keeps. Exit code 3, and no list, where a species\n"
               "would lose every sample. Stopped or killed, the same command goes on where it was.",
               "bonafide match");
  app.add_option("--clean-df-path,--manifest", o.list, "what to match: manifest, published list or protocol")->required();
  app.add_option("--split", o.split, "only this split");
  auto* from = app.add_option_group("embeddings", "one of the two");
  from->add_option("--embeddings", o.embeddings, "embeddings file");
  from->add_option("--embeddings-dir", o.embeddings_dir, "folder of .npy files, flat or a mirror of the photographs' tree");
  from->require_option(1);
  app.add_option("--data-dir", o.data_dir, "folder the photographs' paths are relative to; only to find .npy files by");
  app.add_option("--sim-thr", o.match.threshold, "least cosine similarity of a pair (the paper: 0.90)")->capture_default_str()->check(CLI::Range(-1.0, 1.0));
  app.add_option("--sim-thr-species", o.species_thresholds, "others for some species: print=0.7,1_0_1=0.75")->delimiter(',');
  app.add_option("--output-csv", o.output_csv, "the published paired list (default where --output-manifest is not given: train_matched.csv)");
  app.add_option("--output-manifest", o.output_manifest, "the manifest, with all rows, partners and reasons");
  app.add_option("--report-dir", o.report_dir, "folder for the report (default: <output>_report)");
  app.add_option("--progress-desc", o.progress_desc, "what progress lines begin with")->capture_default_str();
  app.add_option("--mode", o.mode, "nearest; mutual: only where the attack is also the genuine face's nearest of its species;\n"
                 "top-k: of the k nearest at or above the threshold the one with the fewest attacks so far")
      ->capture_default_str()->check(CLI::IsMember({"nearest", "mutual", "top-k"}));
  app.add_option("--top-k", o.match.k, "k of --mode top-k")->capture_default_str()->check(CLI::Range(1, 1000));
  app.add_flag("--same-subject", o.match.same_subject, "partners are of the attack's own subject");
  app.add_option("--unmatched", o.unmatched, "attacks without a partner: drop, or class-partner: keep them with a drawn genuine face")
      ->capture_default_str()->check(CLI::IsMember({"drop", "class-partner"}));
  app.add_option("--seed", o.match.seed, "seed of the drawn partners")->capture_default_str();
  app.add_flag("--allow-lost-species", o.allow_lost_species, "write the list although a species loses every sample");
  app.add_option("--retention-thr", o.report.thresholds, "thresholds to count retention at")->delimiter(',')->capture_default_str()->check(CLI::Range(-1.0, 1.0));
  app.add_option("--near-duplicate", o.report.near_duplicate, "similarity from which a pair is reported as near-duplicate")
      ->capture_default_str()->check(CLI::Range(-1.0, 1.0));
  app.add_option("--batch-size", o.batch_size, "attacks that are compared at a time, which is what a kill loses at most; 0: some seconds of a CPU")
      ->capture_default_str()->check(CLI::Range(0, 1 << 20));
  app.add_option("-j,--workers", o.workers, "threads; -1: one per core")->capture_default_str()->check(CLI::Range(-1, 1024));
  app.add_option("--device", o.device, "auto takes a usable GPU, else the CPU")->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--gpus", o.gpus, "number of the GPU to use, from 0");
  if (!parse_words(app, argc, argv)) return std::nullopt;

  if (o.workers == 0) throw UsageError("--workers 0: expected at least 1, or -1 for one per core");
  o.match.mode = o.mode == "mutual" ? MatchMode::mutual : o.mode == "top-k" ? MatchMode::top_k : MatchMode::nearest;
  o.match.class_partners = o.unmatched == "class-partner";
  for (const std::string& word : o.species_thresholds) {
    const std::size_t at = word.find('=');
    const auto species = Label::parse(word.substr(0, at));
    char* end = nullptr;
    const double t = at == word.npos ? 2 : std::strtod(word.c_str() + at + 1, &end);
    if (!species || species->genuine() || !end || *end || end == word.c_str() + at + 1 || !(t >= -1 && t <= 1))
      throw UsageError(str("--sim-thr-species ", word, ": expected species=similarity such as print=0.7"));
    if (!o.match.species_threshold.emplace(*species, t).second) throw UsageError(str("--sim-thr-species: ", species->name(), " twice"));
  }
  if (o.output_csv.empty() && o.output_manifest.empty()) o.output_csv = "train_matched.csv";
  if (o.report_dir.empty()) {
    const fs::path output = o.output_manifest.empty() ? o.output_csv : o.output_manifest;
    o.report_dir = (output.parent_path() / (output.stem().string() + "_report")).string();
  }
  return o;
}

// Rejected rows stay in the list: they are in the new one as well.
Manifest read_list(const Options& o) {
  const std::string text = read_file(o.list);
  const bool csv = std::string_view(text).substr(0, text.find('\n')).find(',') != std::string_view::npos;
  Manifest m = csv && CsvReader(text, o.list).find("filename") >= 0 ? read_manifest(o.list, {.keep_rejected = true}) : read_any_list(o.list);
  return o.split.empty() ? std::move(m) : m.only_split(o.split);
}

// What earlier starts found, unless it is of other vectors: then nothing of it can be used.
std::unique_ptr<WorkList> open_journal(const Options& o, const Matcher& matcher) {
  fs::create_directories(o.report_dir);
  WorkPlan plan{.journal = fs::path(o.report_dir) / "match.journal", .command = "match --mode " + o.mode, .inputs = matcher.blocks(),
                .fingerprint = matcher.fingerprint()};
  if (o.match.mode == MatchMode::top_k) plan.command += str(" --top-k ", o.match.k);
  std::unique_ptr<WorkList> work;
  try {
    work = std::make_unique<WorkList>(plan);
  } catch (const ForeignJournal&) {
    std::fprintf(stderr, "%s: is of other vectors or of another --mode or --batch-size: its results are not used\n", plan.journal.c_str());
    plan.restart = true;
    work = std::make_unique<WorkList>(plan);
  }
  remove_abandoned_files(o.report_dir);  // a kill while the report was written
  return work;
}

// All comparisons; false when it was stopped before.
bool compare(const Options& o, const StopSignals& signals, std::int64_t attacks, Matcher& matcher, WorkList& work) {
  if (work.done()) std::printf("going on: %lld of %lld blocks of comparisons are done\n", (long long)work.done(), (long long)work.inputs());
  std::fflush(stdout);
  Progress progress(stderr);
  const auto report = [&](double share, std::int64_t before) {
    progress.report(Progress::Count{.command = o.progress_desc, .done = std::int64_t(share * double(attacks)), .total = attacks,
                                    .before = before, .rejected = -1});
  };
  const std::int64_t before = work.done() ? std::int64_t(matcher.share(work.done()) * double(attacks)) : 0;
  report(matcher.share(work.done()), before);
  const bool finished = work.run_here({.stop = [&] { return signals.stop_requested(); }, .report = {}}, [&](std::int64_t block) {
    return matcher.find(block, [&](double share) { report(share, before); });
  });
  if (finished)
    work.for_each([&](std::int64_t block, const WorkResult& found) { matcher.set(block, found.text); });
  else
    progress.line(str("stopped: ", work.done(), " of ", work.inputs(), " blocks of comparisons are done; the same command goes on"));
  return finished;
}

}  // namespace

int run_match(int argc, char** argv) {
  const auto options = parse(argc, argv);
  if (!options) return kExitOk;
  const Options& o = *options;
  if (o.workers > 0) omp_set_num_threads(o.workers);
  const ChosenDevice device = choose_device(o.device, o.gpus);

  const Manifest list = read_list(o);
  std::map<std::string, std::string> provenance{{"program", version_line()}, {"list", o.list}, {"list_digest", file_digest(o.list)}};
  EmbeddingRows embeddings;
  if (!o.embeddings.empty()) {
    const auto file = std::make_shared<const EmbeddingsFile>(o.embeddings);
    provenance.insert({{"embeddings", o.embeddings}, {"embeddings_digest", file_digest(o.embeddings)}, {"embedder", file->info().embedder},
                       {"embedder_digest", file->info().embedder_digest}});
    embeddings = find_embeddings(file, list);
  } else {
    provenance["embeddings"] = o.embeddings_dir;
    embeddings = find_npy_embeddings(o.embeddings_dir, o.data_dir, list);
  }
  std::fprintf(stderr, "device %s\n", device.words.c_str());
  const std::int64_t attacks = std::count_if(list.records.begin(), list.records.end(), [](const Record& r) { return r.attack(); });
  Context ctx(device.device);
  Matcher matcher(ctx, list, embeddings, o.match, o.batch_size);
  const std::unique_ptr<WorkList> work = open_journal(o, matcher);
  const StopSignals signals;
  if (!compare(o, signals, attacks, matcher, *work)) return kExitInterrupted;
  const Matching matching = matcher.decide();

  const MatchReport report = make_match_report(list, matching, o.report);
  write_match_report(o.report_dir, list, matching, report, provenance);
  std::fputs(to_table(report).c_str(), stdout);
  std::printf("report       %s\n", o.report_dir.c_str());
  if (const auto lost = report.lost(); !lost.empty()) {
    std::string names;
    for (const std::string& n : lost) names += (names.empty() ? "" : ", ") + n;
    std::fprintf(stderr, "%s: no sample of %s is left%s\n", o.allow_lost_species ? "warning" : "bonafide match", names.c_str(),
                 o.allow_lost_species ? "" : ". No list was written. A lower --sim-thr or --sim-thr-species keeps some, --unmatched class-partner\n"
                                             "keeps all with drawn partners, --allow-lost-species goes on without them; the comparisons are kept");
    if (!o.allow_lost_species) return kExitDataCheck;
  }
  const Manifest matched = matched_list(list, matching, o.embeddings.empty() ? nullptr : &embeddings);
  if (!o.output_csv.empty()) {
    write_published_csv(o.output_csv, matched);
    std::printf("paired list  %s (%lld genuine, %lld pairs)\n", o.output_csv.c_str(), (long long)report.genuine,
                (long long)(report.pairs + report.class_pairs));
  }
  if (!o.output_manifest.empty()) {
    write_manifest(o.output_manifest, matched);
    std::printf("manifest     %s (%zu rows)\n", o.output_manifest.c_str(), matched.records.size());
  }
  work->remove();
  return kExitOk;
}

}  // namespace bonafide
