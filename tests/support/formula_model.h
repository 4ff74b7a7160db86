// tests/support/formula_model.h — a model with the formula's weights, batches of the formula's images, and the
// comparison of a tensor with the sketch of PyTorch's.
#pragma once
#include "layers/parameters.h"
#include "tests/support/fixture.h"
#include "tests/support/formula.h"

namespace bonafide::test {

inline std::vector<std::int64_t> dims(const Shape& s) {
  std::vector<std::int64_t> d;
  for (int i = 0; i < s.rank(); ++i) d.push_back(s[i]);
  return d;
}

inline void load_formula(ParameterSet& set) {
  for (const auto& p : set.all()) {
    Tensor value = p.value;
    value.copy_from_host(formula_parameter(p.spec.name, dims(p.spec.shape)));
  }
  set.refresh_compute_copies();
}

// [n, height, width, 3] in [0, 1]: image i is formula_image("NAME.i", labels[i]).
inline Tensor formula_batch(Context& ctx, const std::string& name, const std::vector<int>& labels, int height,
                            int width) {
  std::vector<float> x;
  for (std::size_t i = 0; i < labels.size(); ++i)
    for (const std::uint8_t v : formula_image(name + "." + std::to_string(i), labels[i], height, width))
      x.push_back(float(v) / 255.0f);
  return Tensor::from_host(ctx, {std::int64_t(labels.size()), height, width, 3}, x);
}

inline double norm(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}
inline std::vector<double> to_double(const std::vector<float>& v) { return {v.begin(), v.end()}; }

// Estimate of |v - w| from w's sketch alone (formula_sketch).
inline double sketched_difference(const std::string& name, const std::vector<double>& v,
                                  const std::vector<double>& sketch_of_w) {
  auto s = formula_sketch(name, v, int(sketch_of_w.size()));
  for (std::size_t i = 0; i < s.size(); ++i) s[i] -= sketch_of_w[i];
  return norm(s);
}

}  // namespace bonafide::test
