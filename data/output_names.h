// data/output_names.h — names of output files that mirror a list of input files.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace bonafide {

// What of a path can lie below any folder: without a root, "." and "..".
std::filesystem::path path_inside(const std::filesystem::path& path);

// One relative path for each input, ending with `extension` (".jpg"): the input's own path with that extension. Never the same
// twice (of foo.jpg and foo.png the second becomes foo.png.jpg, whatever is free after that ends with ~2, ~3, …), never the
// name of a folder that another one lies in, never out of the folder that they are put into (of absolute paths and of ".."
// the rest is taken). Depends on the list alone.
std::vector<std::string> output_names(const std::vector<std::string>& inputs, const std::string& extension);

}  // namespace bonafide
