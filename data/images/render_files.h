// data/images/render_files.h — a list of genuine photographs to files of simulated captures and a manifest of them.
#pragma once
#include <filesystem>

#include "data/images/simulate.h"
#include "data/manifest.h"

namespace bonafide {

struct RenderPlan {
  std::vector<Label> species;    // of PhotoSimulator, or kRecoded
  int per_image = 1;             // renders of each species from each photograph
  bool include_genuine = false;  // and one genuine capture of each, which is then its attacks' pair_filename
  std::uint64_t seed = 1;
  int jpeg_quality = 95;  // of the files, 4:4:4; the camera's own JPEG round trip is inside the render
  SimulatorOptions simulator;
};

// Writes folder/<species>/<row>-<k>.jpg, k counting the renders, and returns their manifest: filenames relative to
// `folder`; subject, split, domain and further columns of the photograph; the face box in the render; a column `source`
// with the photograph's filename. Rows that are no genuine photographs are listed in `dropped`. A render depends on
// (seed, filename, species, k) and for a face swap on which other people the same split has. Donors are other people of
// the same split (of unlisted people: other photographs); a donor's face is laid on by the landmarks where both rows have
// five, else by the boxes. Photographs are rendered in parallel.
Manifest render_files(const Manifest& photographs, const ImageSource& source, const std::filesystem::path& folder,
                      const RenderPlan& plan);

}  // namespace bonafide
