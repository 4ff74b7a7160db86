// data/zip.h — a zip archive with one deflated file: the form challenge servers take a submission in.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace bonafide {

// Writes `archive` (atomically) with one entry `name` at its root. No dates: the same text gives the same bytes. At most
// 4 GiB. Format: PKWARE APPNOTE 6.3; deflate by zlib.
void write_zip(const std::filesystem::path& archive, const std::string& name, std::string_view text);

}  // namespace bonafide
