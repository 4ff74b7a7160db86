// data/work_list.cpp — the journal (one line a result, chained checksums), the workers and their window of results.
#include "data/work_list.h"

#include <fcntl.h>
#include <omp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/digest.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kMagic = "bonafide journal ", kFirstLine = "bonafide journal 1\n";
constexpr std::string_view kOk = "ok ", kRejected = "rejected ";
constexpr std::size_t kChecksum = 16;  // hexadecimal digits

[[noreturn]] void fail(const fs::path& path, const char* doing) {
  throw Error(str(path.string(), ": cannot ", doing, ": ", std::strerror(errno)));
}

// No line break inside, so that a line is whole if and only if it ends with one.
std::string escaped(std::string_view text) {
  std::string s;
  s.reserve(text.size());
  for (const char c : text)
    if (c == '\n')
      s += "\\n";
    else if (c == '\\')
      s += "\\\\";
    else
      s += c;
  return s;
}

std::string unescaped(std::string_view text) {
  std::string s;
  s.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\\' && i + 1 < text.size())
      s += text[++i] == 'n' ? '\n' : text[i];
    else
      s += text[i];
  return s;
}

// Appends a line and moves the chain on to its checksum.
void add_line(std::string& to, std::string_view body, std::uint64_t& chain) {
  chain = digest64(body, chain);
  char checksum[kChecksum + 1];
  std::snprintf(checksum, sizeof checksum, "%016llx", static_cast<unsigned long long>(chain));
  to.append(checksum, kChecksum);
  to += ' ';
  to += body;
  to += '\n';
}

// The body of a whole line whose checksum continues the chain.
std::optional<std::string_view> body_of(std::string_view line, std::uint64_t& chain) {
  std::uint64_t checksum = 0;
  if (line.size() <= kChecksum || line[kChecksum] != ' ') return std::nullopt;
  const auto [end, error] = std::from_chars(line.data(), line.data() + kChecksum, checksum, 16);
  if (error != std::errc() || end != line.data() + kChecksum) return std::nullopt;
  line.remove_prefix(kChecksum + 1);
  if (digest64(line, chain) != checksum) return std::nullopt;
  chain = checksum;
  return line;
}

std::optional<WorkResult> result_of(std::string_view body) {
  for (const std::string_view kind : {kOk, kRejected})
    if (body.starts_with(kind)) return WorkResult{unescaped(body.substr(kind.size())), kind == kRejected};
  return std::nullopt;
}

// Whole lines of a file from its beginning, a block at a time.
class Lines {
 public:
  Lines(int fd, const fs::path& path) : fd_(fd), path_(path) {}

  // Without its line break. False at the end, and where the last line has none.
  bool next(std::string_view& line) {
    for (std::size_t searched = 0;;) {
      const std::size_t found = buffer_.find('\n', at_ + searched);
      if (found != std::string::npos) {
        line = std::string_view(buffer_).substr(at_, found - at_);
        at_ = found + 1;
        return true;
      }
      searched = buffer_.size() - at_;
      buffer_.erase(0, at_);
      at_ = 0;
      if (!read_block()) return false;
    }
  }
  std::int64_t offset() const { return read_ - std::int64_t(buffer_.size() - at_); }  // behind the last line

 private:
  bool read_block() {
    constexpr std::size_t kBlock = 1 << 16;
    const std::size_t had = buffer_.size();
    buffer_.resize(had + kBlock);
    ssize_t n = 0;
    do n = ::pread(fd_, buffer_.data() + had, kBlock, read_);
    while (n < 0 && errno == EINTR);
    if (n < 0) fail(path_, "read");
    buffer_.resize(had + std::size_t(n));
    read_ += n;
    return n > 0;
  }

  int fd_;
  const fs::path& path_;
  std::string buffer_;
  std::size_t at_ = 0;
  std::int64_t read_ = 0;
};

