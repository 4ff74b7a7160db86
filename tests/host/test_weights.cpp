// tests/host/test_weights.cpp — weights by name from timm's, facebookresearch's and the paper's files; model files.
#include "layers/weights.h"

#include <filesystem>

#include "data/detector.h"
#include "engine/philox.h"
#include "tests/support/support.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;
namespace fs = std::filesystem;

namespace {

PairedModelConfig small(bool conv_mlp) {
  PairedModelConfig c;
  c.backbone = {.name = "test", .depths = {1, 2, 1, 1}, .dims = {8, 12, 16, 24}, .conv_mlp = conv_mlp};
  c.projection = 8;
  return c;
}

// A parameter's value in the files below: different for each parameter and each element.
float value(const std::string& name, std::int64_t i) { return float(hash_name(name) % 1000) + float(i) / 1024; }

// Writes the backbone's parameters under names made by `rename` (empty: left out), with shapes made by `reshape`.
struct Stored {
  std::vector<std::vector<float>> data;
  std::vector<StoredArray> arrays;
  void add(const std::string& name, std::vector<std::int64_t> shape, const std::string& parameter) {
    std::int64_t n = 1;
    for (auto d : shape) n *= d;
    data.emplace_back();
    for (std::int64_t i = 0; i < n; ++i) data.back().push_back(value(parameter, i));
    arrays.push_back(stored_array<float>(name, std::move(shape), Span<const float>(data.back().data(), n)));
  }
};
fs::path write_backbone(const fs::path& file, const PairedModelConfig& c,
                        const std::function<std::string(const std::string&)>& rename, bool grn_as_4d = false) {
  Stored s;
  s.data.reserve(1000);
  for (const auto& p : convnext_v2_parameters(c.backbone)) {
    const std::string name = rename(p.name);
    if (name.empty()) continue;
    std::vector<std::int64_t> shape;
    for (int i = 0; i < p.shape.rank(); ++i) shape.push_back(p.shape[i]);
    if (grn_as_4d && p.name.find(".grn.") != std::string::npos) shape = {1, 1, 1, p.shape[0]};
    s.add(name, shape, "backbone." + p.name);
  }
  s.add(rename("head.fc.weight"), {10, c.backbone.features()}, "fc");
  write_safetensors(file, s.arrays);
  return file;
}

std::string replaced(std::string s, const std::string& from, const std::string& to) {
  const auto at = s.find(from);
  return at == std::string::npos ? s : s.replace(at, from.size(), to);
}
std::string facebook_name(const std::string& timm) {
  std::string s = timm;
  if (s.rfind("stem.", 0) == 0) return "downsample_layers.0." + s.substr(5);
  if (s.rfind("head.norm.", 0) == 0) return "norm." + s.substr(10);
  if (s.rfind("head.fc.", 0) == 0) return "head." + s.substr(8);
  if (s.find(".downsample.") != std::string::npos) return "downsample_layers." + s.substr(7, 1) + "." + s.substr(s.find(".downsample.") + 12);
  s = replaced(s, ".blocks", ""), s = replaced(s, ".conv_dw.", ".dwconv."), s = replaced(s, ".mlp.fc1.", ".pwconv1.");
  s = replaced(s, ".mlp.fc2.", ".pwconv2."), s = replaced(s, ".mlp.grn.weight", ".grn.gamma");
  return replaced(s, ".mlp.grn.bias", ".grn.beta");
}

void check_loaded(const PairedModel& m) {
  for (const auto& p : m.parameters().all()) {
    if (p.spec.name.rfind("backbone.", 0) != 0) continue;
    CAPTURE(p.spec.name);
    const auto v = p.value.to_host();
    CHECK(v.front() == value(p.spec.name, 0));
    CHECK(v.back() == value(p.spec.name, p.value.numel() - 1));
  }
}

}  // namespace

TEST_CASE("weights: names of timm, facebookresearch and DataParallel") {
  CHECK(timm_name("stages.2.blocks.5.mlp.grn.weight") == "stages.2.blocks.5.mlp.grn.weight");
  CHECK(timm_name("module.backbone.stem.0.weight") == "backbone.stem.0.weight");
  CHECK(timm_name("downsample_layers.0.1.bias") == "stem.1.bias");
  CHECK(timm_name("downsample_layers.3.0.weight") == "stages.3.downsample.0.weight");
  CHECK(timm_name("stages.2.8.pwconv1.weight") == "stages.2.blocks.8.mlp.fc1.weight");
  CHECK(timm_name("stages.0.1.grn.gamma") == "stages.0.blocks.1.mlp.grn.weight");
  CHECK(timm_name("norm.weight") == "head.norm.weight");
  CHECK(timm_name("head.bias") == "head.fc.bias");
}

