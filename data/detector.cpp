// data/detector.cpp
#include "data/detector.h"

#include <cmath>

#include "data/augment.h"
#include "layers/functional/normalize.h"

namespace bonafide {

double probability(float logit) {
  const double z = logit, e = std::exp(-std::abs(z));
  return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

const char* name_of(Verdict v) {
  return v == Verdict::genuine ? "genuine" : v == Verdict::attack ? "attack" : "no threshold";
}

Detector::Detector(const std::filesystem::path& model_file, DType compute)
    : own_context_(std::make_unique<Context>()), own_model_(load_model(*own_context_, model_file, &info_, compute)),
      model_(own_model_.get()), packed_(model_->pack()) {}
Detector::Detector(const PairedModel& model, ModelInfo info) : info_(std::move(info)), model_(&model), packed_(model.pack()) {}
Detector::~Detector() = default;

std::vector<float> Detector::logits(Span<const std::uint8_t> pixels, std::int64_t n) const {
  Context& ctx = model_->parameters().context();
  const std::int64_t size = info_.input_size;
  BF_CHECK(pixels.len == n * size * size * 3, pixels.len, " bytes for ", n, " images of ", size, "x", size);
  NoGrad guard(ctx);
  ctx.allocator().begin_batch(n);
  const Tensor images = Tensor::from_host(ctx, {n, size, size, 3}, std::span(pixels.ptr, std::size_t(pixels.len)));
  const Tensor x = fn::normalize(images, info_.mean, info_.std, model_->compute());
  return (*model_)(x, {.packed = &packed_}).logit.to_host();
}

std::vector<float> Detector::score(Span<const std::uint8_t> pixels, std::int64_t n) const {
  auto v = logits(pixels, n);
  for (float& z : v) z = float(probability(z));
  return v;
}

Detector::Result Detector::detect(const Image& photo, const Box& face) const {
  std::vector<std::uint8_t> crop(std::size_t(info_.input_size) * std::size_t(info_.input_size) * 3);
  make_sample(photo, face, info_.crop_margin, {}, {}, info_.input_size, info_.input_size, crop);
  Result r;
  r.score = score(crop, 1)[0];
  if (info_.threshold) r.verdict = r.score >= info_.threshold->value ? Verdict::attack : Verdict::genuine;
  return r;
}

}  // namespace bonafide
