// data/adversarial.cpp — the pixels as a leaf, and steps along the sign of their gradient.
#include "data/adversarial.h"

#include <algorithm>
#include <cmath>

namespace bonafide {

PixelAdversary::PixelAdversary(PairedModel& model, ModelInfo info, const AdversarialOptions& options)
    : model_(model), info_(std::move(info)), options_(options) {
  BF_CHECK(options_.epsilon >= 1 && options_.epsilon <= 255, "epsilon is 1 to 255 levels, not ", options_.epsilon);
  BF_CHECK(options_.steps >= 1, "steps of an attack: ", options_.steps);
  BF_CHECK(options_.step_size >= 0 && std::isfinite(options_.step_size), "step size ", options_.step_size);
  BF_CHECK(model.compute() == DType::f32, "gradients of pixels are f32: load the model so");
  if (options_.step_size == 0) options_.step_size = 2.5f * float(options_.epsilon) / float(options_.steps);
  for (const auto& p : model.parameters().all()) Tensor(p.value).require_grad(false);
}

PixelAdversary::Gradient PixelAdversary::gradient(const std::vector<float>& pixels, std::int64_t n) const {
  const std::int64_t size = info_.input_size;
  BF_CHECK(n > 0 && std::int64_t(pixels.size()) == n * size * size * 3, pixels.size(), " values for ", n, " images of ",
           size, "x", size);
  Context& ctx = model_.parameters().context();
  ctx.allocator().begin_batch(n);
  std::vector<float> values(pixels.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = (pixels[i] * (1.0f / 255) - info_.mean[i % 3]) / info_.std[i % 3];
  Tensor x = Tensor::from_host(ctx, {n, size, size, 3}, values);
  x.require_grad();
  Tensor logit = model_(x).logit;
  Gradient g;
  g.logits = logit.to_host();
  logit.backward(Tensor::full(ctx, logit.shape(), 1.0f));  // images do not mix: each logit's own gradient
  g.by_level = x.grad().to_host();
  for (std::size_t i = 0; i < values.size(); ++i) g.by_level[i] /= 255 * info_.std[i % 3];
  return g;
}

PixelAdversary::Result PixelAdversary::attack(const std::vector<std::uint8_t>& pixels, std::vector<Random> starts,
                                              bool toward_attack) const {
  const std::size_t n = starts.size(), each = n > 0 ? pixels.size() / n : 0;
  const float epsilon = float(options_.epsilon), up = toward_attack ? 1.0f : -1.0f;
  const std::vector<float> original(pixels.begin(), pixels.end());
  std::vector<float> moved = original, whole(moved.size());
  const auto move = [&](std::size_t i, float by) {
    moved[i] = std::clamp(moved[i] + by, std::max(0.0f, original[i] - epsilon), std::min(255.0f, original[i] + epsilon));
  };
  const auto follow = [&](const std::vector<float>& gradient, float step) {
    for (std::size_t i = 0; i < moved.size(); ++i)
      if (gradient[i] != 0) move(i, gradient[i] > 0 ? up * step : -up * step);
  };

  Gradient g = gradient(original, std::int64_t(n));
  Result r;
  r.before = g.logits;
  const bool pgd = options_.method == AdversarialOptions::Method::pgd;
  if (pgd) {
    for (std::size_t i = 0; i < moved.size(); ++i) move(i, starts[i / each].uniform(-epsilon, epsilon));
  } else {
    follow(g.by_level, epsilon);
  }
  for (int step = 0;; ++step) {
    for (std::size_t i = 0; i < moved.size(); ++i) whole[i] = std::round(moved[i]);
    g = gradient(whole, std::int64_t(n));
    r.course.push_back(g.logits);
    if (step == 0) r.after = g.logits, r.pixels.assign(whole.begin(), whole.end());
    for (std::size_t k = 0; k < n; ++k)
      if (up * g.logits[k] > up * r.after[k]) {
        r.after[k] = g.logits[k];
        std::copy_n(whole.begin() + std::ptrdiff_t(k * each), each, r.pixels.begin() + std::ptrdiff_t(k * each));
      }
    if (!pgd || step == options_.steps) return r;
    follow(g.by_level, options_.step_size);
  }
}

}  // namespace bonafide
