// bench/bench_loader.cpp — photographs a second on one core: JPEG files of 500 x 375 pixels (quality 90, 4:2:0) on disk
// to batches of 224 x 224. The decoder alone, the file, and the whole loader: evaluation, and training as published.
// Rates are by processor time of all threads: what one core does.
#include <benchmark/benchmark.h>
#include <turbojpeg.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "bench/report.h"
#include "data/augment.h"
#include "data/images/decode.h"
#include "data/loader.h"
#include "engine/files.h"

using namespace bonafide;

namespace {

constexpr int kWidth = 500, kHeight = 375, kFiles = 64;

// Smooth shapes with edges and grain: about as many bytes as a photograph.
std::vector<std::uint8_t> picture(int salt) {
  std::vector<std::uint8_t> p(std::size_t(kWidth) * kHeight * 3);
  std::uint32_t s = std::uint32_t(salt) + 1;
  for (int y = 0; y < kHeight; ++y)
    for (int x = 0; x < kWidth; ++x)
      for (int c = 0; c < 3; ++c) {
        s = s * 1664525u + 1013904223u;
        const double smooth = 128 + 60 * std::sin((x + 7 * salt) / 23.0 + c) + 40 * std::cos(y / 31.0 - c);
        const double edge = ((x / 50 + y / 40 + salt) & 1) ? 18 : -18;
        p[(std::size_t(y) * kWidth + std::size_t(x)) * 3 + std::size_t(c)] =
            std::uint8_t(std::clamp(smooth + edge + double(s >> 24) / 16 - 8, 0.0, 255.0));
      }
  return p;
}

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / "bonafide-bench-loader";
  std::vector<std::string> bytes;
  double mean_bytes = 0;
  Folder() {
    std::filesystem::create_directories(path);
    const tjhandle handle = tjInitCompress();
    for (int i = 0; i < kFiles; ++i) {
      const auto pixels = picture(i);
      unsigned char* out = nullptr;
      unsigned long size = 0;
      BF_CHECK(!tjCompress2(handle, pixels.data(), kWidth, 0, kHeight, TJPF_RGB, &out, &size, TJSAMP_420, 90, 0),
               "tjCompress2");
      bytes.emplace_back(reinterpret_cast<char*>(out), size);
      std::ofstream(path / name(i), std::ios::binary) << bytes.back();
      mean_bytes += double(size) / kFiles;
      tjFree(out);
    }
    tjDestroy(handle);
  }
  ~Folder() { std::filesystem::remove_all(path); }
  static std::string name(int i) { return str(i, ".jpg"); }
};
Folder& folder() {
  static Folder f;
  return f;
}

void per_image(benchmark::State& state, double images) {
  state.counters["images/s"] = benchmark::Counter(images, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["file_bytes"] = folder().mean_bytes;
}

void turbojpeg_alone(benchmark::State& state) {
  Folder& f = folder();
  const tjhandle handle = tjInitDecompress();
  std::vector<std::uint8_t> out(std::size_t(kWidth) * kHeight * 3);
  for (auto _ : state)
    for (const std::string& b : f.bytes)
      tjDecompress2(handle, reinterpret_cast<const unsigned char*>(b.data()), b.size(), out.data(), kWidth, 0, kHeight,
                    TJPF_RGB, TJFLAG_ACCURATEDCT);
  tjDestroy(handle);
  per_image(state, kFiles);
}

void decode_file(benchmark::State& state) {
  Folder& f = folder();
  for (auto _ : state)
    for (int i = 0; i < kFiles; ++i)
      benchmark::DoNotOptimize(decode_image((f.path / Folder::name(i)).string()).pixels.data());
  per_image(state, kFiles);
}

// One worker, no cache: one core's worth. augment: the published probabilities on every image.
void loader(benchmark::State& state, bool augment) {
  Folder& f = folder();
  auto manifest = std::make_shared<Manifest>();
  for (int i = 0; i < kFiles; ++i) {
    Record r;
    r.filename = Folder::name(i);
    r.box = {100, 60, 380, 340};
    manifest->records.push_back(r);
  }
  const AugmentSettings settings;
  const auto plan = [&](std::int64_t step) {
    BatchPlan p;
    p.step = step, p.seed = 1;
    for (int i = 0; i < kFiles; ++i) p.samples.push_back({.record = i});
    return p;
  };
  const auto sample = [&](const Image& image, const Box& box, const SampleDraw& draw, int height, int width,
                          std::uint8_t* out) {
    Random random(1, "augment", std::uint64_t(draw.record), 0);
    make_sample(image, box, 1.2, augment ? draw_augment(random, settings) : AugmentDraw(), {}, height, width,
                {out, std::int64_t(height) * width * 3});
  };
  Loader l(manifest, plan, std::make_shared<FileImageSource>(f.path.string()), nullptr, sample,
           {.height = 224, .width = 224, .workers = 1, .cache_bytes = 0});
  l.next();
  for (auto _ : state) benchmark::DoNotOptimize(l.next().images.data());
  per_image(state, kFiles);
}

BENCHMARK(turbojpeg_alone)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
BENCHMARK(decode_file)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(loader, evaluation, false)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();
BENCHMARK_CAPTURE(loader, training, true)->Unit(benchmark::kMillisecond)->MeasureProcessCPUTime();

}  // namespace
