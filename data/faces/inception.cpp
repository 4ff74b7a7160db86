// data/faces/inception.cpp
#include "data/faces/inception.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <mutex>

#include "data/faces/triangle_resize.h"
#include "engine/context.h"
#include "engine/digest.h"
#include "engine/host_values.h"
#include "layers/inception_resnet.h"

namespace bonafide {
namespace {

constexpr int kSide = InceptionResnetV1::kSide, kDimension = InceptionResnetV1::kDimension;
// Faces that go through the network together: always so many, black ones where there are fewer, because what oneDNN computes
// for one may differ in the last bit when there are others beside it.
constexpr std::int64_t kTogether = 8;

class InceptionEmbedder final : public FaceEmbedder {
 public:
  InceptionEmbedder(const std::string& file, Device device)
      : file_(file),
        identity_(str("inception ", std::filesystem::path(file).filename().string(), " ", file_digest(file))),
        context_(device),
        network_(loaded(file)) {}

  int dimension() const override { return kDimension; }
  Image prepare(const Image& photo, const Face& face) const override { return triangle_resize(cut_box(photo, face.box), kSide, kSide); }

  std::vector<float> embed(std::span<const Image> faces) const override {
    const std::scoped_lock one_at_a_time(mutex_);
    context_.use_in_this_thread();
    const NoGrad no_grad(context_);
    std::vector<float> all;
    for (std::size_t at = 0; at < faces.size(); at += std::size_t(kTogether)) {
      const auto some = faces.subspan(at, std::min(std::size_t(kTogether), faces.size() - at));
      const HostValues result(network_(input(some)));
      all.insert(all.end(), result.span().begin(), result.span().begin() + std::int64_t(some.size()) * kDimension);
    }
    for (std::size_t i = 0; i < faces.size(); ++i) {
      double squares = 0;
      for (int k = 0; k < kDimension; ++k) squares += double(all[i * kDimension + std::size_t(k)]) * double(all[i * kDimension + std::size_t(k)]);
      if (!std::isfinite(squares) || squares < 0.5) throw Error(file_ + ": an embedding of no length, or of no numbers");
    }
    return all;
  }
  std::string identity() const override { return identity_; }

 private:
  InceptionResnetV1 loaded(const std::string& file) {
    ParameterSet set(context_, inception_resnet_v1_state());
    load_inception_resnet_v1(set, WeightFile(file));
    return InceptionResnetV1(set);
  }
  Tensor input(std::span<const Image> faces) const {
    constexpr std::size_t kBytes = std::size_t(kSide) * kSide * 3;
    const Tensor x = Tensor::empty(context_, {kTogether, kSide, kSide, 3});
    write_values(x, [&](Span<float> out) {
      std::fill(out.begin(), out.end(), -127.5f / 128);
      for (std::size_t i = 0; i < faces.size(); ++i) {
        BF_CHECK(faces[i].height == kSide && faces[i].width == kSide, "a face of ", faces[i].height, " x ", faces[i].width, ", expected 160 x 160");
        for (std::size_t k = 0; k < kBytes; ++k) out.ptr[i * kBytes + k] = (float(faces[i].pixels[k]) - 127.5f) / 128;
      }
    });
    return x;
  }

  std::string file_, identity_;
  mutable std::mutex mutex_;
  mutable Context context_;
  InceptionResnetV1 network_;
};

}  // namespace

Image cut_box(const Image& photo, const Box& b) {
  const auto whole = [](float v) { return std::isfinite(v) ? int(std::clamp(v, -1.0f, 1e9f)) : 0; };
  const int x1 = whole(std::max(b.x1, 0.0f)), y1 = whole(std::max(b.y1, 0.0f));
  const int x2 = whole(std::min(b.x2, float(photo.width))), y2 = whole(std::min(b.y2, float(photo.height)));
  if (x2 <= x1 || y2 <= y1)
    throw Error(str("nothing of the box (", b.x1, ", ", b.y1, ") to (", b.x2, ", ", b.y2, ") lies in the photograph of ", photo.width, " x ",
                    photo.height));
  Image face = Image::uninitialized(y2 - y1, x2 - x1);
  for (int y = y1; y < y2; ++y) std::copy_n(photo.at(y, x1), std::size_t(x2 - x1) * 3, face.at(y - y1, 0));
  return face;
}

std::unique_ptr<FaceEmbedder> make_inception_embedder(const std::string& file, Device device) {
  return std::make_unique<InceptionEmbedder>(file, device);
}

}  // namespace bonafide
