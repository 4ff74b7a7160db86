// tests/support/torch_case.h — one operation beside PyTorch's float64: a case of a fixture that tests/reference wrote.
#pragma once
#include "engine/autograd.h"
#include "tests/support/fixture.h"
#include "tests/support/formula.h"

namespace bonafide::test {

// One case of the fixture: makes its leaves, runs the operation, compares y and the gradient of every leaf.
struct TorchCase {
  Context& ctx;
  std::string name;
  nlohmann::json want;
  std::vector<std::int64_t> shape;
  std::vector<std::pair<std::string, Tensor>> leaves;

  Tensor leaf(const std::string& what, Shape s) {
    const bool x = what == "x";
    const auto v =
        formula(name + "." + what, s.numel(), x ? want.value("scale", 1.0f) : 1, x ? want.value("offset", 0.0f) : 0);
    leaves.emplace_back(what, Tensor::from_host(ctx, s, v).require_grad());
    return leaves.back().second;
  }
  void close(const std::string& what, const Tensor& got, double tolerance) const {
    const auto w = numbers(want[what]);
    double largest = 0;
    for (const double v : w) largest = std::max(largest, std::abs(v));
    expect_close(name + "." + what, got.to_host(), w, tolerance, tolerance * std::max(1.0, largest));
  }
  void compare(Tensor y, double tolerance) const {
    close("y", y, tolerance);
    y.backward(Tensor::from_host(ctx, y.shape(), formula(name + ".dy", y.numel())));
    for (const auto& [what, t] : leaves) close("d" + what, t.grad(), tolerance);
  }
};

// Runs every case called `operation.*`; there must be `count` of them, so that none is lost unread.
inline void run_torch_cases(const std::string& file, const std::string& operation, int count, double tolerance,
                            const std::function<Tensor(TorchCase&)>& f) {
  const auto all = fixture(file);
  for (const auto& [name, want] : all.items()) {
    if (name != operation && !name.starts_with(operation + ".")) continue;
    Context ctx;
    TorchCase c{ctx, name, want, want["shape"], {}};
    c.compare(f(c), want.contains("offset") && want["offset"] != 0 ? 10 * tolerance : tolerance);
    --count;
  }
  CHECK(count == 0);
}

}  // namespace bonafide::test
