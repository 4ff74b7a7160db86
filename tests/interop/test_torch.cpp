// tests/interop/test_torch.cpp — files exchanged with PyTorch, timm and the safetensors package, both ways.
//
// Needs a Python that has them: BF_PYTHON (default python3). Where it has not, the cases are skipped.
#include <filesystem>

#include "data/model_file.h"
#include "layers/weights.h"
#include "tests/interop/python.h"
#include "tests/support/formula_model.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

bool no_torch() {
  static const bool missing = python_lacks("\"torch\", \"timm\", \"safetensors\"");
  return missing;
}
void torch_side(const std::string& arguments) { run_python("tests/interop/torch_side.py", arguments); }

PairedModelConfig config_of(const std::string& backbone) { return {.backbone = ConvNeXtV2Config::by_name(backbone)}; }

// Every parameter under `prefix` equals the formula's, after rounding to `stored`.
void expect_formula(const ParameterSet& parameters, const std::string& prefix, DType stored = DType::f32) {
  for (const auto& p : parameters.all()) {
    if (!p.spec.name.starts_with(prefix)) continue;
    auto want = formula_parameter(p.spec.name, dims(p.spec.shape));
    if (stored == DType::bf16)
      for (float& v : want) v = float(bf16(v));
    CHECK_MESSAGE(p.value.to_host() == want, p.spec.name);
  }
}

}  // namespace

TEST_SUITE("needs Python with torch, timm and safetensors (BF_PYTHON)" * doctest::skip(no_torch())) {
  TEST_CASE("interop: our model file loads strictly into timm and computes the same") {
    for (const std::string backbone : {"convnextv2_atto", "convnextv2_tiny"}) {
      TempFolder folder;
      const auto file = folder.path() / "model.safetensors", result = folder.path() / "result.json";
      Context ctx;
      PairedModel model(ctx, config_of(backbone));
      load_formula(model.parameters());
      save_model(file, model.parameters(), {.architecture = model.config(), .input_size = 64});
      torch_side("read '" + file.string() + "' " + backbone + " '" + result.string() + "'");

      std::ifstream in(result);
      const auto theirs = nlohmann::json::parse(in);
      CHECK(theirs["tensors"].get<std::size_t>() == model.parameters().all().size());
      CHECK(theirs["metadata"]["bonafide.format"] == "1");
      NoGrad guard(ctx);
      const auto ours = model(formula_batch(ctx, "interop", {1, 0}, 64, 64), {}, true);
      expect_close("logits", ours.logit.to_host(), numbers(theirs["logits"]), 1e-4, 1e-5);
      expect_close("features", ours.projection.to_host(), numbers(theirs["features"]), 1e-4, 1e-5);
    }
  }

  TEST_CASE("interop: start weights written by timm fill the backbone, the classifier is dropped") {
    for (const std::string backbone : {"convnextv2_atto", "convnextv2_tiny"}) {
      TempFolder folder;
      const auto file = folder.path() / "timm.safetensors";
      torch_side("write timm " + backbone + " '" + file.string() + "'");
      Context ctx;
      PairedModel model(ctx, config_of(backbone));
      model.parameters().initialise(1);
      load_backbone(model.parameters(), SafetensorsFile(file));
      expect_formula(model.parameters(), "backbone.");
      CHECK(model.parameters()["cls.weight"].to_host() !=
            formula_parameter("cls.weight", {1, model.config().backbone.features()}));
    }
  }

  TEST_CASE("interop: the published checkpoint's names (module.), in f32 and in bf16") {
    for (const DType stored : {DType::f32, DType::bf16}) {
      TempFolder folder;
      const auto file = folder.path() / "paired.safetensors";
      torch_side(std::string("write ") + (stored == DType::f32 ? "paired" : "paired_bf16") + " convnextv2_atto '" +
                 file.string() + "'");
      Context ctx;
      PairedModel model(ctx, config_of("convnextv2_atto"));
      load_strict(model.parameters(), SafetensorsFile(file));
      expect_formula(model.parameters(), "", stored);
    }
  }

  TEST_CASE("interop: what torch.save writes of a timm model loads and equals it, in every format and dtype") {
    for (const std::string format : {"zip", "stream", "protocol4", "double", "half", "bfloat16", "model_ema", "facebook"}) {
      CAPTURE(format);
      TempFolder folder;
      const auto file = folder.path() / "weights.pth";
      torch_side("save " + format + " convnextv2_atto '" + file.string() + "'");
      Context ctx;
      PairedModel model(ctx, config_of("convnextv2_atto"));
      model.parameters().initialise(1);
      const auto report = load_backbone(model.parameters(), WeightFile(file));
      CHECK(report.loaded.size() == model.parameters().all().size() - 6);  // but for the heads
      if (format == "half") {
        for (const auto& p : model.parameters().all()) {
          if (!p.spec.name.starts_with("backbone.")) continue;
          const auto want = formula_parameter(p.spec.name, dims(p.spec.shape)), got = p.value.to_host();
          for (std::size_t i = 0; i < want.size(); ++i)
            REQUIRE(std::abs(got[i] - want[i]) <= std::max(std::abs(want[i]) * 0x1p-11f, 0x1p-25f));
        }
      } else {
        expect_formula(model.parameters(), "backbone.", format == "bfloat16" ? DType::bf16 : DType::f32);
      }
    }
  }
}
