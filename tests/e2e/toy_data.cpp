// tests/e2e/toy_data.cpp
#include "tests/e2e/toy_data.h"

#include <algorithm>

#include "data/images/encode.h"
#include "data/manifest.h"
#include "engine/files.h"
#include "engine/philox.h"

namespace bonafide::test {
namespace {

// A smooth picture of its own for each person; `grid` > 0 adds what a screen or a halftone would.
Image picture(int size, int person, int grid) {
  Random r(5, "toy", std::uint64_t(person));
  float phase[3], colour[3];
  for (int c = 0; c < 3; ++c) phase[c] = r.uniform(0, 6), colour[c] = r.uniform(90, 160);
  Image image(size, size);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x)
      for (int c = 0; c < 3; ++c) {
        float v = colour[c] + 40 * std::sin(phase[c] + 5.0f * float(x) / float(size)) * std::cos(4.0f * float(y) / float(size));
        if (grid > 0) v += ((x / grid + y / grid) % 2 ? 22.0f : -22.0f);
        image.at(y, x)[c] = std::uint8_t(std::clamp(v, 0.0f, 255.0f));
      }
  return image;
}

}  // namespace

ToyData::ToyData(int people, int size) : root(folder.path()), train(root / "train.csv"), val(root / "val.csv"),
                                         protocol(root / "protocol.txt"), boxes(root / "boxes.csv") {
  std::string lines, table = "path,label_original,label,x1,y1,x2,y2\n";
  for (const bool training : {true, false}) {
    Manifest m;
    const std::string split = training ? "train" : "val";
    std::filesystem::create_directories(root / split);
    for (int i = 0; i < people; ++i) {
      const int person = i + (training ? 0 : people);
      std::string partner;
      for (const auto& [code, grid] : {std::pair{"0_0_0", 0}, {"1_0_0", 2}, {"1_0_1", 3}}) {
        Record r;
        r.filename = split + "/" + std::to_string(person) + "_" + code + ".png";
        r.subject = "person" + std::to_string(person), r.label = Label::parse(code), r.split = split;
        r.box = {2, 3, float(size - 3), float(size - 2)};
        if (grid == 0) partner = r.filename;
        else r.pair_filename = partner;
        write_png((root / r.filename).string(), picture(size, person, grid));
        if (!training) {
          lines += r.filename + " " + code + "\n";
          table += str(r.filename, ",", code, ",", grid ? 1 : 0, ",2,3,", size - 3, ",", size - 2, "\n");
        }
        m.records.push_back(r);
      }
    }
    write_manifest(training ? train : val, m);
  }
  write_file_atomically(protocol, lines);
  write_file_atomically(boxes, table);
}

TrainConfig toy_config(const ToyData& d) {
  TrainConfig c;
  c.paths.train_manifest = d.train.string(), c.paths.val_manifest = d.val.string(), c.paths.root_dir = d.root.string();
  c.model_input_size = 32;
  c.model.model_name = "convnextv2_atto", c.model.pretrained = "false";
  c.model.depths = {1, 1, 1, 1}, c.model.dims = {8, 12, 16, 24};
  c.loss.supcon_proj_dim = 16;
  c.normalize = {"custom", {0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}};
  c.train_dataloader.batch_size = 4, c.train_dataloader.num_workers = 1;
  c.val_dataloader.num_workers = 1;
  c.dataset.epoch_fraction = 1;
  c.trainer.epochs = 10;
  c.scheduler.max_lr = 3e-3;
  return c;
}

}  // namespace bonafide::test
