// apps/check.cpp — `bonafide check`: what is wrong with lists, photographs and embeddings, before any training minute.
#include <omp.h>

#include <cstdio>
#include <optional>

#include "apps/commands.h"
#include "apps/common/build_info.h"
#include "apps/common/command_line.h"
#include "apps/common/device.h"
#include "apps/common/image_files.h"
#include "apps/common/journaled_run.h"
#include "apps/common/open_source.h"
#include "data/check.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> lists, severities;
  std::string root, embeddings, decode = "full", json = "data.json", fail_on = "error", device = "auto", gpus;
  int workers = -1, shown = 5;
  bool restart = false;
  CheckSettings settings;
};

std::string names_of_checks() {
  std::string all;
  for (const auto& [name, severity] : checks()) all += str(all.empty() ? "" : ", ", name);
  return all;
}

bool parse(Options& o, int argc, char** argv) {
  CLI::App app(
      "Looks for what is wrong with the data before anything is trained on it. Prints a report and writes all of it as JSON.\n"
      "Exit code 3 where there is a finding of severity error. Checks: " + names_of_checks() + ".",
      "bonafide check");
  CheckSettings& s = o.settings;
  const auto share = CLI::Range(0.0, 1.0);
  app.add_option("--manifest", o.lists, "manifest, published list or protocol (several: once for each)")
      ->required()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--root,--root-dir", o.root, "folder that the lists' paths start from, or a packed file (default: the first list's folder)");
  app.add_option("--embeddings", o.embeddings, "embeddings file: people and nearly the same pictures across splits, probable label errors");
  app.add_option("--decode", o.decode, "of each photograph: full, every pixel; header, its size alone, no perceptual hash; none")
      ->check(CLI::IsMember({"full", "header", "none"}))->capture_default_str();
  app.add_option("--json", o.json, "where the whole report goes")->capture_default_str();
  app.add_option("--rows", o.shown, "rows printed for each finding")->check(CLI::Range(0, 1000000))->capture_default_str();
  app.add_option("--json-rows", s.most_rows, "rows written for each finding")->check(CLI::Range(0, 100000000))->capture_default_str();
  app.add_option("--fail-on", o.fail_on, "least severity that makes the exit code 3")->check(CLI::IsMember({"note", "warning", "error", "never"}))->capture_default_str();
  app.add_option("--severity", o.severities, "other severities for some checks: near-duplicates=warning,no-face=error")->delimiter(',');
  app.add_option("--min-images", s.min_images, "fewest images of a species in a split")->check(CLI::Range(0, 1000000000))->capture_default_str();
  app.add_option("--max-no-face", s.max_no_face, "largest share of a species in a split without a face box")->check(share)->capture_default_str();
  app.add_option("--max-outside", s.max_outside, "largest share of a box outside its photograph")->check(share)->capture_default_str();
  app.add_option("--hash-distance", s.hash_distance, "bits of 64 in which perceptual hashes of nearly the same picture differ at most")
      ->check(CLI::Range(0, 16))->capture_default_str();
  app.add_option("--near-duplicate", s.near_duplicate, "similarity of embeddings of nearly the same picture")->check(CLI::Range(-1.0, 1.0))->capture_default_str();
  app.add_option("--same-person", s.same_person, "similarity of embeddings that suggests one person")->check(CLI::Range(-1.0, 1.0))->capture_default_str();
  app.add_option("--neighbours", s.neighbours, "nearest embeddings of its own and of other species that a photograph is compared with")
      ->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--label-margin", s.label_margin, "by how much the others may be nearer on average")->check(CLI::Range(0.0, 2.0))->capture_default_str();
  app.add_option("-j,--workers", o.workers, "photographs at a time; -1: one per core")->check(CLI::Range(-1, 1024))->capture_default_str();
  app.add_option("--device", o.device, "for embeddings; auto takes a usable GPU, else the CPU")->capture_default_str()->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--gpus", o.gpus, "number of the GPU to use, from 0");
  app.add_flag("--restart", o.restart, "forget what an earlier, unfinished start of another command found");
  if (!parse_words(app, argc, argv)) return false;
  if (o.workers == 0) throw UsageError("--workers 0: expected at least 1, or -1 for one per core");
  if (o.root.empty()) o.root = fs::path(o.lists.front()).parent_path().string();
  for (const std::string& word : o.severities) {
    const std::size_t at = word.find('=');
    const std::string name = word.substr(0, at), value = at == word.npos ? "" : word.substr(at + 1);
    const auto known = std::any_of(checks().begin(), checks().end(), [&](const auto& c) { return c.first == name; });
    if (!known) throw UsageError(str("--severity ", word, ": no check has this name (", names_of_checks(), ")"));
    const auto level = value == "note" ? Severity::note : value == "warning" ? Severity::warning : Severity::error;
    if (value != name_of(level)) throw UsageError(str("--severity ", word, ": expected check=note, check=warning or check=error"));
    s.severity[name] = level;
  }
  return true;
}

// What ends a check of the data before it begins is a finding as well.
Finding unreadable(const Options& o, const std::string& check, const std::string& what, const Error& e) {
  const auto it = o.settings.severity.find(check);
  return {it == o.settings.severity.end() ? Severity::error : it->second, check, what, 1, {e.what()}};
}

