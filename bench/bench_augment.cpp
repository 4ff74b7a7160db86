// bench/bench_augment.cpp — what one training image costs: each augmentation on a 150 x 150 crop, resize and normalise
// to 224 x 224, and the whole path.
#include <benchmark/benchmark.h>

#include <vector>

#include "data/augment.h"
#include "kernels/brightness_contrast/brightness_contrast.h"
#include "kernels/flip/flip.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "kernels/normalize/normalize.h"

using namespace bonafide;

namespace {

constexpr int kSide = 150, kOut = 224;

Image photo(int side) {
  Image image(side, side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x)
      for (int c = 0; c < 3; ++c) image.at(y, x)[c] = std::uint8_t(60 + 20 * c + (x * y / 50) % 80 + (x + c) % 17);
  return image;
}

// Runs `f` on the same crop again and again; it must change the crop, and only it is timed.
template <class F>
void in_place(benchmark::State& state, const Cost& cost, F&& f) {
  const Image before = photo(kSide);
  Image image = before;
  f(image);
  BF_CHECK(image.pixels != before.pixels, "the operation did nothing");
  for (auto _ : state) {
    f(image);
    benchmark::DoNotOptimize(image.pixels.data());
  }
  state.SetBytesProcessed(std::int64_t(cost.bytes()) * state.iterations());
}

void flip(benchmark::State& s) {
  in_place(s, kernels::flip_cost(kSide, kSide), [](Image& i) { kernels::cpu::flip({i.pixels, i.height, i.width}); });
}
void brightness_contrast(benchmark::State& s) {
  in_place(s, kernels::brightness_contrast_cost(3 * kSide * kSide), [](Image& i) {
    kernels::cpu::brightness_contrast({i.pixels, 1.02f, -0.01f});
  });
}
void hue_saturation_value(benchmark::State& s) {
  in_place(s, kernels::hue_saturation_value_cost(kSide * kSide), [](Image& i) {
    kernels::cpu::hue_saturation_value({i.pixels, 7, 1, 1});
  });
}
void jpeg_round_trip(benchmark::State& s) {
  in_place(s, kernels::jpeg_round_trip_cost(kSide, kSide), [](Image& i) {
    kernels::cpu::jpeg_round_trip({i.pixels, i.height, i.width, 50});
  });
}
void crop_resize(benchmark::State& state) {
  const Image image = photo(kSide + 100);
  const kernels::Rect crop{50, 40, 50 + kSide, 40 + kSide};
  std::vector<std::uint8_t> out(3 * kOut * kOut);
  for (auto _ : state) {
    kernels::cpu::crop_resize({image.pixels, image.height, image.width, 0, crop, out, kOut, kOut});
    benchmark::DoNotOptimize(out.data());
  }
  BF_CHECK(out[0] == image.at(40, 50)[0], "the corner is ", int(out[0]));
  state.SetBytesProcessed(std::int64_t(kernels::crop_resize_cost(crop, kOut, kOut).bytes()) * state.iterations());
}
BENCHMARK(flip)->Unit(benchmark::kMicrosecond);
BENCHMARK(brightness_contrast)->Unit(benchmark::kMicrosecond);
BENCHMARK(hue_saturation_value)->Unit(benchmark::kMicrosecond);
BENCHMARK(jpeg_round_trip)->Unit(benchmark::kMicrosecond);
BENCHMARK(crop_resize)->Unit(benchmark::kMicrosecond);

template <class T>
void normalize(benchmark::State& state) {
  const std::int64_t pixels = state.range(0) * kOut * kOut;
  std::vector<std::uint8_t> x(std::size_t(3 * pixels), 51);
  std::vector<T> y(std::size_t(3 * pixels), T(0));
  const kernels::Normalize<T> a{x, y, {0.1f, 0.1f, 0.1f}, {0.5f, 0.5f, 0.5f}};
  for (auto _ : state) {
    kernels::cpu::normalize(a);
    benchmark::DoNotOptimize(y.data());
  }
  BF_CHECK(std::abs(to_f32(y[0]) - 0.2f) < 1e-3f, "normalize gives ", to_f32(y[0]));
  state.SetBytesProcessed(std::int64_t(kernels::normalize_cost<T>(pixels).bytes()) * state.iterations());
}
BENCHMARK(normalize<float>)->Arg(1)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(normalize<bf16>)->Arg(1)->Arg(64)->Unit(benchmark::kMicrosecond)->UseRealTime();

// Photograph to sample: 0 nothing drawn, 1 all four operations.
void make_sample(benchmark::State& state) {
  const Image image = photo(kSide + 100);
  AugmentDraw d;
  d.flip = d.brightness_contrast = d.hue_saturation_value = d.jpeg = state.range(0) == 1;
  d.alpha = 1.05f, d.beta = 0.03f, d.hue = 5, d.saturation = -4, d.value = 3, d.jpeg_quality = 50;
  std::vector<std::uint8_t> out(3 * kOut * kOut);
  for (auto _ : state) {
    bonafide::make_sample(image, {60, 50, 185, 175}, 1.2f, d, {}, kOut, kOut, out);
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(make_sample)->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

}  // namespace
