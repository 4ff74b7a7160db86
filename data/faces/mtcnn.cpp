// data/faces/mtcnn.cpp — the cascade: PNet over a pyramid of the photograph, RNet and ONet over what is left of its windows.
#include "data/faces/mtcnn.h"

#include <algorithm>
#include <cmath>

#include "data/faces/mtcnn_boxes.h"
#include "data/faces/pool.h"
#include "engine/context.h"
#include "engine/digest.h"
#include "engine/host_values.h"
#include "layers/mtcnn.h"
#include "layers/weights.h"

namespace bonafide {
namespace {

namespace fs = std::filesystem;
using mtcnn::Candidate;
using mtcnn::Overlap;

// PNet sees a scale in bands of so many rows of cells: what its layers hand on then stays in a core's cache, and a photograph
// of 100 megapixels needs no more memory than a small one of its width.
constexpr int kBandRows = 32;
constexpr std::int64_t kBatch = 256;                      // windows that RNet and ONet see at a time
constexpr std::size_t kMostCached = std::size_t(64) << 20;  // bytes: photographs come in many sizes

const char* const kNames[] = {"pnet", "rnet", "onet"};

std::string weight_file(const fs::path& folder, const char* net) {
  for (const char* ending : {".pt", ".safetensors"})
    if (std::error_code none; fs::exists(folder / (std::string(net) + ending), none)) return (folder / (std::string(net) + ending)).string();
  return (folder / (std::string(net) + ".pt")).string();  // for the message
}

class Networks {
 public:
  Networks(Device device, const std::array<std::shared_ptr<const WeightFile>, 3>& files)
      : context_(std::make_unique<Context>(device)),
        pnet_(loaded(pnet_parameters(), *files[0])),
        rnet_(loaded(rnet_parameters(), *files[1])),
        onet_(loaded(onet_parameters(), *files[2])) {}

  std::vector<Candidate> detect(const Image& photo, const MtcnnSettings& settings) {
    context_->use_in_this_thread();
    const NoGrad no_grad(*context_);
    std::vector<Candidate> c = propose(photo, settings);
    refine(photo, settings.thresholds[1], c);
    conclude(photo, settings.thresholds[2], c);
    if (context_->allocator().stats().cached_bytes > kMostCached) context_->allocator().release_cache();
    return c;
  }

 private:
  ParameterSet loaded(std::vector<ParameterSpec> specs, const WeightFile& file) const {
    ParameterSet set(*context_, std::move(specs));
    load_strict(set, file);
    return set;
  }

  template <class Fill>
  Tensor input(std::int64_t n, std::int64_t height, std::int64_t width, Fill&& fill) {
    const Tensor x = Tensor::empty(*context_, {n, height, width, 3});
    write_values(x, fill);
    return x;
  }

  // Windows that PNet takes for faces, regressed and square.
  std::vector<Candidate> propose(const Image& photo, const MtcnnSettings& settings) {
    std::vector<Candidate> all;
    for (const double scale : mtcnn::pyramid_scales(photo.height, photo.width, settings.least_face, settings.factor)) {
      const int height = mtcnn::scaled_side(photo.height, scale), width = mtcnn::scaled_side(photo.width, scale);
      const int rows = int(PNet::cells(height)), columns = int(PNet::cells(width));
      std::vector<Candidate> here;
      for (int first = 0; first < rows; first += kBandRows) {
        const int band = std::min(kBandRows, rows - first), top = 2 * first;
        const int pixels = first + band == rows ? height - top : 2 * band + 10;  // the last has what an odd height leaves over
        const Tensor x = input(1, pixels, width, [&](Span<float> out) {
          mtcnn::average_pixels(photo, {0, 0, photo.width, photo.height}, height, width, top, pixels, out);
        });
        const HostValues answers(pnet_(x));
        mtcnn::decode_cells({answers.span().ptr, std::size_t(answers.span().len)}, band, columns, first, scale, settings.thresholds[0], here);
      }
      mtcnn::keep_best(here, 0.5, Overlap::of_union);
      all.insert(all.end(), here.begin(), here.end());
    }
    mtcnn::keep_best(all, 0.7, Overlap::of_union);
    for (Candidate& c : all) c.box = mtcnn::squared(mtcnn::regressed(c.box, c.move, false));
    return all;
  }

