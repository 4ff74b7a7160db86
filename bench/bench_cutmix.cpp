// bench/bench_cutmix.cpp — CutMix of the published batch: 64 images of 224 pixels.
#include "bench/report.h"
#include "kernels/cutmix/cutmix.h"

using namespace bonafide;
using namespace bonafide::bench;

namespace {

template <class T>
void cutmix(benchmark::State& state) {
  const std::int64_t N = state.range(0), H = 224;
  std::vector<T> image(std::size_t(N * H * H * 3));
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = T(float(i * 7 % 251));
  std::vector<std::int32_t> partner;
  for (std::int64_t i = 0; i < N; ++i) partner.push_back(std::int32_t((i + 1) % N));
  std::vector<T> out(image.size());
  const kernels::CutMix<T> a{.image = image,
                             .partner = partner,
                             .out = out,
                             .M = N,
                             .H = H,
                             .W = H,
                             .C = 3,
                             .x1 = 50,
                             .y1 = 0,
                             .x2 = 150,
                             .y2 = 100};
  kernels::cpu::cutmix(a);
  BF_CHECK(out[150] == image[std::size_t(H * H * 3) + 150] && out[149] == image[149], "wrong pixels");
  for (auto _ : state) kernels::cpu::cutmix(a);
  report(state, kernels::cutmix_cost<T>(N, H, H, 3));
}
BENCHMARK(cutmix<std::uint8_t>)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(cutmix<float>)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();

}  // namespace
