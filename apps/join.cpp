// apps/join.cpp — `bonafide join`: face boxes into lists of photographs, with the options of the published bbox_to_data.py.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/command_line.h"
#include "data/box_join.h"
#include "data/csv.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

struct Part {
  std::string name, prefix;  // "train", "Data-train/"
  std::string list, boxes, output;
};

}  // namespace

int run_join(int argc, char** argv) {
  Part parts[] = {{"train", "Data-train/", {}, {}, {}}, {"val", "Data-val/", {}, {}, {}}, {"test", "Data-test/", {}, {}, {}}};
  std::string rejects;
  CLI::App app("Puts the boxes of a box file to the photographs of a list. Every row of the list stays; rows without a box and\n"
               "boxes without a row are counted, and named in --rejects.",
               "bonafide join");
  for (Part& p : parts) {
    app.add_option("--" + p.name + "-df", p.list, "list: a CSV with a column path, or a protocol (`path label` a line)");
    app.add_option("--" + p.name + "-bboxes", p.boxes, "its boxes: path,x1,y1,x2,y2");
    app.add_option("--output-" + p.name + "-csv", p.output, "the list with its boxes; without this option nothing is written of it");
    app.add_option("--" + p.name + "-prefix", p.prefix, "put before the paths of the box file")->capture_default_str();
  }
  app.add_option("--rejects", rejects, "CSV of what found no partner (default: rejects.csv beside the first output)");
  if (!parse_words(app, argc, argv)) return kExitOk;

  std::vector<const Part*> wanted;
  for (const Part& p : parts) {
    if (p.output.empty()) {
      if (!p.list.empty() || !p.boxes.empty()) std::printf("%s: no --output-%s-csv, nothing is written\n", p.name.c_str(), p.name.c_str());
      continue;
    }
    if (p.list.empty() || p.boxes.empty())
      throw UsageError(str("--output-", p.name, "-csv needs --", p.name, "-df and --", p.name, "-bboxes"));
    wanted.push_back(&p);
  }
  if (wanted.empty()) throw UsageError("nothing to write: give --output-train-csv, --output-val-csv or --output-test-csv");
  if (rejects.empty()) rejects = (fs::path(wanted[0]->output).parent_path() / "rejects.csv").string();

  std::vector<BoxJoin> joins;
  for (const Part* p : wanted) {
    joins.push_back(join_boxes(p->list, p->boxes, p->prefix, p->output));
    std::printf("%s: %s\n%s", p->name.c_str(), p->output.c_str(), joins.back().summary().c_str());
  }
  CsvWriter out(rejects, {"filename", "reason"});
  std::size_t n = 0;
  for (const BoxJoin& j : joins) {
    n += j.rejects.size();
    for (const auto& r : j.rejects) out.row({r.filename, r.reason});
  }
  out.commit();
  std::printf("rejects      %s (%zu)\n", rejects.c_str(), n);
  return kExitOk;
}

}  // namespace bonafide
