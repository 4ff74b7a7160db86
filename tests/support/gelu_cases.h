// tests/support/gelu_cases.h — GELU in double precision, and the sizes at which every implementation must agree with
// it.
#pragma once
#include "kernels/gelu/gelu.h"
#include "tests/support/support.h"

namespace bonafide::test {

inline double normal_cdf_reference(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
inline double gelu_reference(double x) { return x * normal_cdf_reference(x); }
inline double gelu_derivative_reference(double x) {
  return normal_cdf_reference(x) + x * std::exp(-x * x / 2) / std::sqrt(2 * 3.14159265358979323846);
}

// None, one, about a vector of any kind, a prime; the last one spans several work items.
inline constexpr std::int64_t kGeluSizes[] = {0, 1, 7, 8, 15, 16, 17, 33, 1009, 40000};

// fwd(GeluFwd<T>), bwd(GeluBwd<T>): the implementation. `offset`: elements by which every array is shifted, so that
// none begins where a vector may.
template <class T, class Fwd, class Bwd>
void compare_gelu(Fwd&& fwd, Bwd&& bwd, std::int64_t offset = 0) {
  for (const auto n : kGeluSizes) {
    const auto x = Buffer<T>::random(n + offset, 1, 0, 3), dy = Buffer<T>::random(n + offset, 2);
    const auto own = [&](auto span) { return span.slice(offset, n); };
    Buffer<T> y(n + offset), dx(n + offset), sum(n + offset, 10);
    std::vector<double> want_y, want_dx, want_sum;
    for (std::int64_t i = 0; i < n; ++i) {
      want_y.push_back(gelu_reference(x[i + offset]));
      want_dx.push_back(dy[i + offset] * gelu_derivative_reference(x[i + offset]));
      want_sum.push_back(10 + want_dx.back());
    }
    fwd(kernels::GeluFwd<T>{.x = own(x.cspan()), .y = own(y.span())});
    bwd(kernels::GeluBwd<T>{.dy = own(dy.cspan()), .x = own(x.cspan()), .dx = own(dx.span())});
    bwd(kernels::GeluBwd<T>{
        .dy = own(dy.cspan()), .x = own(x.cspan()), .dx = own(sum.span()), .dx_mode = GradMode::add});
    const auto expect = [&](const char* what, const Buffer<T>& b, const std::vector<double>& want, double atol) {
      b.check_guards(what);
      for (std::int64_t i = 0; i < offset; ++i)
        BF_CHECK(std::isnan(b[i]) || b[i] == 10, what, ": wrote before the array");
      std::vector<double> got;
      for (std::int64_t i = 0; i < n; ++i) got.push_back(b[i + offset]);
      expect_close(str("n=", n, " ", what), got, want, 1e-6 + storage_rtol<T>(), atol);
    };
    expect("y", y, want_y, 3e-7);
    expect("dx", dx, want_dx, 1.5e-6);
    expect("dx added", sum, want_sum, 3e-6);
  }
}

}  // namespace bonafide::test
