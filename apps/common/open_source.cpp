// apps/common/open_source.cpp
#include "apps/common/open_source.h"

#include <algorithm>
#include <filesystem>

#include "apps/common/exit_codes.h"
#include "apps/common/image_files.h"
#include "data/packed.h"
#include "data/work_list.h"

namespace bonafide {

std::shared_ptr<const ImageSource> open_source(const std::string& root, double margin) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(root, ignored)) return open_image_files(root);
  auto source = std::make_shared<PackedImageSource>(root);
  const PackedFile& file = source->file();
  const bool parts = std::any_of(file.images().begin(), file.images().end(), [](const PackedImage& i) { return !i.whole(); });
  if (parts && margin > file.margin())
    throw UsageError(str(root, ": is packed for crops with a margin of up to ", file.margin(), ", and ", margin,
                         " is wanted (bonafide pack --margin ", margin, ")"));
  return source;
}

std::uint64_t photographs_fingerprint(const std::string& root, const std::vector<std::string>& filenames) {
  InputFingerprint f;
  std::error_code ignored;
  const bool packed = std::filesystem::is_regular_file(root, ignored);
  if (packed) f.add_file(root, root);
  for (const std::string& name : filenames) packed ? f.add(name) : f.add_file(std::filesystem::path(root) / name, name);
  return f.value();
}

}  // namespace bonafide
