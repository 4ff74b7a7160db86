// data/images/adversarial_files.h — a list of photographs to files with adversarial noise and a manifest of them.
#pragma once
#include <filesystem>

#include "data/adversarial.h"
#include "data/manifest.h"
#include "data/sources.h"

namespace bonafide {

struct AdversarialPlan {
  bool toward_attack = true;       // genuine photographs to be taken for attacks; else attacks to be taken for genuine
  bool include_originals = false;  // and each crop without noise, which is then the pair_filename of a genuine photograph's
  std::uint64_t seed = 1;          // of PGD's random starts: drawn from (seed, filename)
};

// Writes folder/pixel_adversarial/<row>.png and returns their manifest, with the columns of render_files(). A file is the
// network's input itself: the face crop, cropped and resized as the model file says. Only so is the noise what the network
// was attacked with: PNG keeps it, and evaluation with the model's own margin and size takes the file as it is (its box is
// chosen so). Noise on the photograph would have to survive a resize. Rows of the other class are listed in `dropped`.
// `scores`: mean P(attack) before and after.
Manifest adversarial_files(const Manifest& photographs, const ImageSource& source, const std::filesystem::path& folder,
                           const PixelAdversary& adversary, const AdversarialPlan& plan,
                           std::pair<double, double>* scores = nullptr);

}  // namespace bonafide