TEST_CASE("weights: a backbone from timm's and from facebookresearch's file, classifier dropped") {
  const TempFolder folder;
  for (const bool conv_mlp : {false, true}) {
    Context ctx;
    PairedModel a(ctx, small(conv_mlp), DType::bf16), b(ctx, small(conv_mlp));
    const auto report = load_backbone(a.parameters(), SafetensorsFile(write_backbone(folder / "t", a.config(), [](const std::string& n) { return n; })));
    CHECK(report.loaded.size() == convnext_v2_parameters(a.config().backbone).size());
    check_loaded(a);
    const Tensor& w = a.parameters()["backbone.stages.0.blocks.0.mlp.fc1.weight"];
    CHECK(w.as(DType::bf16).to_host()[0] == float(bf16(w.to_host()[0])));  // compute copies follow
    // facebookresearch keeps the MLP of every size as linear layers and GRN as [1,1,1,C].
    load_backbone(b.parameters(), SafetensorsFile(write_backbone(folder / "f", small(false), facebook_name, true)));
    check_loaded(b);
  }
}

TEST_CASE("weights: what does not fit is reported by name") {
  const TempFolder folder;
  Context ctx;
  PairedModel m(ctx, small(false));
  const auto load = [&](const std::function<std::string(const std::string&)>& rename) { load_backbone(m.parameters(), SafetensorsFile(write_backbone(folder / "x", m.config(), rename))); };
  expect_throw("1 missing: backbone.stem.0.bias", [&] { load([](const std::string& n) { return n == "stem.0.bias" ? std::string() : n; }); });
  expect_throw("1 unexpected: stem.0.extra", [&] { load([](const std::string& n) { return n == "stem.0.bias" ? std::string("stem.0.extra") : n; }); });
  PairedModelConfig wider = small(false);
  wider.backbone.dims[3] = 32;
  expect_throw("the model expects [24", [&] {
    load_backbone(m.parameters(), SafetensorsFile(write_backbone(folder / "w", wider, [](const std::string& n) { return n; })));
  });
}

TEST_CASE("model file: written, read, and the same scores; damaged ones are explained") {
  const TempFolder folder;
  Context ctx;
  PairedModel m(ctx, small(true));
  m.parameters().initialise(3);
  ModelInfo info;
  info.architecture = m.config(), info.input_size = 32, info.mean = {0.5f, 0.4f, 0.3f}, info.std = {0.2f, 0.25f, 0.3f};
  info.crop_margin = 1.25f, info.step = 77, info.trained_species = {kPrint, kReplay};
  info.threshold = ModelThreshold{0.25, "eer of val.csv", "xxh3-128:0", 13, 40, 0.2, 0.3};
  info.start_weights = "w.safetensors", info.start_licence = "CC-BY-NC-4.0", info.start_digest = "xxh3-128:1";
  const fs::path file = folder / "m.safetensors";
  save_model(file, m.parameters(), info);

  const Detector d(file);
  CHECK(d.info().architecture.backbone.dims == info.architecture.backbone.dims);
  CHECK(d.info().mean == info.mean);
  CHECK(d.info().crop_margin == info.crop_margin);
  CHECK(d.info().threshold->value == 0.25);
  CHECK(d.info().threshold->genuine == 13);
  CHECK(d.info().trained_species == info.trained_species);
  CHECK(d.info().start_licence == "CC-BY-NC-4.0");
  CHECK(d.info().step == 77);
  std::vector<std::uint8_t> pixels(2 * 32 * 32 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::uint8_t(i * 7);
  const Detector inside(m, info);
  CHECK(d.score(pixels, 2) == inside.score(pixels, 2));
  Image photo(40, 50);
  for (std::size_t i = 0; i < photo.pixels.size(); ++i) photo.pixels[i] = std::uint8_t(i * 3);
  const auto r = d.detect(photo, {5, 5, 35, 35});
  CHECK(r.verdict == (r.score >= 0.25f ? Verdict::attack : Verdict::genuine));
  CHECK(d.detect(photo).score != r.score);  // the box counts
  expect_throw("2 images of 32x32", [&] { d.score(Span<const std::uint8_t>(pixels.data(), 5), 2); });

  const auto damaged = [&](const std::string& key, const std::string& text) {
    Metadata meta = info.to_metadata();
    text.empty() ? void(meta.erase(key)) : void(meta[key] = text);
    write_safetensors(folder / "d", stored_parameters(m.parameters()), meta);
    Detector bad(folder / "d");
  };
  expect_throw("no 'bonafide.format'", [&] { damaged("bonafide.format", ""); });
  expect_throw("model format 9", [&] { damaged("bonafide.format", "9"); });
  expect_throw("damaged metadata", [&] { damaged("bonafide.architecture", "{"); });
  expect_throw("impossible architecture", [&] {
    damaged("bonafide.architecture", R"({"name":"x","depths":[1,1,1,1],"dims":[8,-1,8,8],"conv_mlp":true,"drop_path":0,"projection":8})");
  });
  expect_throw("expected 'P(attack)'", [&] { damaged("bonafide.score", "P(genuine)"); });
  expect_throw("unreadable", [&] { damaged("bonafide.input_size", "wide"); });
}
