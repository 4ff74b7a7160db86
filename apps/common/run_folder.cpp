// apps/common/run_folder.cpp — see run_folder.h.
#include "apps/common/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "apps/common/build_info.h"
#include "engine/files.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

std::string now_text(const char* format) {
  const std::time_t t = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&t, &local);
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &local)};
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw Error(path.string() + ": cannot create the folder: " + error.message());
}

// Appends one whole line with a single write, so that lines of several writers never mix.
void append_line(int fd, const fs::path& path, std::string line) {
  line += '\n';
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(path.string() + ": cannot write: " + std::strerror(errno));
    rest.remove_prefix(std::size_t(n));
  }
}

nlohmann::ordered_json as_json(const Facts& facts) {
  auto j = nlohmann::ordered_json::object();
  for (const auto& [name, value] : facts) j[name] = value;
  return j;
}

}  // namespace

RunFolder::RunFolder(fs::path path, bool writes) : path_(std::move(path)) {
  if (!writes) return;
  const fs::path file = path_ / "train.log";
  const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) throw Error(file.string() + ": cannot write: " + std::strerror(errno));
  log_ = {new int(fd), [](const int* p) { ::close(*p), delete p; }};
  // Two processes in one run folder would save over each other's checkpoints. (Where locks do not work, nothing is
  // said.)
  if (::flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
    throw Error(path_.string() + ": another process is training in this folder");
}

RunFolder RunFolder::create(const fs::path& root, const std::string& name) {
  make_folder(root);
  for (int number = 1;; ++number) {
    const fs::path path = root / (number == 1 ? name : str(name, "-", number));
    std::error_code error;
    if (fs::create_directory(path, error)) return {path, true};
    if (error && !fs::exists(path)) throw Error(path.string() + ": cannot create the folder: " + error.message());
  }
}

namespace {
fs::path run_around(const fs::path& inside) {
  std::error_code error;
  const fs::path start = fs::canonical(inside, error);
  if (error) throw Error(inside.string() + ": cannot resume: " + error.message());
  for (const fs::path& path : {start, start.parent_path(), start.parent_path().parent_path()})
    if (fs::exists(path / "config.json")) return path;
  throw Error(inside.string() + ": cannot resume: not a run folder (there is no config.json), nor inside one");
}
}  // namespace
RunFolder RunFolder::open(const fs::path& inside) { return {run_around(inside), true}; }
RunFolder RunFolder::look_at(const fs::path& inside) { return {run_around(inside), false}; }
RunFolder RunFolder::look_at_new(const fs::path& folder) { return {folder, false}; }

void RunFolder::describe(const LoadedConfig& config, int argc, const char* const* argv) const {
  write_file_atomically(path_ / "config.json", config_json(config.values));
  write_file_atomically(path_ / "config.origin.json", config_origin_json(config));
  const nlohmann::ordered_json env = {{"build", as_json(build_facts())},
                                      {"machine", as_json(machine_facts())},
                                      {"started", now_text("%Y-%m-%dT%H:%M:%S%z")},
                                      {"folder", fs::current_path().string()},
                                      {"process", ::getpid()}};
  write_file_atomically(path_ / "env.json", env.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  const fs::path commands = path_ / "command.txt";
  const std::string before = fs::exists(commands) ? read_file(commands) : std::string();
  write_file_atomically(commands, before + shell_quoted(argc, argv) + "\n");
}

void RunFolder::log(std::string_view line) const {
  if (!log_) return;
  append_line(*log_, path_ / "train.log", now_text("%Y-%m-%d %H:%M:%S ") + std::string(line));
}

fs::path RunFolder::log_of(int rank) const {
  make_folder(path_ / "logs");
  return path_ / "logs" / str("rank", rank, ".log");
}

fs::path RunFolder::eval(const std::string& set) const {
  const fs::path path = path_ / "eval" / set;
  make_folder(path);
  return path;
}

std::string RunFolder::config_text() const { return read_file(path_ / "config.json"); }

std::string run_name(const TrainConfig& config) {
  return str(now_text("%Y%m%d-%H%M-"), config.model.model_name, "-", config.model_input_size);
}

std::string shell_quoted(int argc, const char* const* argv) {
  std::string line;
  for (int i = 0; i < argc; ++i) {
    const std::string word = argv[i];
    const bool plain = !word.empty() && word.find_first_not_of(
                                            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                            "_-+=./,:@%") == word.npos;
    line += i ? " " : "";
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace bonafide