std::vector<CheckedList> read_lists(const Options& o, std::vector<Finding>& problems) {
  std::vector<CheckedList> lists;
  std::map<std::string, int> names;
  for (const std::string& path : o.lists) {
    read_file(path);  // one that is not there is no finding
    std::string name = fs::path(path).stem().string();
    if (const int n = ++names[name]; n > 1) name += str("-", n);
    try {
      lists.push_back({read_any_list(path, {}, {.keep_rejected = true}), name});
    } catch (const Error& e) {
      problems.push_back(unreadable(o, "list", "a list cannot be read", e));
    }
  }
  return lists;
}

std::shared_ptr<const ImageProbe> open_probe(const std::string& root) {
  std::error_code ignored;
  if (fs::is_regular_file(root, ignored)) return std::make_shared<PackedImageProbe>(root);
  return open_image_probe(root);
}

// Every photograph looked at; nothing when it was stopped.
std::optional<std::vector<CheckedImage>> look_at_images(const Options& o, const std::vector<CheckedList>& lists, const ImageProbe& probe,
                                                        std::optional<WorkList>& work) {
  std::vector<CheckedImage> images = images_of(lists);
  InputFingerprint fingerprint;
  std::vector<std::string> names;
  for (const CheckedImage& i : images) {
    const Box& b = lists[i.list].manifest.records[i.record].box;
    names.push_back(i.filename);
    fingerprint.add(str(format_number(b.x1), " ", format_number(b.y1), " ", format_number(b.x2), " ", format_number(b.y2)));
  }
  fingerprint.add(str(photographs_fingerprint(o.root, names)));
  work.emplace(WorkPlan{.journal = o.json + ".journal", .command = "check --decode " + o.decode, .inputs = std::int64_t(images.size()),
                        .fingerprint = fingerprint.value(), .restart = o.restart});
  const StopSignals signals;
  const bool finished = run_journaled(signals, {"check", work->done(), work->rejected(), work->inputs(), o.workers}, [&](const WorkRun& how) {
    return work->run(how, [&](std::int64_t i) { return probe_result(probe, lists, images[std::size_t(i)], o.decode == "full"); });
  });
  if (!finished) return std::nullopt;
  work->for_each([&](std::int64_t i, const WorkResult& r) {
    CheckedImage& image = images[std::size_t(i)];
    if (!r.rejected) return set_result(image, r.text);
    image.problem = r.text, image.missing = r.text == "missing";
  });
  return images;
}

}  // namespace

int run_check(int argc, char** argv) {
  Options o;
  if (!parse(o, argc, argv)) return kExitOk;
  std::vector<Finding> problems;
  std::map<std::string, std::string> provenance{{"program", version_line()}, {"root", o.root}};
  const std::vector<CheckedList> lists = read_lists(o, problems);
  for (std::size_t i = 0; i < o.lists.size(); ++i) provenance[str("list ", i + 1)] = str(o.lists[i], " ", file_digest(o.lists[i]));
  if (const fs::path folder = fs::path(o.json).parent_path(); !folder.empty()) fs::create_directories(folder);

  std::optional<std::vector<CheckedImage>> images = std::vector<CheckedImage>();
  std::optional<WorkList> work;
  if (o.decode != "none" && !lists.empty()) {
    std::shared_ptr<const ImageProbe> probe;
    try {
      probe = open_probe(o.root);
    } catch (const UsageError&) {
      throw;
    } catch (const Error& e) {
      problems.push_back(unreadable(o, "paths", "the packed photographs cannot be read", e));
    }
    if (probe) images = look_at_images(o, lists, *probe, work);
    if (!images) return kExitInterrupted;
  }

  std::optional<EmbeddingsFile> embeddings;
  std::optional<Context> ctx;
  if (!o.embeddings.empty()) {
    std::error_code ignored;
    if (!fs::exists(o.embeddings, ignored)) throw Error(o.embeddings + ": there is no such file");
    provenance["embeddings"] = str(o.embeddings, " ", file_digest(o.embeddings));
    try {
      embeddings.emplace(o.embeddings);
    } catch (const Error& e) {
      problems.push_back(unreadable(o, "embeddings", "the embeddings cannot be read", e));
    }
    if (o.workers > 0) omp_set_num_threads(o.workers);
    if (embeddings) ctx.emplace(choose_device(o.device, o.gpus).device);
  }
  CheckReport report = check(lists, *images, o.decode == "full", embeddings ? &*embeddings : nullptr, ctx ? &*ctx : nullptr, o.settings);
  report.findings.insert(report.findings.begin(), problems.begin(), problems.end());
  write_file_atomically(o.json, to_json(report, o.settings, provenance));
  if (work) work->remove();
  std::fputs(to_text(report, o.shown).c_str(), stdout);
  std::printf("report       %s\n", o.json.c_str());

  const std::int64_t bad = o.fail_on == "never" ? 0
                           : report.count(Severity::error) + (o.fail_on != "error" ? report.count(Severity::warning) : 0) +
                                 (o.fail_on == "note" ? report.count(Severity::note) : 0);
  return bad > 0 ? kExitDataCheck : kExitOk;
}

}  // namespace bonafide
