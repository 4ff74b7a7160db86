// tests/support/gradcheck.cpp
#include "tests/support/gradcheck.h"

namespace bonafide::test {
namespace {

std::vector<float> normals(std::int64_t n, unsigned salt) {
  const auto b = Buffer<float>::random(n, salt);
  return {b.span().begin(), b.span().end()};
}

struct WeightedSumNode final : Node {
  std::vector<float> w;
  const char* name() const override { return "weighted_sum"; }
  void backward(const Tensor& dy) override {
    const auto slot = inputs[0].grad_slot();
    if (slot.mode == GradMode::skip) return;
    const float s = dy.item();
    Tensor d = slot.buffer;
    std::vector<float> values(w.size(), 0.0f);
    if (slot.mode == GradMode::add) values = d.to_host();
    for (std::size_t i = 0; i < w.size(); ++i) values[i] += s * w[i];
    d.copy_from_host(values);
  }
};

}  // namespace

Tensor weighted_sum(const Tensor& x, const std::vector<float>& w) {
  BF_CHECK(x.numel() == std::int64_t(w.size()), x.shape().str(), " and ", w.size(), " weights");
  const auto v = x.to_host();
  double sum = 0;
  for (std::size_t i = 0; i < v.size(); ++i) sum += double(v[i]) * w[i];
  Tensor y = Tensor::full(x.context(), {1}, float(sum));
  if (needs_grad(x.context(), x)) {
    auto n = std::make_shared<WeightedSumNode>();
    n->inputs = {x}, n->w = w;
    y.set_node(std::move(n));
  }
  return y;
}

Tensor random_leaf(Context& ctx, Shape shape, unsigned salt, float mean, float std) {
  const auto b = Buffer<float>::random(shape.numel(), salt, mean, std);
  return Tensor::from_host(ctx, shape, std::span<const float>(b.span().ptr, std::size_t(b.size()))).require_grad();
}

void check_gradients(std::vector<Tensor> leaves, const std::function<Tensor()>& f, double rtol, double atol, double step) {
  std::vector<float> w;
  const auto loss = [&] {
    const Tensor y = f();
    if (w.empty()) w = normals(y.numel(), 991);
    return weighted_sum(y, w);
  };
  const auto value = [&] {  // in double: the f32 scalar would lose the difference
    NoGrad guard(leaves[0].context());
    const auto v = f().to_host();
    double s = 0;
    for (std::size_t i = 0; i < v.size(); ++i) s += double(v[i]) * w[i];
    return s;
  };
  for (Tensor& leaf : leaves) leaf.zero_grad();
  loss().backward();
  std::vector<std::vector<float>> once;
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    BF_CHECK(leaves[k].grad(), "leaf ", k, " got no gradient");
    once.push_back(leaves[k].grad().to_host());
  }
  loss().backward();  // a second pass must add, not overwrite
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    const auto twice = leaves[k].grad().to_host();
    for (std::size_t i = 0; i < twice.size(); ++i)
      BF_CHECK(std::abs(twice[i] - 2 * once[k][i]) <= 1e-5 + 1e-5 * std::abs(twice[i]), "leaf ", k, "[", i,
               "]: two backwards gave ", twice[i], ", one gave ", once[k][i]);
  }
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    const auto x0 = leaves[k].to_host(), u = normals(leaves[k].numel(), 1000 + unsigned(k));
    double norm = 0, analytic = 0;
    for (float v : u) norm += double(v) * v;
    norm = std::sqrt(norm / std::max<double>(1, double(u.size())));
    for (std::size_t i = 0; i < u.size(); ++i) analytic += double(once[k][i]) * u[i];
    const auto at = [&](double h) {
      std::vector<float> x(x0.size());
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(x0[i] + h * u[i]);
      leaves[k].copy_from_host(x);
      return value();
    };
    const double h = step / norm, numeric = (at(h) - at(-h)) / (2 * h);
    leaves[k].copy_from_host(x0);
    BF_CHECK(std::abs(analytic - numeric) <= rtol * std::abs(numeric) + atol, "leaf ", k, ": gradient along a direction ",
             analytic, ", difference quotient ", numeric, " (seed ", seed(), ")");
  }
  for (Tensor& leaf : leaves) leaf.zero_grad();
}

}  // namespace bonafide::test
