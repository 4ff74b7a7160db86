// apps/purge.cpp — `bonafide purge`: erases a person from embeddings, lists and packed photographs.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "data/purge.h"

namespace bonafide {

int run_purge(int argc, char** argv) {
  PurgePlan plan;
  std::string embeddings;
  std::vector<std::string> lists, packs, trees;
  CLI::App app("Erases everything about a person from the files named here. Each is written anew and replaced whole.\n"
               "The photographs themselves stay: they are listed. Copies and backups are yours to erase.",
               "bonafide purge");
  app.add_option("--subject", plan.subjects, "the person, as in the column subject (several: once for each)")->required()->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--embeddings", embeddings, "embeddings file");
  app.add_option("--manifest,--list", lists, "manifest or other CSV with a column path (several: once for each)")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--packed", packs, "file of bonafide pack (several: once for each)")->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--embeddings-dir", trees, "folder of .npy files, flat or a mirror of the photographs' tree (several: once for each)")
      ->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--data-dir", plan.data_dir, "folder the photographs' names are relative to; only to find .npy files by");
  app.add_flag("--dry-run", plan.dry_run, "count, change nothing");
  if (!parse_words(app, argc, argv)) return kExitOk;
  if (embeddings.empty() && lists.empty() && packs.empty()) throw UsageError("nothing to erase from, or to know the person by: give --embeddings, --manifest or --packed");
  plan.embeddings = embeddings;
  plan.lists.assign(lists.begin(), lists.end());
  plan.packs.assign(packs.begin(), packs.end());
  plan.npy_trees.assign(trees.begin(), trees.end());

  const PurgeReport report = purge(plan);
  for (const PurgeReport::File& f : report.files) {
    std::printf("%s: %lld of %lld %s %s", f.name.c_str(), (long long)f.removed, (long long)f.rows, f.kind == "npy" ? ".npy files" : "rows",
                plan.dry_run ? "would go" : "erased");
    if (f.missing) std::printf(", %lld of the photographs have none there", (long long)f.missing);
    if (f.pairs_lost) std::printf(", %lld attacks on others lost their partner", (long long)f.pairs_lost);
    std::printf("\n");
    if (f.shared)
      std::printf("warning: %lld of these files may have been of another photograph: their names cannot tell\n", (long long)f.shared);
    if (f.links) std::printf("warning: %lld of these files were links: what they lead to is not touched\n", (long long)f.links);
    if (f.mentions)
      std::printf("warning: %lld fields of other people's rows still name a photograph of this person\n", (long long)f.mentions);
  }
  for (const std::string& p : report.npy_files) std::printf("  %s\n", p.c_str());
  std::printf("%zu photographs; the files themselves are untouched:\n", report.photographs.size());
  for (const std::string& p : report.photographs) std::printf("  %s\n", p.c_str());
  return kExitOk;
}

}  // namespace bonafide
