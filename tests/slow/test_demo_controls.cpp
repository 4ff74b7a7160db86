// tests/slow/test_demo_controls.cpp — the demo's run, and two runs that must find nothing: what they find would be leakage.
#include <algorithm>
#include <filesystem>

#include "apps/common/scoring.h"
#include "apps/common/trainer.h"
#include "data/images/decode.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace bonafide {
int run_program(int argc, char** argv);
}

namespace {

const fs::path kPhotos = fs::path(BF_SOURCE_DIR) / ".cache/photos";  // ./dev photos
const bool kNoPhotos = !fs::exists(kPhotos / "johns");

fs::path demo_data(const std::string& name, const std::string& control) {
  const fs::path out = fs::path(BF_BINARY_DIR) / "demo_controls" / name;
  fs::remove_all(out);
  std::vector<std::string> words{"bonafide", "demo-data", "--photos", kPhotos.string(), "--out", out.string(), "--group-faces", "none",
                                 "--control", control};
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  BF_CHECK(run_program(int(argv.size()), argv.data()) == 0, "demo-data");
  return out;
}

std::unique_ptr<Trainer> trained(Context& ctx, const fs::path& data, const std::vector<std::string>& more) {
  std::vector<std::string> overrides{"paths.train_manifest=" + (data / "train.csv").string(), "paths.root_dir=" + data.string()};
  overrides.insert(overrides.end(), more.begin(), more.end());
  auto t = std::make_unique<Trainer>(ctx, load_config({std::string(BF_SOURCE_DIR) + "/configs/demo.json"}, overrides).values);
  while (!t->done()) t->step();
  return t;
}

// AUC over the species the model was trained on (and, for the control, over everything there is).
double auc(Trainer& t, const fs::path& data) {
  const auto list = std::make_shared<const Manifest>(read_manifest(data / "test.csv"));
  const auto logits = score_manifest(Detector(t.model(), t.info()), list, std::make_shared<FileImageSource>(data.string()), 32, 2);
  const auto& species = t.info().trained_species;
  std::vector<double> scores;
  std::vector<Label> labels;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const Label label = *list->records[i].label;
    if (label == kFaceSwap && std::count(species.begin(), species.end(), label) == 0) continue;
    scores.push_back(logits[i]), labels.push_back(label);
  }
  const double value = RocTable(scores, labels).auc();
  std::printf("%s: AUC %.4f of %zu images\n", data.filename().c_str(), value, scores.size());
  return value;
}

}  // namespace

TEST_CASE("demo: attacks are found on people not seen, re-encoded genuine faces are not" * doctest::skip(kNoPhotos)) {
  Context ctx;
  const fs::path data = demo_data("attacks", "none"), recoded = demo_data("recoded", "reencode");
  const auto t = trained(ctx, data, {});
  CHECK(auc(*t, data) >= 0.90);
  // 22 against 44 images of nothing: one standard deviation of the AUC is 0.077.
  CHECK(std::abs(auc(*t, recoded) - 0.5) < 0.2);
}

TEST_CASE("demo: with shuffled labels nothing is learned" * doctest::skip(kNoPhotos)) {
  Context ctx;
  const fs::path data = demo_data("shuffled", "none");
  const auto t = trained(ctx, data, {"control.shuffle_labels=true"});
  // 22 against 132 images: one standard deviation is 0.066, and species are ranked together, not one by one.
  CHECK(std::abs(auc(*t, data) - 0.5) < 0.2);
}
