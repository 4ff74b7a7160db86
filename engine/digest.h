// engine/digest.h — a fingerprint of a file, to tell whether two runs saw the same one. Not cryptographic.
#pragma once
#include <filesystem>
#include <string>

namespace bonafide {

// "xxh3-128:" and 32 hexadecimal digits. Throws when the file cannot be read.
std::string file_digest(const std::filesystem::path& path);

}  // namespace bonafide
