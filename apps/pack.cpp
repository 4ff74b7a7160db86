// apps/pack.cpp — `bonafide pack`: the faces of some lists as raw pixels in one file, to train from without decoding.
#include <cstdio>
#include <set>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "apps/common/journaled_run.h"
#include "apps/common/open_source.h"
#include "data/output_names.h"
#include "data/pack.h"
#include "engine/digest.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> lists;
  std::string root, dst;
  double margin = 1.3;
  int workers = -1;
  bool whole = false, restart = false;
};

bool parse(Options& o, int argc, char** argv) {
  CLI::App app(
      "Packs the photographs of some lists into one file that is mapped into memory: of each what crops up to --margin take,\n"
      "as raw pixels. Writes DST/images.pack, each list as DST/<name>.csv and DST/rejects.csv (filename,reason). Training and\n"
      "evaluation take DST/images.pack wherever they take a folder of photographs, and compute the same bits from it. Stopped\n"
      "or killed, the same command goes on where it was.",
      "bonafide pack");
  app.add_option("--manifest", o.lists, "manifest, published list or protocol (several: once for each)")
      ->required()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--root,--root-dir", o.root, "folder that the lists' paths start from, or a packed file (default: the first list's folder)");
  app.add_option("--dst", o.dst, "folder to write to")->required();
  app.add_option("--margin", o.margin, "largest margin of a crop about the face box")->check(CLI::Range(1.3, 16.0))->capture_default_str();
  app.add_flag("--whole", o.whole, "keep photographs whole, boxes or not: simulated attacks need that");
  app.add_option("-j,--workers", o.workers, "photographs at a time; -1: one per core")->check(CLI::Range(-1, 1024))->capture_default_str();
  app.add_flag("--restart", o.restart, "forget what an earlier, unfinished start of another command did in DST");
  if (!parse_words(app, argc, argv)) return false;
  if (o.workers == 0) throw UsageError("--workers 0: expected at least 1, or -1 for one per core");
  if (o.root.empty()) o.root = fs::path(o.lists.front()).parent_path().string();
  return true;
}

// How each list is called in DST.
std::vector<std::string> list_names(const Options& o) {
  std::vector<std::string> names;
  for (const std::string& list : o.lists) names.push_back(fs::path(list).filename().string());
  names = output_names(names, ".csv");
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::error_code ignored;
    if (names[i] == "rejects.csv") throw UsageError(str(o.lists[i], ": its copy in ", o.dst, " would be rejects.csv, which is another file"));
    if (fs::equivalent(fs::path(o.dst) / names[i], o.lists[i], ignored))
      throw UsageError(str(o.lists[i], ": lies in --dst ", o.dst, ", where its copy would replace it"));
  }
  return names;
}

// The lists with what became of their rows, and rejects.csv. How many rows have an output.
std::int64_t write_lists(const Options& o, std::vector<Manifest>& lists, const std::vector<PackInput>& inputs, const PackResult& result) {
  std::unordered_map<std::string_view, const std::string*> why;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    if (!result.rejected[i].empty()) why.emplace(inputs[i].filename, &result.rejected[i]);
  const std::vector<std::string> names = list_names(o);
  const fs::path dst = o.dst;
  RejectList rejects(dst / "rejects.csv");
  for (Manifest& m : lists) {
    for (Record& r : m.records) {
      if (const auto it = why.find(r.filename); r.reject_reason.empty() && it != why.end()) r.reject_reason = "pack: " + *it->second;
      r.reject_reason.empty() ? rejects.accept() : rejects.reject(r.filename, r.reject_reason);
    }
    for (const Manifest::Dropped& d : m.dropped) rejects.reject(d.filename, d.reason);
  }
  for (std::size_t i = 0; i < lists.size(); ++i) write_manifest(dst / names[i], lists[i]);
  rejects.commit();
  std::fputs(rejects.summary().c_str(), stdout);
  for (const std::string& name : names) std::printf("list       %s\n", (dst / name).c_str());
  std::printf("rejects    %s\n", (dst / "rejects.csv").c_str());
  return rejects.outputs();
}

}  // namespace

int run_pack(int argc, char** argv) {
  Options o;
  if (!parse(o, argc, argv)) return kExitOk;
  std::vector<Manifest> lists;
  for (const std::string& list : o.lists) lists.push_back(read_any_list(list, {}, {.keep_rejected = true}));
  list_names(o);  // before any work
  const std::vector<PackInput> inputs = pack_inputs(lists);
  const auto source = open_source(o.root, 0);
  fs::create_directories(o.dst);
  const fs::path file = fs::path(o.dst) / "images.pack";
  if (std::error_code ignored; fs::equivalent(file, o.root, ignored)) throw UsageError(str("--dst ", o.dst, ": --root is the packed file in it"));
  std::vector<std::string> names;
  for (const PackInput& i : inputs) names.push_back(i.filename);
  std::string command = "pack";
  for (const std::string& list : o.lists) command += " --manifest " + fs::weakly_canonical(list).string();
  Packing packing({.output = file, .journal = fs::path(o.dst) / "pack.journal", .margin = o.whole ? 0 : o.margin, .command = command,
                   .fingerprint = photographs_fingerprint(o.root, names), .restart = o.restart},
                  inputs);
  std::printf("%zu photographs in %zu lists\n", inputs.size(), lists.size());
  PackResult result;
  const StopSignals signals;
  run_journaled(signals, {"pack", packing.done(), 0, packing.inputs(), o.workers},
                [&](const WorkRun& how) { return (result = packing.run(*source, how)).complete; });
  if (!result.complete) return kExitInterrupted;
  const std::int64_t outputs = write_lists(o, lists, inputs, result);
  packing.finish();
  std::printf("packed     %s (%lld photographs, %lld bytes)\n", file.c_str(), (long long)result.images, (long long)result.bytes);
  if (outputs > 0) return kExitOk;
  std::fflush(stdout);
  std::fprintf(stderr, "bonafide pack: none of the photographs could be packed\n");
  return kExitDataCheck;
}

}  // namespace bonafide
