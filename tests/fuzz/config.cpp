// tests/fuzz/config.cpp — a training configuration (JSON with comments), and what is said about it.
#include "apps/common/options.h"
#include "tests/fuzz/target.h"

namespace bonafide::fuzz {
namespace {

// A first line that begins with '=' is an override, as on the command line.
void run(const std::string& input) {
  accepts([&] {
    const std::size_t end = input.starts_with("=") ? std::min(input.find('\n'), input.size() - 1) : 0;
    std::vector<std::string> overrides;
    if (end) overrides.push_back(input.substr(1, end - 1));
    const LoadedConfig c = load_config_text(input.substr(end), "fuzz.json", overrides);
    const std::string text = config_json(c.values);
    print_config(c);
    LoadedConfig again;
    must(accepts([&] { again = load_config_text(text, "written.json"); }), "refuses what it wrote: ", text);
    must(changed_values(c.values, again.values).empty(), "reads something else than it wrote: ", text);
  });
}

const Register target("config", run,
                      {R"({"seed": 1, // a comment
"model": {"model_name": "convnextv2_atto", "depths": [1, 2], "dims": null}, "trainer.epochs": 1e6})",
                       R"({"normalize": {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}, "simulate": {"species": {"print": 2}}})",
                       "=simulate.species=print:2,replay\n{\"simulate\": {\"enabled\": true}}", "=model.depths=3,3,9,3\n{}",
                       R"({"loss": {"type": "focal", "alpha": -1}})", R"({"unknown_key": [[[[]]]]})"});

}  // namespace
}  // namespace bonafide::fuzz
