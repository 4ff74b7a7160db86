// data/work_list.h — one long list of inputs worked through by several threads, in order, and resumable: the machinery that
// all data commands (crop, embed, pack, …) share.
//
//   WorkList list({.journal = dst / "crop.journal", .command = "crop …", .inputs = n, .fingerprint = …});   // may resume
//   list.run({.workers = 8, .stop = …, .report = …}, [&](std::int64_t i) { return crop(files[i]); });
//   list.for_each([&](std::int64_t i, const WorkResult& r) { … });   // every result in input order, to write the outputs from
//   list.remove();                                                   // when they are written
//
// The promise: outputs are written from for_each() alone, and what it hands out depends on nothing but the inputs. So they
// are the same bytes for any number of workers, and after `kill -9` at any moment and a second start. What survives a kill is
// the journal; after a power cut files that results speak of may be missing, and --restart is the remedy.
//
// The journal is a text file: a line that says what it is, two that say of which command line and of which inputs, then one
// line a result, each ended by a line break only when whole and begun by a checksum that continues the previous line's:
//   bonafide journal 1
//   9c0e…f1 command crop --detector haar …
//   3b77…02 inputs 5000, fingerprint 0f3c…, groups of 1
//   77aa…91 ok people/anna/1.jpg 32 21 161 175
//   d0b1…3c rejected no face found
// Line breaks and backslashes of a result are escaped (\n, \\): a result may be any bytes. From the first line that is cut
// short or fails its checksum on, everything is dropped and worked again. Two programs never work on one journal: it is locked.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/csv.h"

namespace bonafide {

// Thrown by the work on one input: it becomes no output, and the message (without the input's name) is why. Whatever else
// is thrown, a full disk for instance, ends the run.
struct Rejected : Error {
  using Error::Error;
};

// A journal that is not this run's: of another command line, or of other inputs.
struct ForeignJournal : Error {
  using Error::Error;
};

struct WorkResult {
  std::string text;       // what the work returned (any bytes); of a rejected input the reason
  bool rejected = false;  // for_each(): the input is one for rejects.csv
};

// What is to be done, and what makes two runs the same.
struct WorkPlan {
  std::filesystem::path journal;  // its folder must exist
  std::string command;            // every option that results depend on, as one line for people; workers are none of them
  std::int64_t inputs = 0;        // how many; they are known by their index from here on
  std::uint64_t fingerprint = 0;  // of the inputs: InputFingerprint
  std::int64_t group = 1;         // inputs that finish() sees at a time: [0, group), [group, 2 group), …
  bool restart = false;           // forget what the journal holds, whatever run it is of
};

struct WorkRun {
  int workers = -1;  // threads; -1: one per core. Each calls OpenMP with one thread
  // Asked about ten times a second on the calling thread: true lets what is begun be finished and journaled, no more.
  std::function<bool()> stop;
  // After every group, on the calling thread: how many inputs have a result, how many of them are rejected.
  std::function<void(std::int64_t done, std::int64_t rejected)> report;
};

class WorkList {
 public:
  // Opens the journal, or makes it. Throws a ForeignJournal where it is of another command line or of other inputs (naming
  // both; restart forgets it), and an Error where another program works on it, and where the file is no journal (that is never overwritten).
  explicit WorkList(WorkPlan plan);
  ~WorkList();
  WorkList(const WorkList&) = delete;
  WorkList& operator=(const WorkList&) = delete;

  std::int64_t inputs() const { return plan_.inputs; }
  std::int64_t done() const { return done_; }          // inputs with a result; whole groups
  std::int64_t rejected() const { return rejected_; }  // of these
  bool complete() const { return done_ == plan_.inputs; }
  std::int64_t damaged_bytes() const { return damaged_; }  // at the journal's end when it was opened: dropped

  // The result of one input. Called on the workers' threads, several at a time, about in order; depends on the input alone.
  // Files that it writes are whole (engine/files.h) and the same every time: after a kill an input is worked again.
  using Work = std::function<std::string(std::int64_t input)>;
  // A second step of a whole group, on the calling thread, in input order: may change results (results[k] is of input
  // first + k), for instance push the faces of a group through a network at once; may throw. It depends on the group alone.
  // With side effects of its own (bytes appended to a file) it must find the right place for `first` by itself.
  using Finish = std::function<void(std::int64_t first, std::span<WorkResult> results)>;

  // Works on all inputs that have no result yet. True when all have one, false when it was stopped. Throws what work threw
  // for the first input in order that failed, with all results before that input's group in the journal. At most about
  // 4 results for each worker, or two groups, are held in memory.
  bool run(const WorkRun& how, const Work& work, const Finish& finish = {});

  // The same on the calling thread, one input at a time, for work that is parallel in itself (how.workers is not looked at).
  // Only where the plan's groups are of 1; stop is asked before every input.
  bool run_here(const WorkRun& how, const Work& work);

  // Reads the results there are back from the journal, in input order, one at a time. Throws where the file has changed
  // under us.
  void for_each(const std::function<void(std::int64_t input, const WorkResult& result)>& use) const;

  // Deletes the journal: the outputs are written.
  void remove();

 private:
  void open();
  void write(std::string_view text);
  void append(std::span<const WorkResult> results);

  WorkPlan plan_;
  int fd_ = -1;
  std::int64_t done_ = 0, rejected_ = 0, damaged_ = 0;
  std::uint64_t chain_ = 0;  // checksum of the last line
  std::int64_t end_ = 0;     // bytes of the journal that count
};

// One per core: what `workers` of -1 means.
int resolve_workers(int workers);

// The fingerprint of a list of files: names, sizes and times of last change, so that a file that was replaced between two
// runs is noticed.
class InputFingerprint {
 public:
  void add(std::string_view text);
  // A file's name (as the list has it), size and time of change; one that is not there counts by its name.
  void add_file(const std::filesystem::path& file, std::string_view name);
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0;
};

// rejects.csv: `filename,reason`, one line for each input that became no output; the header alone where there is none. And
// the counts that a command prints, which add up.
class RejectList {
 public:
  explicit RejectList(const std::filesystem::path& path) : csv_(path, {"filename", "reason"}) {}

  void accept() { ++outputs_; }
  void reject(const std::string& filename, const std::string& reason);
  void commit() { csv_.commit(); }

  std::int64_t outputs() const { return outputs_; }
  std::int64_t rejects() const { return rejects_; }
  // "5000 inputs: 4800 outputs, 200 rejected\n", then the most frequent reasons, a line each.
  std::string summary() const;

 private:
  CsvWriter csv_;
  std::int64_t outputs_ = 0, rejects_ = 0;
  std::map<std::string, std::int64_t> reasons_;  // at most kReasons, the others under ""
  static constexpr std::size_t kReasons = 1000;
};

// A message about a file without the file's name before it: what rejects.csv has as a reason.
std::string reason_of(const std::exception& error, std::string_view name);

}  // namespace bonafide