std::string command_line(const WorkPlan& plan) { return "command " + escaped(plan.command); }
std::string inputs_line(const WorkPlan& plan) {
  char fingerprint[kChecksum + 1];
  std::snprintf(fingerprint, sizeof fingerprint, "%016llx", static_cast<unsigned long long>(plan.fingerprint));
  return str("inputs ", plan.inputs, ", fingerprint ", fingerprint, ", groups of ", plan.group);
}

// The journal as it begins; the chain moves on to its last line.
std::string header_of(const WorkPlan& plan, std::uint64_t& chain) {
  std::string text(kFirstLine);
  chain = 0;
  add_line(text, command_line(plan), chain);
  add_line(text, inputs_line(plan), chain);
  return text;
}

// Opened and locked, made where there is none. What was deleted between the two is opened again.
int open_locked(const fs::path& path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (fd < 0) fail(path, "write");
    struct stat opened {}, named {};
    ::fstat(fd, &opened);
    const bool busy = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // some file systems have no locks
    const bool same = !::stat(path.c_str(), &named) && named.st_ino == opened.st_ino && named.st_dev == opened.st_dev;
    if (S_ISREG(opened.st_mode) && !busy && same) return fd;
    ::close(fd);
    if (!S_ISREG(opened.st_mode)) throw Error(path.string() + ": is no regular file");
    if (busy) throw Error(path.string() + ": another program is at work on this journal");
  }
}

struct Slot {
  bool ready = false;
  WorkResult result;
  std::exception_ptr error;
};