  // Runs the network over all windows: use(candidate, answer) for those that have pixels; the others are dropped.
  template <class Net, class Use>
  void look(const Net& net, const Image& photo, std::vector<Candidate>& c, Use&& use) {
    std::erase_if(c, [&](const Candidate& v) { return mtcnn::pixels_of(v.box, photo.width, photo.height).empty(); });
    constexpr std::int64_t kValues = std::int64_t(Net::kSide) * Net::kSide * 3;
    for (std::int64_t at = 0; at < std::int64_t(c.size()); at += kBatch) {
      const std::int64_t n = std::min(kBatch, std::int64_t(c.size()) - at);
      const Tensor x = input(n, Net::kSide, Net::kSide, [&](Span<float> out) {
        for (std::int64_t i = 0; i < n; ++i)
          mtcnn::average_pixels(photo, mtcnn::pixels_of(c[std::size_t(at + i)].box, photo.width, photo.height), Net::kSide, Net::kSide, 0,
                                Net::kSide, out.slice(i * kValues, kValues));
      });
      const HostValues answers(net(x));
      for (std::int64_t i = 0; i < n; ++i) use(c[std::size_t(at + i)], answers.span().slice(i * Net::kAnswers, Net::kAnswers).ptr);
    }
  }

  // a: two logits, four moves.
  static void judge(Candidate& c, const float* a) { c.score = mtcnn::face_probability(a[0], a[1]), std::copy_n(a + 2, 4, c.move.begin()); }
  static void keep_above(std::vector<Candidate>& c, float threshold) {
    std::erase_if(c, [&](const Candidate& v) { return !(v.score > threshold); });
  }

  void refine(const Image& photo, float threshold, std::vector<Candidate>& c) {
    look(rnet_, photo, c, [](Candidate& v, const float* a) { judge(v, a); });
    keep_above(c, threshold);
    mtcnn::keep_best(c, 0.7, Overlap::of_union);
    for (Candidate& v : c) v.box = mtcnn::squared(mtcnn::regressed(v.box, v.move, true));
  }

  void conclude(const Image& photo, float threshold, std::vector<Candidate>& c) {
    look(onet_, photo, c, [](Candidate& v, const float* a) { judge(v, a), v.landmarks = mtcnn::landmarks_in(v.box, {a + 6, 10}); });
    keep_above(c, threshold);
    for (Candidate& v : c) v.box = mtcnn::regressed(v.box, v.move, true);
    mtcnn::keep_best(c, 0.7, Overlap::of_smaller);
  }

  std::unique_ptr<Context> context_;
  PNet pnet_;
  RNet rnet_;
  ONet onet_;
};

class MtcnnDetector final : public FaceDetector {
 public:
  MtcnnDetector(const std::string& folder, Device device, const MtcnnSettings& settings)
      : settings_(settings), networks_([this, device] { return Networks(device, files_); }) {
    identity_ = str("mtcnn least face ", settings.least_face);
    for (std::size_t i = 0; i < files_.size(); ++i) {
      const std::string file = weight_file(folder, kNames[i]);
      files_[i] = std::make_shared<const WeightFile>(file);
      identity_ += str(", ", fs::path(file).filename().string(), " ", file_digest(file));
    }
    detect(Image(32, 32));  // files that are no such networks are told now
  }

  std::vector<Face> detect(const Image& photo) const override {
    std::vector<Candidate> found = networks_.with([&](Networks& n) { return n.detect(photo, settings_); });
    const auto area = [](const Candidate& c) { return (c.box.x2 - c.box.x1) * (c.box.y2 - c.box.y1); };
    std::stable_sort(found.begin(), found.end(), [&](const Candidate& a, const Candidate& b) { return area(a) > area(b); });
    std::vector<Face> faces;
    for (Candidate& c : found) faces.push_back({c.box, c.score, std::move(c.landmarks)});
    return faces;
  }
  std::string identity() const override { return identity_; }
  bool has_landmarks() const override { return true; }

 private:
  MtcnnSettings settings_;
  std::string identity_;
  std::array<std::shared_ptr<const WeightFile>, 3> files_;
  Pool<Networks> networks_;
};

}  // namespace

std::string find_mtcnn_weights(const std::vector<fs::path>& folders) {
  std::string where;
  for (const fs::path& folder : folders) {
    if (std::all_of(std::begin(kNames), std::end(kNames), [&](const char* n) { return fs::exists(weight_file(folder, n)); })) return folder.string();
    where += (where.empty() ? "" : ", ") + folder.string();
  }
  throw Error(str("needs pnet.pt, rnet.pt and onet.pt, which are not in ", where, ": ./dev weights fetches them, or name their folder: mtcnn:FOLDER"));
}

std::unique_ptr<FaceDetector> make_mtcnn_detector(const std::string& folder, Device device, const MtcnnSettings& settings) {
  return std::make_unique<MtcnnDetector>(folder.empty() ? find_mtcnn_weights({".cache/weights/mtcnn"}) : folder, device, settings);
}

}  // namespace bonafide
