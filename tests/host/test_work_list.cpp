// tests/host/test_work_list.cpp — long work in order: any number of workers, stopped or killed at any byte of the journal,
// the same results; other command lines, other inputs and other files refused.
#include "data/work_list.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "engine/digest.h"
#include "tests/support/full_disk.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

WorkPlan plan_in(const TempFolder& folder, std::int64_t inputs = 20, std::int64_t group = 1) {
  return {.journal = folder / "x.journal", .command = "test --size 3", .inputs = inputs, .fingerprint = 7, .group = group};
}

// Every third input is rejected; results hold what a line may not.
std::string answer(std::int64_t i) {
  if (i % 3 == 2) throw Rejected(str("no\nface ", i));
  return str("line ", i, "\nback\\slash\\n", std::string(std::size_t(i % 5), '\0'));
}

std::vector<std::string> results_of(const WorkList& list) {
  std::vector<std::string> all;
  list.for_each([&](std::int64_t i, const WorkResult& r) {
    CHECK(i == std::int64_t(all.size()));
    all.push_back(str(r.rejected ? "rejected " : "ok ", r.text));
  });
  return all;
}

std::vector<std::string> expected(std::int64_t n) {
  std::vector<std::string> all;
  for (std::int64_t i = 0; i < n; ++i) try {
      all.push_back("ok " + answer(i));
    } catch (const Rejected& e) {
      all.push_back(str("rejected ", e.what()));
    }
  return all;
}

}  // namespace

TEST_CASE("work list: results in input order, the same journal for 1 and 8 workers") {
  std::string journals[2];
  for (const int workers : {1, 8}) {
    const TempFolder folder;
    WorkList list(plan_in(folder, 100));
    CHECK(list.done() == 0);
    std::int64_t reports = 0, last = 0;
    const auto report = [&](std::int64_t done, std::int64_t rejected) {
      ++reports, last = done;
      CHECK(rejected == (done + 0) / 3);
    };
    CHECK(list.run({.workers = workers, .stop = {}, .report = report}, [](std::int64_t i) {
      if (i % 7 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));  // so that others overtake
      return answer(i);
    }));
    CHECK(reports == 100);
    CHECK(last == 100);
    CHECK(list.complete());
    CHECK(list.rejected() == 33);
    CHECK(results_of(list) == expected(100));
    journals[workers == 8] = read_file(folder / "x.journal");
    CHECK(list.run({}, [](std::int64_t) -> std::string { throw Error("nothing is left to do"); }));
    list.remove();
    CHECK_FALSE(fs::exists(folder / "x.journal"));
  }
  CHECK(journals[0] == journals[1]);
  CHECK(std::count(journals[0].begin(), journals[0].end(), '\n') == 103);
}

TEST_CASE("work list: cut anywhere, it goes on to the same journal") {
  const TempFolder folder;
  for (const std::int64_t group : {1, 4}) {
    const WorkPlan plan = plan_in(folder, 6, group);
    {
      WorkList list(plan);
      REQUIRE(list.run({.workers = 2}, answer));
    }
    const std::string whole = read_file(plan.journal);
    std::set<std::size_t> cuts{0, 5, whole.size() - 5};
    for (std::size_t i = 0; i < whole.size(); ++i)
      if (whole[i] == '\n') cuts.insert({i, i + 1, i + 30});
    for (const std::size_t cut : cuts) {
      if (cut > whole.size()) continue;
      write_file_atomically(plan.journal, std::string_view(whole).substr(0, cut), Durable::eventually);
      std::set<std::int64_t> worked;
      std::mutex mutex;
      {
        WorkList list(plan);
        const std::int64_t before = list.done(),
                           lines = std::count(whole.begin(), whole.begin() + std::ptrdiff_t(cut), '\n') - 3;
        CHECK(before == (lines >= 6 ? 6 : std::max<std::int64_t>(lines, 0) / group * group));
        CHECK((list.damaged_bytes() == 0) == (cut == 0 || (lines >= 0 && whole[cut - 1] == '\n' && (lines == before))));
        REQUIRE(list.run({.workers = 1}, [&](std::int64_t i) {
          const std::scoped_lock lock(mutex);
          worked.insert(i);
          return answer(i);
        }));
        CHECK(std::int64_t(worked.size()) == 6 - before);
        CHECK((worked.empty() || *worked.begin() == before));
      }
      REQUIRE(read_file(plan.journal) == whole);
    }
    fs::remove(plan.journal);
  }
}

