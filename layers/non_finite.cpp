// layers/non_finite.cpp
#include "layers/non_finite.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace bonafide {
namespace {

std::int64_t non_finite_values(const Tensor& t) {
  const std::vector<float> v = t.to_host();
  return std::count_if(v.begin(), v.end(), [](float f) { return !std::isfinite(f); });
}

// "12 of 384 values of WHAT are not finite", or "".
std::string complaint(const std::string& what, const Tensor& t) {
  const std::int64_t bad = non_finite_values(t);
  return bad ? str(bad, " of ", t.numel(), " values of ", what, " are not finite") : "";
}

}  // namespace

std::string first_non_finite(const PairedModel& model, const Tensor& x, ForwardState state, bool with_projection) {
  const ParameterSet& parameters = model.parameters();
  if (auto c = complaint("the images", x); !c.empty()) return c;
  std::string found;
  const std::function<void(const std::string&, const Tensor&)> look = [&](const std::string& layer, const Tensor& result) {
    if (!found.empty()) return;
    found = complaint("the result of " + layer, result);
    if (found.empty()) return;
    for (const auto& p : parameters.all())
      if (p.spec.name.rfind(layer + ".", 0) == 0)
        if (auto c = complaint("its parameter " + p.spec.name, p.value); !c.empty()) found += "; " + c;
  };
  {
    const NoGrad guard(x.context());
    state.watch = &look;
    model(x, state, with_projection);
  }
  if (!found.empty()) return found;
  for (auto p = parameters.all().rbegin(); p != parameters.all().rend(); ++p) {
    if (!p->value.grad_written()) continue;
    if (auto c = complaint("the gradient of " + p->spec.name, p->value.grad()); !c.empty()) return c;
  }
  return "";
}

}  // namespace bonafide
