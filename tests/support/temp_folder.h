// tests/support/temp_folder.h — a fresh folder that goes away with its object.
#pragma once
#include <stdlib.h>

#include <filesystem>
#include <string>

#include "engine/files.h"

namespace bonafide::test {

class TempFolder {
 public:
  TempFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "bonafide-test-XXXXXX").string();
    BF_CHECK(::mkdtemp(name.data()), "no temporary folder at ", name);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  // Writes a small file and answers its path.
  std::string file(const std::string& name, std::string_view text) const {
    write_file_atomically(path_ / name, text);
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

}  // namespace bonafide::test
