// engine/comm/file_store.cpp — a store in a folder: a file appears whole, by rename, or not at all.
#include <algorithm>
#include <cctype>
#include <system_error>

#include "engine/comm/store.h"
#include "engine/files.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;

const std::string kPrefix = "key+";

class FileStore final : public Store {
 public:
  FileStore(fs::path folder, bool owner) : folder_(std::move(folder)), owner_(owner) {
    std::error_code e;
    fs::create_directories(folder_, e);
    if (e) throw Error(str("rendezvous folder ", folder_.string(), ": ", e.message()));
  }
  ~FileStore() override {
    if (!owner_) return;
    std::error_code e;
    for (fs::directory_iterator i(folder_, e), end; !e && i != end; i.increment(e))
      if (i->path().filename().string().rfind(kPrefix, 0) == 0) fs::remove(i->path(), e);
    fs::remove(folder_, e);  // stays where there is something else in it
  }
  FileStore(const FileStore&) = delete;
  FileStore& operator=(const FileStore&) = delete;
  void set(const std::string& key, std::string_view value) override {
    write_file_atomically(path(key), value, Durable::eventually);
  }
  std::optional<std::string> get(const std::string& key) override {
    std::error_code e;
    if (!fs::exists(path(key), e)) return std::nullopt;
    try {
      return read_file(path(key));
    } catch (const Error&) {  // a network file system may lose a file between two looks, while it is replaced
      if (fs::exists(path(key), e)) throw;
      return std::nullopt;
    }
  }
  std::string where() const override { return "file://" + folder_.string(); }

 private:
  fs::path path(std::string key) const {
    BF_CHECK(!key.empty() && std::all_of(key.begin(), key.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/';
    }), "store key '", key, "'");
    std::replace(key.begin(), key.end(), '/', '+');
    return folder_ / (kPrefix + key);
  }
  fs::path folder_;
  bool owner_;
};

}  // namespace

std::unique_ptr<Store> file_store(const fs::path& folder, bool owner) { return std::make_unique<FileStore>(folder, owner); }

}  // namespace bonafide