TEST_CASE("work list: a damaged line and all behind it is worked again") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 10);
  {
    WorkList list(plan);
    REQUIRE(list.run({.workers = 1}, answer));
  }
  const std::string whole = read_file(plan.journal);
  std::vector<std::size_t> starts{0};
  for (std::size_t i = 0; i + 1 < whole.size(); ++i)
    if (whole[i] == '\n') starts.push_back(i + 1);
  REQUIRE(starts.size() == 13);
  const auto done_with = [&](const std::string& text) {
    write_file_atomically(plan.journal, text, Durable::eventually);
    return WorkList(plan).done();
  };
  for (std::size_t k = 3; k < 13; ++k) {
    std::string flipped = whole;
    flipped[starts[k] + 20] ^= 1;
    CHECK(done_with(flipped) == std::int64_t(k) - 3);
    std::string without = whole;  // a line that is missing: the chain tells
    without.erase(starts[k], (k + 1 < 13 ? starts[k + 1] : whole.size()) - starts[k]);
    CHECK(done_with(without) == std::int64_t(k) - 3);
    std::string checksum = whole;
    checksum[starts[k]] = 'g';
    CHECK(done_with(checksum) == std::int64_t(k) - 3);
  }
  std::string swapped = whole.substr(0, starts[5]) + whole.substr(starts[6], starts[7] - starts[6]) +
                        whole.substr(starts[5], starts[6] - starts[5]) + whole.substr(starts[7]);
  CHECK(done_with(swapped) == 2);
  CHECK(done_with(whole + whole.substr(starts[3])) == 10);  // more lines than inputs
  CHECK(read_file(plan.journal) == whole);                  // … are cut off
  std::string header = whole;
  header[starts[1] + 30] ^= 1;
  CHECK(done_with(header) == 0);
  CHECK(done_with(std::string(whole.size(), '\0').replace(0, starts[3], whole, 0, starts[3])) == 0);  // as after a power cut
}

TEST_CASE("work list: another command line, other inputs and other files are refused, and left as they are") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 5);
  {
    WorkList list(plan);
    REQUIRE(list.run({.workers = 1}, answer));
    expect_throw("x.journal: another program is at work on this journal", [&] { WorkList second(plan); });
  }
  const std::string whole = read_file(plan.journal);
  WorkPlan other = plan;
  other.command = "test --size 4";
  expect_throw("x.journal: is of another command line\n  there: test --size 3\n  here:  test --size 4", [&] { WorkList list(other); });
  other = plan, other.fingerprint = 8;
  expect_throw("x.journal: is of other inputs", [&] { WorkList list(other); });
  other = plan, other.inputs = 6;
  expect_throw("inputs 5, fingerprint 0000000000000007, groups of 1\n  here:  inputs 6", [&] { WorkList list(other); });
  other = plan, other.group = 2;
  expect_throw("--restart", [&] { WorkList list(other); });
  CHECK(read_file(plan.journal) == whole);
  CHECK(WorkList(plan).done() == 5);

  for (const char* text : {"my own notes\n", "bonafide journal", "bonafide jour"}) {
    write_file_atomically(plan.journal, text);
    if (std::string(text).starts_with("my"))
      for (const bool restart : {false, true}) {
        other = plan, other.restart = restart;
        expect_throw("is no journal of bonafide; it is not overwritten", [&] { WorkList list(other); });
        CHECK(read_file(plan.journal) == text);
      }
    else
      CHECK(WorkList(plan).done() == 0);  // the first line was cut short
  }
  write_file_atomically(plan.journal, "bonafide journal 2\nwhatever\n");
  expect_throw("is a journal of another version ('bonafide journal 2'); --restart forgets it", [&] { WorkList list(plan); });
  fs::create_directory(folder / "folder");
  other = plan, other.journal = folder / "folder";
  expect_throw("folder: cannot write: Is a directory", [&] { WorkList list(other); });
  other.journal = "/dev/null";
  expect_throw("/dev/null: is no regular file", [&] { WorkList list(other); });
  other.journal = folder / "none" / "x.journal";
  expect_throw("No such file", [&] { WorkList list(other); });

  // --restart forgets what is there, of whatever run it is.
  for (const char* before : {"", "bonafide journal 2\n"}) {
    write_file_atomically(plan.journal, *before ? std::string(before) : whole);
    other = plan, other.command = "test --size 4", other.restart = true;
    WorkList list(other);
    CHECK(list.done() == 0);
    CHECK(list.damaged_bytes() == 0);
    CHECK(list.run({.workers = 1}, answer));
  }
  other.restart = false;
  CHECK(WorkList(other).done() == 5);
}

