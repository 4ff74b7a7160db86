// apps/common/open_source.h — where the photographs of a command come from: a folder of image files, or a packed file.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/sources.h"

namespace bonafide {

// `root` is the folder that the lists' paths start from, or a file of `bonafide pack`: what it is tells, not its name. Throws a
// UsageError where the packed file was made for smaller crops than `margin`, and in a build without image decoder for a folder.
std::shared_ptr<const ImageSource> open_source(const std::string& root, double margin);

// Changes where one of these photographs does (data/work_list.h).
std::uint64_t photographs_fingerprint(const std::string& root, const std::vector<std::string>& filenames);

}  // namespace bonafide
