// tests/fuzz/journal.cpp — the journal of data/work_list.h: whatever a file holds, it is refused, or what counts of it is gone
// on with to a whole journal.
#include "data/work_list.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

constexpr std::int64_t kInputs = 5;

WorkPlan plan(const std::string& path) { return {.journal = path, .command = "fuzz", .inputs = kInputs, .fingerprint = 1, .group = 2}; }

std::string work(std::int64_t i) {
  if (i == 3) throw Rejected("no\nface");
  return str("a\\b ", i);
}

std::vector<std::string> results(const WorkList& list) {
  std::vector<std::string> all;
  list.for_each([&](std::int64_t, const WorkResult& r) { all.push_back((r.rejected ? "-" : "+") + r.text); });
  must(std::int64_t(all.size()) == list.done(), "results without an input");
  return all;
}

void run(const std::string& input) {
  const MemoryFile file(input);
  std::vector<std::string> before, whole;
  const bool accepted = accepts([&] {
    WorkList list(plan(file.path()));
    must(list.done() == kInputs || list.done() % 2 == 0, "half a group");
    before = results(list);
    must(list.run({.workers = 1}, work), "it stopped by itself");
    whole = results(list);
  });
  if (!accepted) return;
  must(whole.size() == kInputs && std::equal(before.begin(), before.end(), whole.begin()), "results changed");
  must(accepts([&] { must(results(WorkList(plan(file.path()))) == whole, "another journal was read than was written"); }), "its own journal is refused");
}

std::string written() {
  const MemoryFile file("");
  WorkList list(plan(file.path()));
  list.run({.workers = 1}, work);
  return read_file(file.path());
}

const Register target("journal", run, {written(), written().substr(0, 150), "bonafide journal 2\n", "notes\n"});

}  // namespace
}  // namespace bonafide::fuzz
