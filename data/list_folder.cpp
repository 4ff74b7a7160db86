// data/list_folder.cpp — real folders first, then links to folders, each folder once.
#include "data/list_folder.h"

#include <algorithm>
#include <map>
#include <set>

#include <sys/stat.h>

#include "data/csv.h"

namespace bonafide {
namespace fs = std::filesystem;
namespace {

using Identity = std::pair<dev_t, ino_t>;  // of a folder, whatever it is called

std::optional<Identity> identity_of(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info)) return std::nullopt;
  return Identity{info.st_dev, info.st_ino};
}

std::string lower(std::string s) {
  for (char& c : s) c = c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c;
  return s;
}

// Why no list can hold this name; empty if it can.
std::string objection(const std::string& name) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  if (!printable_path(name)) return "its name holds a control character";
  if (blank(name.front()) || blank(name.back())) return "its name begins or ends with a blank";
  return {};
}

class Walk {
 public:
  Walk(const fs::path& root, const std::vector<std::string>& extensions, const fs::path& except) : root_(root) {
    for (const std::string& e : extensions) extensions_.insert(lower(e.starts_with('.') ? e : "." + e));
    if (!except.empty()) except_ = identity_of(except);
  }

  FolderListing all() {
    come_to({});
    while (!folders_.empty() || !links_.empty()) {
      if (folders_.empty()) {
        const fs::path link = *links_.begin();
        links_.erase(links_.begin());
        come_to(link);
        continue;
      }
      const fs::path folder = folders_.back();
      folders_.pop_back();
      enter(folder);
    }
    std::sort(files_.begin(), files_.end());
    for (const fs::path& f : files_) listing_.files.push_back(f.string());
    std::ranges::sort(listing_.unlisted, {}, &Manifest::Dropped::filename);
    return std::move(listing_);
  }

 private:
  void leave_out(const fs::path& name, std::string reason) { listing_.unlisted.push_back({name.string(), std::move(reason), 0}); }

  // A folder that was found: to be entered, unless it was before.
  void come_to(const fs::path& name) {
    const auto identity = identity_of(root_ / name);
    if (!identity) return leave_out(name, "the folder cannot be read");
    if (identity == except_) return;
    const auto [it, fresh] = seen_.emplace(*identity, name);
    if (fresh)
      folders_.push_back(name);
    else
      leave_out(name, "a link to a folder that is listed as " + (it->second.empty() ? "." : it->second.string()));
  }

  void enter(const fs::path& folder) {
    std::error_code error;
    fs::directory_iterator entries(root_ / folder, error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) meet(folder / entries->path().filename(), *entries);
    if (!error) return;
    if (folder.empty()) throw Error(str(root_.string(), ": cannot be read: ", error.message()));
    leave_out(folder, "the folder cannot be read: " + error.message());
  }

  void meet(const fs::path& name, const fs::directory_entry& entry) {
    std::error_code ignored;
    const fs::file_status target = entry.status(ignored);
    if (fs::is_directory(target)) {
      if (entry.is_symlink(ignored))
        links_.insert(name);
      else
        come_to(name);
    } else if (!extensions_.count(lower(name.extension().string()))) {
      ++listing_.others;
    } else if (!fs::exists(target)) {
      leave_out(name, "a link that leads nowhere");
    } else if (!fs::is_regular_file(target)) {
      leave_out(name, "is no regular file");
    } else if (std::string why = objection(name.string()); !why.empty()) {
      leave_out(name, std::move(why));
    } else {
      files_.push_back(name);
    }
  }

  const fs::path& root_;
  std::set<std::string> extensions_;
  std::optional<Identity> except_;
  std::map<Identity, fs::path> seen_;
  std::vector<fs::path> folders_, files_;
  std::set<fs::path> links_;
  FolderListing listing_;
};

}  // namespace

FolderListing list_folder(const fs::path& folder, const std::vector<std::string>& extensions, const fs::path& except) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) throw Error(folder.string() + ": is no folder");
  return Walk(folder, extensions, except).all();
}

Manifest manifest_of_folder(const fs::path& folder, const FolderListing& listing, const std::vector<std::string>& extensions) {
  Manifest m;
  m.origin = folder.string();
  m.dropped = listing.unlisted;
  for (const std::string& file : listing.files) {
    Record r;
    r.filename = file;
    m.records.push_back(std::move(r));
  }
  if (!m.records.empty()) return m;
  std::string all;
  for (const std::string& e : extensions) all += (all.empty() ? "" : ", ") + e;
  throw Error(str(folder.string(), ": no images (", all, ") below it"));
}

}  // namespace bonafide
