// tests/interop/test_torch.cpp — files exchanged with PyTorch, timm and the safetensors package, both ways.
//
// Needs a Python that has them: BF_PYTHON (default python3). Where it has not, the cases are skipped.
#include <cstdlib>
#include <filesystem>

#include "data/model_file.h"
#include "layers/weights.h"
#include "tests/support/formula_model.h"
#include "tests/support/temp_folder.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

std::string python() {
  const char* p = std::getenv("BF_PYTHON");
  return p && *p ? p : "python3";
}
bool no_torch() {
  static const bool missing = std::system((python() + " -c 'import importlib.util as u, sys; sys.exit(not "
                                                      "all(map(u.find_spec, (\"torch\", \"timm\", \"safetensors\"))))'"
                                                      " > /dev/null 2>&1")
                                              .c_str()) != 0;
  return missing;
}

void torch_side(const std::string& arguments) {
  const std::string command =
      "'" + python() + "' -W ignore '" BF_SOURCE_DIR "/tests/interop/torch_side.py' " + arguments;
  REQUIRE_MESSAGE(std::system(command.c_str()) == 0, "failed: ", command);
}

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
}
