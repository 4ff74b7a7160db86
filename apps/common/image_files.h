// apps/common/image_files.h — everything that a build without OpenCV (BONAFIDE_OPENCV=OFF) lacks, in one place: image_files.cpp
// has it, no_image_files.cpp stands in for it and says so. Commands that are about image files have no_image_commands.cpp.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/image_probe.h"
#include "data/images/contact_sheet.h"
#include "data/sources.h"

namespace bonafide {

inline constexpr const char* kNoDecoder = "this build has no image decoder (BONAFIDE_OPENCV=OFF)";

// Throws a UsageError in a build without; `what` is what asks for it: "--contact-sheet". For options that are looked at late.
void require_image_files(const std::string& what);

// Image files below a folder. Empty: the working folder.
std::shared_ptr<const ImageSource> open_image_files(const std::string& root);
std::shared_ptr<const ImageProbe> open_image_probe(const std::string& root);

// Attacks drawn on photographs; `size` is the side of the captures.
std::shared_ptr<const AttackSimulator> make_simulator(int size);

void write_contact_sheet(const std::string& png, const std::vector<SheetTile>& tiles, const std::string& title);

}  // namespace bonafide
