// tests/host/test_weights.cpp — weights by name from timm's, facebookresearch's and the paper's files; model files.
#include "layers/weights.h"

#include <cmath>
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
  expect_throw("expected 'P(attack)'", [&] { damaged("bonafide.score", "P(genuine)"); });
  const auto refused = [&](const std::string& key, const std::string& text, const std::string& expected) {
    const auto load = [&] { damaged("bonafide." + key, text); };
    expect_throw("d: metadata 'bonafide." + key + "': expected " + expected, load);
    expect_throw(", found '" + text.substr(0, 20), load);
  };
  for (const char* number : {"wide", "0", "-32", "4097", "32.5", "32 ", "99999999999999999999"})
    refused("input_size", number, "a whole number from 1 to 4096");
  refused("step", "-1", "a whole number from 0 to");
  for (const char* colour : {"[1,1]", "[1,1,1,1]", "{}", "1"}) refused("mean", colour, "a list of 3");
  for (const char* colour : {"[0,1,1]", "[1,-1,1]", "[1,1,null]", "[1,1,\"1\"]", "[1e7,1,1]"}) refused("std", colour, "a number from");
  refused("mean", "[1e400,1,1]", "JSON");  // out of a double's range
  for (const char* margin : {"0", "-1", "1000", "null", "[1]"}) refused("crop_margin", margin, "a number from 0.01 to 100");
  refused("trained_species", "[7]", "a list of species");
  refused("trained_species", R"(["spoof"])", "a list of species");
  refused("trained_species", std::string(100000, '['), "less deeply nested JSON");
  refused("threshold", R"({"value":null,"criterion":"eer","data":"","genuine":1,"attacks":1,"interval":[0,1]})", "a number from");
  refused("threshold", R"({"value":0.5,"criterion":"eer","data":"","genuine":1.5,"attacks":1,"interval":[0,1]})", "a whole number");
  refused("threshold", R"({"value":0.5,"criterion":"eer","data":"","genuine":1,"attacks":1,"interval":[0]})", "a list of 2");
  refused("threshold", R"({"value":0.5})", "an object with 'interval'");
  refused("start_weights", R"({"name":"a","licence":1,"digest":""})", "a text as 'licence'");

  const auto architecture = [&](const std::string& depths, const std::string& dims, const std::string& rest) {
    return R"({"name":"x","depths":)" + depths + R"(,"dims":)" + dims + R"(,"conv_mlp":)" + rest + "}";
  };
  const std::string rest = R"(true,"drop_path":0,"projection":8)";
  refused("architecture", "{", "JSON");
  refused("architecture", architecture("[1,1,1]", "[8,8,8,8]", rest), "a list of 4 as 'depths'");
  refused("architecture", architecture("[1,1,1,1]", "[8,-1,8,8]", rest), "a whole number from 1 to 65536 as 'dims'");
  refused("architecture", architecture("[1,1,1,1.5]", "[8,8,8,8]", rest), "a whole number from 1 to 1000 as 'depths'");
  refused("architecture", architecture("[1,1,1,18446744073709551615]", "[8,8,8,8]", rest), "a whole number");
  refused("architecture", architecture("[1,1,1,1]", "[8,8,8,8]", R"(1,"drop_path":0,"projection":8)"), "true or false");
  refused("architecture", architecture("[1,1,1,1]", "[8,8,8,8]", R"(true,"drop_path":2,"projection":8)"), "a number from 0 to 1");
  // Sixteen gigabytes a layer, claimed by a small file: refused before anything is allocated.
  expect_throw("d: its architecture has", [&] {
    damaged("bonafide.architecture", architecture("[1000,1000,1000,1000]", "[65536,65536,65536,65536]", rest));
  });
}

TEST_CASE("weights: a value that is not finite is an error that names tensor and element") {
  const TempFolder folder;
  Context ctx;
  PairedModel m(ctx, small(true));
  m.parameters().initialise(3);
  ModelInfo info;
  info.architecture = m.config();
  for (const auto& [value, word] : {std::pair{std::nanf(""), "nan"}, {INFINITY, "inf"}, {-INFINITY, "-inf"}}) {
    m.parameters()["backbone.head.norm.bias"].span<float>()[5] = value;
    save_model(folder / "bad.safetensors", m.parameters(), info);
    expect_throw(str("bad.safetensors: backbone.head.norm.bias: element 5 of 24 is ", word, ", no finite number"),
                 [&] { Detector d(folder / "bad.safetensors"); });
  }
}
