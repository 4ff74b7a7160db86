// data/list_folder.h — every image file below a folder, in an order of its own, and all that could not be listed.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/manifest.h"

namespace bonafide {

// Extensions of the formats that are decoded, small letters, without the dot.
inline const std::vector<std::string> kImageExtensions = {"jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff"};

struct FolderListing {
  std::vector<std::string> files;           // relative to the folder, ordered folder by folder
  std::vector<Manifest::Dropped> unlisted;  // by name, with the reason (line is 0): see below
  std::int64_t others = 0;                  // files with another extension; nobody looked at them
};

// Files with one of these extensions (any case), in the folder and all folders below it; links are followed. A folder that
// can be reached in several ways (a link, a link to a folder above itself) is listed once, by its own name where it has one
// below `folder`; each further way is `unlisted`, as are folders that cannot be read, links that lead nowhere, devices and
// pipes, and files whose name no list can hold (control characters, a blank at either end). `except` is a folder that is
// not entered. Throws where `folder` itself is none or cannot be read.
FolderListing list_folder(const std::filesystem::path& folder, const std::vector<std::string>& extensions = kImageExtensions,
                          const std::filesystem::path& except = {});

// The files as records, `unlisted` as what was dropped. Throws where there are no files.
Manifest manifest_of_folder(const std::filesystem::path& folder, const FolderListing& listing,
                            const std::vector<std::string>& extensions = kImageExtensions);

}  // namespace bonafide
