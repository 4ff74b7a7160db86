// engine/digest.h — fingerprints of files and texts, to tell whether two runs saw the same one. Not cryptographic.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace bonafide {

// "xxh3-128:" and 32 hexadecimal digits. Throws when the file cannot be read.
std::string file_digest(const std::filesystem::path& path);

// XXH3-64. The digest of one text as the seed of the next makes a chain: it tells order as well as contents.
std::uint64_t digest64(std::string_view bytes, std::uint64_t seed = 0);

}  // namespace bonafide
