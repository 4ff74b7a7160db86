// tests/support/support.h — guarded buffers and comparisons shared by all tests.
#pragma once
#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "engine/base.h"
#include "engine/bf16.h"

#ifdef BF_TEST_DEVICE
#include "engine/cuda_runtime.h"
#endif

namespace bonafide::test {

#ifdef BF_TEST_DEVICE
// Host memory that a GPU reaches under the same address: kernels of the device tier work on what the test writes and reads.
template <class T>
struct TestAllocator {
  using value_type = T;
  TestAllocator() = default;
  template <class U>
  TestAllocator(const TestAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(cuda::allocate_pinned(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) { cuda::release_pinned(p); }
  friend bool operator==(TestAllocator, TestAllocator) { return true; }
};
#else
template <class T>
using TestAllocator = std::allocator<T>;
#endif

// The seed of the whole run: fixed by default, BF_SEED=random (or a number) to explore; printed by main.
inline unsigned seed() {
  static const unsigned s = [] {
    const char* e = std::getenv("BF_SEED");
    return !e ? 1u : std::strcmp(e, "random") ? unsigned(std::strtoul(e, nullptr, 10)) : std::random_device{}();
  }();
  return s;
}

// Guarded, poisoned buffer of float or bf16: NaN inside until written, canaries outside. A kernel that forgets an
// element or walks off the end fails, even when an earlier run left the right answer lying around.
template <class T = float>
class Buffer {
 public:
  explicit Buffer(std::int64_t n) : n_(n), v_(std::size_t(n + 2 * kGuard), T(std::nanf(""))) {
    for (int i = 0; i < kGuard; ++i) v_[std::size_t(i)] = v_[v_.size() - 1 - std::size_t(i)] = T(kCanary);
  }
  Buffer(std::int64_t n, float value) : Buffer(n) {
    for (std::int64_t i = 0; i < n; ++i) (*this)[i] = T(value);
  }
  // Normal draws; for bf16 the values are the rounded ones, so that a reference computed from the buffer is exact.
  static Buffer random(std::int64_t n, unsigned salt, float mean = 0, float std = 1) {
    Buffer b(n);
    std::mt19937 g(seed() * 7919u + salt);
    std::normal_distribution<float> d(mean, std);
    for (std::int64_t i = 0; i < n; ++i) b[i] = T(d(g));
    return b;
  }
  // Small integers: sums of these are exact in any order, so that reductions can be compared bitwise.
  static Buffer integers(std::int64_t n, unsigned salt, int lo = -4, int hi = 4) {
    Buffer b(n);
    std::mt19937 g(seed() * 7919u + salt);
    std::uniform_int_distribution<int> d(lo, hi);
    for (std::int64_t i = 0; i < n; ++i) b[i] = T(float(d(g)));
    return b;
  }

  Span<T> span() { return {v_.data() + kGuard, n_}; }
  Span<const T> span() const { return {v_.data() + kGuard, n_}; }
  Span<const T> cspan() const { return span(); }
  T& operator[](std::int64_t i) { return v_[std::size_t(kGuard + i)]; }
  double operator[](std::int64_t i) const { return double(to_f32(v_[std::size_t(kGuard + i)])); }
  std::int64_t size() const { return n_; }
  void check_guards(const char* what) const {
    for (int i = 0; i < kGuard; ++i)
      BF_CHECK(v_[std::size_t(i)] == T(kCanary) && v_[v_.size() - 1 - std::size_t(i)] == T(kCanary), what,
               ": wrote outside the buffer");
  }

 private:
  static constexpr int kGuard = 64;
  static constexpr float kCanary = 12345.678f;
  std::int64_t n_;
  std::vector<T, TestAllocator<T>> v_;
};

// |got - want| <= atol + rtol * |want| everywhere; reports the worst element, and a NaN is always the worst.
template <class Got>
void expect_close(const std::string& what, const Got& got, const std::vector<double>& want, double rtol, double atol) {
  BF_CHECK(std::int64_t(got.size()) == std::int64_t(want.size()), what, ": sizes ", got.size(), " and ", want.size());
  double worst = 0;
  std::int64_t at = -1;
  for (std::int64_t i = 0; i < std::int64_t(want.size()); ++i) {
    const double w = want[std::size_t(i)];
    const double e = std::abs(double(got[std::size_t(i)]) - w) / (atol + rtol * std::abs(w));
    if (!(e <= worst)) worst = e, at = i;
  }
  BF_CHECK(at < 0 || worst <= 1, what, "[", at, "] = ", double(got[std::size_t(at)]), ", expected ",
           want[std::size_t(at)], " (", worst, " x tolerance, seed ", seed(), ")");
}
template <class T>
void expect_close(const std::string& what, const Buffer<T>& got, const std::vector<double>& want, double rtol, double atol) {
  got.check_guards(what.c_str());
  std::vector<double> v(std::size_t(got.size()));
  for (std::int64_t i = 0; i < got.size(); ++i) v[std::size_t(i)] = got[i];
  expect_close(what, v, want, rtol, atol);
}
template <class T>
void expect_bitwise(const std::string& what, const Buffer<T>& a, const Buffer<T>& b) {
  BF_CHECK(a.size() == b.size() && !std::memcmp(a.span().ptr, b.span().ptr, std::size_t(a.size()) * sizeof(T)), what,
           ": not bitwise equal");
}

// The call must throw an Error whose message contains `part`.
inline void expect_throw(const std::string& part, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    BF_CHECK(std::strstr(e.what(), part.c_str()), "expected a message with '", part, "', got: ", e.what());
    return;
  }
  BF_CHECK(false, "expected an error mentioning '", part, "'");
}

// A storage type's own rounding: what a correct kernel may be off by when it stores T.
template <class T>
constexpr double storage_rtol() {
  return sizeof(T) == 2 ? 1.0 / 128 : 0;  // one ulp of bf16: two roundings of nearly the same sum
}

}  // namespace bonafide::test
