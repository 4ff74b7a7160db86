// tests/e2e/toy_data.h — a data set of drawn pictures (no faces) in a temporary folder: genuine ones are smooth, attacks
// carry a fine grid. Enough to train on in seconds.
#pragma once
#include <filesystem>
#include <string>

#include "apps/common/options.h"
#include "tests/support/temp_folder.h"

namespace bonafide::test {

struct ToyData {
  TempFolder folder;
  std::filesystem::path root, train, val, protocol, boxes;  // photographs, two manifests, the val list in published form
  // `people` in training and as many others in validation; per person one genuine photograph and two attacks (print and
  // replay), each genuine the partner of its attacks.
  explicit ToyData(int people = 8, int size = 48);
};

// A network of about ten thousand parameters at 32x32 pixels that learns the toy data in tens of steps.
TrainConfig toy_config(const ToyData&);

}  // namespace bonafide::test
