// apps/common/image_files.cpp — with OpenCV and TurboJPEG.
#include "apps/common/image_files.h"

#include "data/images/decode.h"
#include "data/images/encode.h"
#include "data/images/probe.h"
#include "data/images/simulate.h"

namespace bonafide {

void require_image_files(const std::string&) {}

std::shared_ptr<const ImageSource> open_image_files(const std::string& root) { return std::make_shared<FileImageSource>(root); }

std::shared_ptr<const ImageProbe> open_image_probe(const std::string& root) { return std::make_shared<FileImageProbe>(root); }

std::shared_ptr<const AttackSimulator> make_simulator(int size) {
  return std::make_shared<PhotoSimulator>(SimulatorOptions{.size = size});
}

void write_contact_sheet(const std::string& png, const std::vector<SheetTile>& tiles, const std::string& title) {
  write_png(png, contact_sheet(tiles, {.title = title}));
}

}  // namespace bonafide
