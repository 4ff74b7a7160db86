// apps/common/no_image_files.cpp — without OpenCV: photographs come from packed files.
#include "apps/common/exit_codes.h"
#include "apps/common/image_files.h"

namespace bonafide {

void require_image_files(const std::string& what) { throw UsageError(what + ": " + kNoDecoder); }

namespace {

[[noreturn]] void no_files(const std::string& root) {
  throw UsageError((root.empty() ? "photographs in the working folder" : root) + ": " + kNoDecoder +
                   "; it takes photographs from a packed file (bonafide pack)");
}

}  // namespace

std::shared_ptr<const ImageSource> open_image_files(const std::string& root) { no_files(root); }

std::shared_ptr<const ImageProbe> open_image_probe(const std::string& root) { no_files(root); }

std::shared_ptr<const AttackSimulator> make_simulator(int) {
  require_image_files("simulated attacks");
  return nullptr;
}

void write_contact_sheet(const std::string& png, const std::vector<SheetTile>&, const std::string&) { require_image_files(png); }

}  // namespace bonafide