TEST_CASE("work list: stopped, it keeps what was begun; what fails ends it in input order") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 50);
  {
    WorkList list(plan);
    std::atomic<int> started = 0;
    bool stop = false;
    CHECK_FALSE(list.run({.workers = 3, .stop = [&] { return stop; }, .report = [&](std::int64_t done, std::int64_t) { stop = done >= 5; }},
                         [&](std::int64_t i) {
                           ++started;
                           std::this_thread::sleep_for(std::chrono::milliseconds(3));  // some are at work when it is stopped
                           return answer(i);
                         }));
    CHECK(list.done() >= 5);
    CHECK(list.done() < 50);
    CHECK(list.done() == started);  // nothing that was begun is lost
    CHECK(results_of(list) == expected(list.done()));
  }
  {
    WorkList list(plan);
    const std::int64_t before = list.done();
    CHECK(before >= 5);
    // Input 30 fails late, 33 at once: the first in order is the one that is told.
    expect_throw("disk of 30", [&] {
      list.run({.workers = 8}, [&](std::int64_t i) -> std::string {
        if (i == 30) std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if (i == 30 || i == 33) throw Error(str("disk of ", i));
        return answer(i);
      });
    });
    CHECK(list.done() == 30);
  }
  WorkList list(plan);
  CHECK(list.done() == 30);
  CHECK(list.rejected() == 10);
  CHECK(list.run({.workers = 2}, answer));
  CHECK(list.rejected() == 16);
  CHECK(results_of(list) == expected(50));
}

TEST_CASE("work list: on the calling thread, one after the other; stopped, failed and cut, it goes on to the same journal") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 12);
  const std::thread::id here = std::this_thread::get_id();
  std::vector<std::int64_t> worked;
  const auto work = [&](std::int64_t i) {
    CHECK(std::this_thread::get_id() == here);
    worked.push_back(i);
    return answer(i);
  };
  std::vector<std::pair<std::int64_t, std::int64_t>> reports;
  {
    WorkList list(plan);
    CHECK_FALSE(list.run_here({.stop = [&] { return worked.size() == 4; },
                               .report = [&](std::int64_t done, std::int64_t rejected) { reports.emplace_back(done, rejected); }}, work));
    CHECK(worked == std::vector<std::int64_t>{0, 1, 2, 3});  // asked before each one, not behind
    CHECK(reports == std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 0}, {2, 0}, {3, 1}, {4, 1}});
  }
  {
    WorkList list(plan);
    CHECK(list.done() == 4);
    CHECK(list.rejected() == 1);
    expect_throw("disk of 6", [&] {
      list.run_here({}, [&](std::int64_t i) -> std::string {
        if (i == 6) throw Error("disk of 6");
        return work(i);
      });
    });
    CHECK(list.done() == 6);
  }
  {
    WorkList list(plan);
    CHECK(list.run_here({}, work));
    CHECK(list.run_here({}, [](std::int64_t) -> std::string { throw Error("nothing is left to do"); }));
    CHECK(worked == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    CHECK(results_of(list) == expected(12));
  }
  const TempFolder other;
  const WorkPlan again = plan_in(other, 12);
  CHECK(WorkList(again).run({.workers = 8}, answer));
  CHECK(read_file(plan.journal) == read_file(again.journal));
  const TempFolder grouped;
  expect_throw("groups of 4", [&] { WorkList(plan_in(grouped, 12, 4)).run_here({}, answer); });
}

