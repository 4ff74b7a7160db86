// tests/host/test_model_cost.cpp — parameters and multiply-accumulates of every size against PyTorch's counter, and
// against the published figures of the paper's network.
#include "layers/model_cost.h"

#include "tests/support/fixture.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

PartCost total(const PairedModelConfig& c, std::int64_t height, std::int64_t width) {
  PartCost sum;
  for (const PartCost& p : model_cost(c, height, width)) sum.parameters += p.parameters, sum.macs += p.macs;
  return sum;
}

}  // namespace

TEST_CASE("model cost: every size is what PyTorch counts") {
  const auto want = fixture("counts.json");
  CHECK(want["macs"].size() == 9);
  for (const auto& [name, sizes] : want["macs"].items()) {
    const PairedModelConfig c{.backbone = ConvNeXtV2Config::by_name(name)};
    CAPTURE(name);
    CHECK(total(c, 224, 224).macs == sizes["224x224"].get<std::int64_t>());
    CHECK(total(c, 112, 112).macs == sizes["112x112"].get<std::int64_t>());
    CHECK(total(c, 75, 102).macs == sizes["75x102"].get<std::int64_t>());  // maps round down
    CHECK(total(c, 64, 64).parameters == want["paired"][name]["parameters"].get<std::int64_t>());
  }
}

TEST_CASE("model cost: the paper's network, part by part") {
  const PairedModelConfig c{.backbone = ConvNeXtV2Config::by_name("convnextv2_tiny")};
  const auto parts = model_cost(c, 224, 224);
  std::vector<std::string> names;
  std::int64_t backbone = 0;
  for (const PartCost& p : parts) {
    names.push_back(p.part);
    if (p.part != "cls" && p.part != "proj") backbone += p.macs;
  }
  CHECK(names == std::vector<std::string>{"stem", "stages.0", "stages.1", "stages.2", "stages.3", "head.norm", "cls", "proj"});
  CHECK(parts[0].macs == 56 * 56 * 96 * 48);
  CHECK(parts[5].macs == 0);
  CHECK(parts[6].macs == 768);
  CHECK(parts[7].macs == 768 * 384 + 384 * 128);
  CHECK(backbone == 4'454'763'264);  // "4.455 G"
  CHECK(total(c, 224, 224).parameters == 28'211'841);
  PairedModelConfig wide = c;
  wide.projection = 256;
  CHECK(total(wide, 224, 224).macs - total(c, 224, 224).macs == 384 * 128);
  expect_throw("at least 32x32", [&] { model_cost(c, 31, 224); });
}
