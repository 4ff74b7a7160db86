// data/detector.h — the trained detector as a product uses it: pixels and a face box in, score and verdict out.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/image.h"
#include "data/model_file.h"

namespace bonafide {

enum class Verdict : std::uint8_t { genuine, attack, no_threshold };
const char* name_of(Verdict);

class Detector {
 public:
  struct Result {
    float score = 0;  // P(attack)
    Verdict verdict = Verdict::no_threshold;
  };

  explicit Detector(const std::filesystem::path& model_file, DType compute = DType::f32);
  // Around a model in training, with the weights that it has now. The model must outlive the detector.
  Detector(const PairedModel& model, ModelInfo info);
  ~Detector();

  const ModelInfo& info() const { return info_; }
  // One photograph; an invalid box means the whole image is the face.
  Result detect(const Image& photo, const Box& face = {}) const;
  // pixels: [n, S, S, 3], cropped and resized as the model file says (S = info().input_size). P(attack) of each.
  // One thread at a time.
  std::vector<float> score(Span<const std::uint8_t> pixels, std::int64_t n) const;
  // The same before the sigmoid: what thresholds are searched on when scores saturate.
  std::vector<float> logits(Span<const std::uint8_t> pixels, std::int64_t n) const;

 private:
  ModelInfo info_;  // first: reading the model file fills it
  std::unique_ptr<Context> own_context_;
  std::unique_ptr<PairedModel> own_model_;
  const PairedModel* model_;
  PackedWeights packed_;
};

// P(attack) of a logit, in double: two large logits stay apart.
double probability(float logit);

}  // namespace bonafide