TEST_CASE("work list: a second step sees whole groups in order, and only new ones") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 11, 4);
  std::vector<std::int64_t> firsts;
  const WorkList::Finish finish = [&](std::int64_t first, std::span<WorkResult> results) {
    firsts.push_back(first);
    CHECK(std::int64_t(results.size()) == (first == 8 ? 3 : 4));
    for (WorkResult& r : results) r = {str(first, " ", r.text), r.rejected};
    if (firsts.size() == 2) throw Error("no memory");
  };
  {
    WorkList list(plan);
    expect_throw("no memory", [&] { list.run({.workers = 2}, [](std::int64_t i) { return str("<", i, ">"); }, finish); });
    CHECK(list.done() == 4);
  }
  WorkList list(plan);
  CHECK(list.run({.workers = 2}, [](std::int64_t i) { return str("<", i, ">"); }, finish));
  CHECK(firsts == std::vector<std::int64_t>{0, 4, 4, 8});
  std::vector<std::string> want;
  for (int i = 0; i < 11; ++i) want.push_back(str("ok ", i / 4 * 4, " <", i, ">"));
  CHECK(results_of(list) == want);
}

TEST_CASE("work list: killed in the middle, again and again, it ends with the same journal") {
  const auto work = [](std::int64_t i) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    return answer(i);
  };
  constexpr const char* kChild = "BF_TEST_JOURNAL";
  if (const char* journal = std::getenv(kChild)) {  // this process is to be killed
    WorkPlan plan = plan_in(TempFolder(), 300);
    plan.journal = journal;
    WorkList(plan).run({.workers = 2}, work);
    ::_exit(0);
  }
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 300);
  std::int64_t last = -1;
  int kills = 0;
  for (; kills < 4; ++kills) {
    ::setenv(kChild, plan.journal.c_str(), 1);
    const pid_t child = ::fork();
    if (child == 0) {  // a program of its own: threads that are here do not live on in a copy
      (void)!std::freopen("/dev/null", "w", stdout);
      ::execl("/proc/self/exe", "test_host", "-tc=work list: killed in the middle*", nullptr);
      ::_exit(1);
    }
    ::unsetenv(kChild);
    // As soon as it has written something new.
    const auto size = [&] {
      std::error_code none;
      const auto n = fs::file_size(plan.journal, none);
      return none ? std::uintmax_t(0) : n;
    };
    const auto before = size();
    while (size() < before + 900 && ::waitpid(child, nullptr, WNOHANG) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    WorkList list(plan);  // the lock went with the process
    CHECK(list.done() > last);
    CHECK(list.done() < 300);
    last = list.done();
  }
  {
    WorkList list(plan);
    REQUIRE(list.run({.workers = 2}, work));
  }
  const TempFolder other;
  WorkPlan again = plan_in(other, 300);
  WorkList list(again);
  REQUIRE(list.run({.workers = 8}, answer));
  CHECK(read_file(plan.journal) == read_file(again.journal));
}

TEST_CASE("work list: a full disk ends the run, and it goes on when there is room") {
  const TempFolder folder;
  const WorkPlan plan = plan_in(folder, 200);
  std::int64_t done = 0;
  {
    WorkList list(plan);
    const FullDisk full(2000);
    expect_throw("x.journal: cannot write: File too large", [&] { list.run({.workers = 2}, answer); });
    done = list.done();
    CHECK(done > 10);
    CHECK(results_of(list) == expected(done));
  }
  WorkList list(plan);
  CHECK(list.done() == done);
  CHECK(list.damaged_bytes() == 0);  // the half line was taken back
  CHECK(list.run({.workers = 2}, answer));
  CHECK(results_of(list) == expected(200));
}

TEST_CASE("work list: while one input takes long, the others wait a few inputs ahead") {
  for (const std::int64_t group : {1, 16}) {
    const TempFolder folder;
    WorkList list(plan_in(folder, 500, group));
    std::atomic<std::int64_t> started = 0;
    std::int64_t ahead = 0;
    CHECK(list.run({.workers = 3}, [&](std::int64_t i) {
      ++started;
      if (i == 0) std::this_thread::sleep_for(std::chrono::milliseconds(100)), ahead = started;
      return answer(i);
    }));
    CHECK(ahead > 3);
    CHECK(ahead <= (group == 1 ? 12 : 32));
  }
}

