// apps/doctor.cpp — `bonafide doctor`: what this build is and what it runs on, to be pasted into a bug report; with
// --model what a model holds and computes.
#include <cstdio>

#include "apps/commands.h"
#include "apps/common/build_info.h"
#include "apps/common/command_line.h"
#include "layers/model_cost.h"

namespace bonafide {
namespace {

// 28211841 -> "28,211,841"
std::string grouped(std::int64_t n) {
  std::string s = std::to_string(n);
  for (int at = int(s.size()) - 3; at > 0; at -= 3) s.insert(std::size_t(at), ",");
  return s;
}

void print_model(const PairedModelConfig& config, int size) {
  std::printf("model %s, input %dx%d, one image\n", config.backbone.name.c_str(), size, size);
  std::printf("  %-10s %15s %20s\n", "part", "parameters", "multiply-accumulates");
  PartCost total{"total"};
  const auto print = [](const PartCost& p) {
    std::printf("  %-10s %15s %20s\n", p.part.c_str(), grouped(p.parameters).c_str(), grouped(p.macs).c_str());
  };
  for (const PartCost& p : model_cost(config, size, size)) {
    print(p);
    total.parameters += p.parameters, total.macs += p.macs;
  }
  print(total);
  std::printf("%.1f M parameters, %.3f G multiply-accumulates\n", double(total.parameters) / 1e6, double(total.macs) / 1e9);
}

void print_facts() {
  std::puts(version_line().c_str());
  for (const Facts& facts : {build_facts(), machine_facts()})
    for (const auto& [name, value] : facts) std::printf("  %-14s %s\n", name.c_str(), value.c_str());
}

}  // namespace

int run_doctor(int argc, char** argv) {
  std::string model;
  int image_size = 224, proj_dim = 128;
  CLI::App app("What this build is and what it runs on; or what a model holds and computes.", "bonafide doctor");
  auto* name = app.add_option("--model", model, "parameters and multiply-accumulates of this model: convnextv2_tiny, ...");
  app.add_option("--image-size", image_size, "height and width of its input")->capture_default_str()->check(CLI::Range(32, 65536))->needs(name);
  app.add_option("--proj-dim", proj_dim, "width of its projection head")->capture_default_str()->check(CLI::Range(1, 65536))->needs(name);
  if (!parse_words(app, argc, argv)) return kExitOk;
  if (model.empty()) {
    print_facts();
    return kExitOk;
  }
  PairedModelConfig config{.projection = proj_dim};
  try {
    config.backbone = ConvNeXtV2Config::by_name(model);
  } catch (const Error& e) {
    throw UsageError(e.what());
  }
  print_model(config, image_size);
  return kExitOk;
}

}  // namespace bonafide
