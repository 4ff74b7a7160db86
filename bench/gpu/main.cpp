// bench/gpu/main.cpp — bench_gpu: every kernel and the whole model on a GPU. usage: bench_gpu [--json FILE] [--batch N]
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "bench/gpu/measure.h"

int main(int argc, char** argv) try {
  using namespace bonafide;
  std::string json;
  std::int64_t batch = 256;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc || (option != "--json" && option != "--batch")) {
      std::fprintf(stderr, "usage: bench_gpu [--json FILE] [--batch N]\n");
      return 2;
    }
    option == "--json" ? void(json = argv[i + 1]) : void(batch = std::atoll(argv[i + 1]));
  }
  Context ctx(Device{Device::cuda, 0});
  bench::Measure measure(ctx);
  measure.ceilings();
  bench::measure_models(measure);
  bench::measure_kernels(measure, batch);
  bench::measure_training_kernels(measure, batch);
  if (!json.empty() && !(std::ofstream(json) << measure.json())) throw Error("cannot write " + json);
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_gpu: %s\n", e.what());
  return 1;
}