TEST_CASE("work list: memory does not grow with the number of results") {
  const TempFolder folder;
  const auto resident_kb = [] {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  WorkList list(plan_in(folder, 5000, 16));
  long early = 0;
  CHECK(list.run({.workers = 4, .stop = {}, .report = [&](std::int64_t done, std::int64_t) { if (done == 512) early = resident_kb(); }},
                 [](std::int64_t i) { return std::string(3000, char('a' + i % 26)); }));
  std::int64_t bytes = 0;
  list.for_each([&](std::int64_t, const WorkResult& r) { bytes += std::int64_t(r.text.size()); });
  CHECK(bytes == 15'000'000);
  CHECK(resident_kb() - early < 5'000);  // of 15 MB
}

TEST_CASE("work list: no inputs, one input, wrong workers") {
  const TempFolder folder;
  {
    WorkList list(plan_in(folder, 0));
    CHECK(list.complete());
    CHECK(list.run({}, answer));
    CHECK(results_of(list).empty());
    list.remove();
  }
  WorkList list(plan_in(folder, 1));
  expect_throw("--workers is 0, expected at least 1, or -1", [&] { list.run({.workers = 0}, answer); });
  CHECK(list.run({}, answer));
  CHECK(results_of(list) == expected(1));
  CHECK(resolve_workers(-1) >= 1);
  CHECK(resolve_workers(5) == 5);
}

TEST_CASE("work list: the fingerprint of inputs tells names, order, sizes and times") {
  const TempFolder folder;
  folder.file("a", "1"), folder.file("b", "2");
  const auto of = [&](std::vector<std::string> names) {
    InputFingerprint f;
    for (const std::string& n : names) f.add_file(folder / n, n);
    return f.value();
  };
  const auto ab = of({"a", "b"});
  CHECK(of({"a", "b"}) == ab);
  CHECK(of({"b", "a"}) != ab);
  CHECK(of({"a"}) != ab);
  CHECK(of({"a", "c"}) != ab);
  const auto time = fs::last_write_time(folder / "b");
  folder.file("b", "22");
  fs::last_write_time(folder / "b", time);
  CHECK(of({"a", "b"}) != ab);
  folder.file("b", "3");
  fs::last_write_time(folder / "b", time);
  CHECK(of({"a", "b"}) == ab);
  fs::last_write_time(folder / "b", time + std::chrono::seconds(1));
  CHECK(of({"a", "b"}) != ab);
  CHECK(digest64("ab", 1) != digest64("ab", 2));
}

TEST_CASE("reject list: one line an input, counts that add up") {
  const TempFolder folder;
  RejectList list(folder / "rejects.csv");
  for (int i = 0; i < 5; ++i) list.accept();
  for (int i = 0; i < 3; ++i) list.reject(str("a, \"", i, "\".jpg"), "no face found");
  list.reject("b.jpg", "is empty (0 bytes)");
  list.commit();
  CHECK(read_file(folder / "rejects.csv") ==
        "filename,reason\n\"a, \"\"0\"\".jpg\",no face found\n\"a, \"\"1\"\".jpg\",no face found\n"
        "\"a, \"\"2\"\".jpg\",no face found\nb.jpg,is empty (0 bytes)\n");
  CHECK(list.summary() == "9 inputs: 5 outputs, 4 rejected\n  3  no face found\n  1  is empty (0 bytes)\n");
  CHECK(list.outputs() == 5);
  CHECK(list.rejects() == 4);

  RejectList many(folder / "many.csv");
  for (int i = 0; i < 3000; ++i) many.reject("x", str("reason ", i));
  many.reject("x", "reason 7");
  for (int i = 0; i < 5; ++i) many.reject("x", "late");  // reasons beyond the first thousand are not told apart
  const std::string s = many.summary();
  CHECK(s.starts_with("3006 inputs: 0 outputs, 3006 rejected\n  2  reason 7\n  1  reason 0\n"));
  CHECK(s.ends_with("  2997  other reasons\n"));
  CHECK(reason_of(Error("a/b.jpg: is empty"), "a/b.jpg") == "is empty");
  CHECK(reason_of(Error("a/b.jpgs: is empty"), "a/b.jpg") == "a/b.jpgs: is empty");
}
