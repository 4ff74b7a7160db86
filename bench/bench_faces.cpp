// bench/bench_faces.cpp — photographs a second through MTCNN, one for each thread. BF_PHOTOS: a folder of image files;
// BF_MTCNN: the folder of the weights (./dev weights). bench/compare/compare_faces.py sets both and runs facenet-pytorch beside it.
#include <benchmark/benchmark.h>
#include <omp.h>

#include <atomic>
#include <cstdlib>

#include "data/faces/mtcnn.h"
#include "data/images/decode.h"
#include "data/list_folder.h"

using namespace bonafide;

namespace {

struct Setting {
  std::vector<Image> photos;
  std::unique_ptr<FaceDetector> detector;
  std::int64_t faces = 0;
  static const Setting& get() {
    static const Setting s = [] {
      const char *photos = std::getenv("BF_PHOTOS"), *weights = std::getenv("BF_MTCNN");
      Setting made;
      if (!photos || !weights) return made;
      for (const std::string& name : list_folder(photos).files) made.photos.push_back(decode_image(std::string(photos) + "/" + name));
      made.detector = make_mtcnn_detector(weights);
      for (const Image& p : made.photos) made.faces += std::int64_t(made.detector->detect(p).size());
      return made;
    }();
    return s;
  }
};

void detect(benchmark::State& state) {
  omp_set_num_threads(1);  // of each benchmark thread
  const Setting& s = Setting::get();
  if (!s.detector) {
    for (auto _ : state) state.SkipWithError("BF_PHOTOS and BF_MTCNN are not set");
    return;
  }
  std::size_t i = std::size_t(state.thread_index());
  for (auto _ : state) benchmark::DoNotOptimize(s.detector->detect(s.photos[i++ % s.photos.size()]));
  state.SetItemsProcessed(state.iterations());
  state.counters["faces"] = benchmark::Counter(double(s.faces), benchmark::Counter::kAvgThreads);
}

}  // namespace

BENCHMARK(detect)->Unit(benchmark::kMillisecond)->UseRealTime()->Threads(1)->Threads(2);