// The workers, and the results that are not yet in the journal: of inputs [taken, taken + window.size()).
class Crew {
 public:
  Crew(const WorkList::Work& work, int workers, std::int64_t first, std::int64_t total, std::int64_t ahead)
      : work_(work), taken_(first), next_(first), total_(total), ahead_(std::size_t(ahead)) {
    try {
      for (int i = 0; i < workers; ++i) threads_.emplace_back([this] { run(); });
    } catch (...) {  // no more threads to be had: those that run must not outlive this
      end();
      throw;
    }
  }
  ~Crew() { end(); }
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // The results of the next n inputs; fewer than n (then none) when it was stopped before. Throws the first one's error.
  std::vector<WorkResult> take(std::int64_t n, const std::function<bool()>& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (!stopped_ && stop && stop()) {
        stopped_ = true;
        room_.notify_all();
      }
      if (ready(n) || (stopped_ && working_ == 0)) break;
      finished_.wait_for(lock, std::chrono::milliseconds(100));
    }
    std::vector<WorkResult> results;
    if (!ready(n)) return results;
    for (; n > 0; --n) {
      if (window_.front().error) std::rethrow_exception(window_.front().error);
      results.push_back(std::move(window_.front().result));
      window_.pop_front();
      ++taken_;
    }
    room_.notify_all();
    return results;
  }

 private:
  bool ready(std::int64_t n) const {
    return std::int64_t(window_.size()) >= n &&
           std::all_of(window_.begin(), window_.begin() + n, [](const Slot& s) { return s.ready; });
  }

  void run() {
    omp_set_num_threads(1);  // of this worker: the workers are the parallelism
    std::unique_lock lock(mutex_);
    for (;;) {
      room_.wait(lock, [&] { return stopped_ || next_ == total_ || window_.size() < ahead_; });
      if (stopped_ || next_ == total_) return;
      const std::int64_t input = next_++;
      window_.emplace_back();
      ++working_;
      lock.unlock();
      Slot slot;
      slot.ready = true;
      try {
        slot.result.text = work_(input);
      } catch (const Rejected& e) {
        slot.result = {e.what(), true};
      } catch (...) {
        slot.error = std::current_exception();
      }
      lock.lock();
      --working_;
      window_[std::size_t(input - taken_)] = std::move(slot);
      finished_.notify_one();
    }
  }

  void end() {
    {
      const std::scoped_lock lock(mutex_);
      stopped_ = true;
    }
    room_.notify_all();
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

  const WorkList::Work& work_;
  std::mutex mutex_;
  std::condition_variable room_, finished_;
  std::deque<Slot> window_;
  std::int64_t taken_, next_, total_;
  std::size_t ahead_;
  int working_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

WorkList::WorkList(WorkPlan plan) : plan_(std::move(plan)) {
  BF_CHECK(plan_.inputs >= 0 && plan_.group >= 1, plan_.inputs, " inputs in groups of ", plan_.group);
  fd_ = open_locked(plan_.journal);
  try {
    open();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

WorkList::~WorkList() { ::close(fd_); }

// Finds out what there is and cuts off what does not count.
void WorkList::open() {
  const std::string name = plan_.journal.string();
  struct stat info {};
  if (::fstat(fd_, &info)) fail(plan_.journal, "read");
  std::string start(std::min<std::size_t>(std::size_t(info.st_size), kMagic.size()), '\0');
  if (::pread(fd_, start.data(), start.size(), 0) != ssize_t(start.size())) fail(plan_.journal, "read");
  if (!kMagic.starts_with(start)) throw Error(name + ": is no journal of bonafide; it is not overwritten");

  std::uint64_t chain = 0;
  const std::string header = header_of(plan_, chain);
  Lines lines(fd_, plan_.journal);
  std::string_view line;
  const auto whole_header = [&] {
    if (plan_.restart || !lines.next(line)) return false;
    if (str(line, '\n') != kFirstLine)
      throw Error(str(name, ": is a journal of another version ('", clipped(std::string(line)), "'); --restart forgets it"));
    std::uint64_t theirs = 0;
    std::string command, inputs;
    for (std::string* body : {&command, &inputs}) {
      if (!lines.next(line)) return false;
      const auto found = body_of(line, theirs);
      if (!found) return false;
      *body = *found;
    }
    if (command != command_line(plan_))
      throw ForeignJournal(str(name, ": is of another command line\n  there: ", command.substr(command.find(' ') + 1), "\n  here:  ",
                      escaped(plan_.command), "\nGo on with that one, or forget its results with --restart"));
    if (inputs != inputs_line(plan_))
      throw ForeignJournal(str(name, ": is of other inputs: files were added, removed or changed\n  there: ", inputs,
                      "\n  here:  ", inputs_line(plan_), "\n--restart forgets its results"));
    return true;
  };
  if (whole_header()) {
    end_ = lines.offset(), chain_ = chain;
    std::int64_t rejected = 0;
    for (std::int64_t n = 0; n < plan_.inputs && lines.next(line);) {
      const auto body = body_of(line, chain);
      const bool bad = body && body->starts_with(kRejected);
      if (!body || !(bad || body->starts_with(kOk))) break;
      ++n, rejected += bad;
      if (n % plan_.group && n != plan_.inputs) continue;
      done_ = n, rejected_ = rejected, chain_ = chain, end_ = lines.offset();
    }
    damaged_ = info.st_size - end_;
    if (damaged_ && ::ftruncate(fd_, end_)) fail(plan_.journal, "write");
    return;
  }
  if (!plan_.restart) damaged_ = info.st_size;
  if (::ftruncate(fd_, 0)) fail(plan_.journal, "write");
  write(header);
  chain_ = chain;
}

// Behind what counts. On a full disk the part that was written is taken back.
void WorkList::write(std::string_view text) {
  std::int64_t at = end_;
  while (!text.empty()) {
    const ssize_t n = ::pwrite(fd_, text.data(), text.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      (void)!::ftruncate(fd_, end_);
      errno = error;
      fail(plan_.journal, "write");
    }
    text.remove_prefix(std::size_t(n));
    at += n;
  }
  end_ = at;
}

void WorkList::append(std::span<const WorkResult> results) {
  std::string text;
  std::uint64_t chain = chain_;
  for (const WorkResult& r : results)
    add_line(text, str(r.rejected ? kRejected : kOk, escaped(r.text)), chain);
  write(text);
  chain_ = chain;
  for (const WorkResult& r : results) ++done_, rejected_ += r.rejected;
}

bool WorkList::run(const WorkRun& how, const Work& work, const Finish& finish) {
  if (complete()) return true;
  const int workers = resolve_workers(how.workers);
  Crew crew(work, workers, done_, plan_.inputs, std::max<std::int64_t>(2 * plan_.group, 4 * workers));
  while (!complete()) {
    std::vector<WorkResult> results = crew.take(std::min(plan_.group, plan_.inputs - done_), how.stop);
    if (results.empty()) return false;
    if (finish) finish(done_, results);
    append(results);
    if (how.report) how.report(done_, rejected_);
  }
  return true;
}

bool WorkList::run_here(const WorkRun& how, const Work& work) {
  BF_CHECK(plan_.group == 1, "groups of ", plan_.group);
  while (!complete()) {
    if (how.stop && how.stop()) return false;
    WorkResult result;
    try {
      result.text = work(done_);
    } catch (const Rejected& e) {
      result = {e.what(), true};
    }
    append({&result, 1});
    if (how.report) how.report(done_, rejected_);
  }
  return true;
}

void WorkList::for_each(const std::function<void(std::int64_t, const WorkResult&)>& use) const {
  Lines lines(fd_, plan_.journal);
  std::string_view line;
  std::uint64_t chain = 0;
  const auto body = [&] {
    const auto found = lines.next(line) ? body_of(line, chain) : std::nullopt;
    if (!found) throw Error(plan_.journal.string() + ": was changed by another program");
    return *found;
  };
  lines.next(line);
  body();
  body();
  for (std::int64_t i = 0; i < done_; ++i) {
    const auto result = result_of(body());
    if (!result) throw Error(plan_.journal.string() + ": was changed by another program");
    use(i, *result);
  }
}

void WorkList::remove() {
  if (::unlink(plan_.journal.c_str()) && errno != ENOENT) fail(plan_.journal, "delete");
}

int resolve_workers(int workers) {
  if (workers == 0 || workers < -1) throw Error(str("--workers is ", workers, ", expected at least 1, or -1: one per core"));
  return workers > 0 ? workers : int(std::max(1u, std::thread::hardware_concurrency()));
}

void InputFingerprint::add(std::string_view text) { value_ = digest64(text, value_); }

void InputFingerprint::add_file(const fs::path& file, std::string_view name) {
  add(name);
  struct stat info {};
  if (::stat(file.c_str(), &info)) return add("not there");
  add(str(info.st_size, " ", info.st_mtim.tv_sec, " ", info.st_mtim.tv_nsec));
}

void RejectList::reject(const std::string& filename, const std::string& reason) {
  csv_.row({filename, reason});
  ++rejects_;
  ++reasons_[reasons_.size() < kReasons || reasons_.count(reason) ? reason : std::string()];
}

std::string RejectList::summary() const {
  const auto counted = [](std::int64_t n, const char* what) { return str(n, " ", what, n == 1 ? "" : "s"); };
  std::string s = str(counted(outputs_ + rejects_, "input"), ": ", counted(outputs_, "output"), ", ", rejects_, " rejected\n");
  std::vector<std::pair<std::int64_t, std::string>> most;
  std::int64_t others = 0;
  for (const auto& [reason, n] : reasons_)
    if (reason.empty())
      others += n;
    else
      most.emplace_back(n, reason);
  std::stable_sort(most.begin(), most.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  constexpr std::size_t kShown = 8;
  for (std::size_t i = 0; i < most.size(); ++i)
    if (i < kShown)
      s += str("  ", most[i].first, "  ", clipped(most[i].second), "\n");
    else
      others += most[i].first;
  if (others) s += str("  ", others, "  other reasons\n");
  return s;
}

std::string reason_of(const std::exception& error, std::string_view name) {
  std::string_view what = error.what();
  if (!name.empty() && what.starts_with(name) && what.substr(name.size()).starts_with(": ")) what.remove_prefix(name.size() + 2);
  return std::string(what);
}

}  // namespace bonafide
