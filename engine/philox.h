// engine/philox.h — counter-based random numbers (Philox4x32-10; Salmon et al., SC 2011) with named keys.
//
// A stream is named by (seed, purpose, a, b): for a sample's draws (seed, purpose, epoch, sample), for a batch's
// (seed, purpose, step), for drop-path (seed, purpose, step, block), for initialisation (seed, parameter name). Streams
// with different names are independent; nothing depends on threads, workers, processes or on what was drawn before.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "engine/base.h"

namespace bonafide {

struct Philox {
  std::array<std::uint32_t, 2> key{};

  // One block: 128 bits of counter in, 128 random bits out.
  BF_HD std::array<std::uint32_t, 4> operator()(std::array<std::uint32_t, 4> c) const {
    std::uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t(0xD2511F53u) * c[0], p1 = std::uint64_t(0xCD9E8D57u) * c[2];
      c = {std::uint32_t(p1 >> 32) ^ c[1] ^ k0, std::uint32_t(p1), std::uint32_t(p0 >> 32) ^ c[3] ^ k1, std::uint32_t(p0)};
      k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return c;
  }
};

// splitmix64's finaliser: spreads every input bit over the word.
BF_HD constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}
constexpr std::uint64_t hash_name(std::string_view s) {  // FNV-1a
  std::uint64_t h = 0xCBF29CE484222325ull;
  for (char c : s) h = (h ^ std::uint8_t(c)) * 0x100000001B3ull;
  return h;
}

// A stream of draws. Cheap to make (no state to warm up): make one where the draw is needed and throw it away. A kernel gets
// one by value, and each thread draws from its own copy.
class Random {
 public:
  Random(std::uint64_t seed, std::string_view purpose, std::uint64_t a = 0, std::uint64_t b = 0) {
    const std::uint64_t k = mix64(seed ^ mix64(hash_name(purpose)));
    philox_.key = {std::uint32_t(k), std::uint32_t(k >> 32)};
    const std::uint64_t n = mix64(a) ^ mix64(mix64(b) + 0x632BE59BD9B4E019ull);
    name_ = {std::uint32_t(a), std::uint32_t(b), std::uint32_t(n >> 32)};
  }

  BF_HD std::uint32_t u32() {
    if (used_ == 4) {
      block_ = philox_({counter_++, name_[0], name_[1], name_[2]});
      used_ = 0;
    }
    return block_[std::size_t(used_++)];
  }
  BF_HD std::uint64_t u64() {
    const std::uint64_t hi = u32();
    return hi << 32 | u32();
  }
  // [0, 1): 24 bits, exact in float.
  BF_HD float uniform() { return float(u32() >> 8) * 0x1p-24f; }
  BF_HD float uniform(float lo, float hi) { return lo + (hi - lo) * uniform(); }
  BF_HD bool chance(double p) { return double(u32()) * 0x1p-32 < p; }
  // Uniform integer in [0, n), without modulo bias (Lemire's multiply-and-reject).
  std::int64_t below(std::int64_t n) {
    BF_CHECK(n > 0, "below(", n, ")");
    const std::uint64_t bound = std::uint64_t(n), reject = (0 - bound) % bound;
    for (;;) {
      const unsigned __int128 m = static_cast<unsigned __int128>(u64()) * bound;
      if (std::uint64_t(m) >= reject) return std::int64_t(m >> 64);
    }
  }
  std::int64_t between(std::int64_t lo, std::int64_t hi) { return lo + below(hi - lo + 1); }  // both ends included
  // Standard normal, Box-Muller (the second value of each pair is dropped: a stream has no hidden state).
  float normal() {
    const double u = (double(u32()) + 1.0) * 0x1p-32, v = double(u32()) * 0x1p-32;
    return float(std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  // Normal cut to [-2, 2] standard deviations, as the usual truncated-normal initialisers have it.
  float truncated_normal() {
    for (;;)
      if (const float z = normal(); std::abs(z) <= 2) return z;
  }
  // Gamma(shape, 1): Marsaglia and Tsang (2000), with the usual boost for shape < 1.
  double gamma(double shape) {
    BF_CHECK(shape > 0, "gamma(", shape, ")");
    if (shape < 1) {
      const double u = (double(u32()) + 0.5) * 0x1p-32;
      return gamma(shape + 1) * std::pow(u, 1 / shape);
    }
    const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), t = 1 + c * x, v = t * t * t;
      const double u = (double(u32()) + 0.5) * 0x1p-32;
      if (t > 0 && std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
    }
  }
  double beta(double a, double b) {
    const double x = gamma(a), y = gamma(b);
    return x / (x + y);
  }
  // Fisher-Yates.
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (std::int64_t i = std::int64_t(v.size()) - 1; i > 0; --i) std::swap(v[std::size_t(i)], v[std::size_t(below(i + 1))]);
  }
  std::vector<std::int64_t> permutation(std::int64_t n) {
    std::vector<std::int64_t> p(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) p[std::size_t(i)] = i;
    shuffle(p);
    return p;
  }

 private:
  Philox philox_;
  std::array<std::uint32_t, 3> name_{};
  std::array<std::uint32_t, 4> block_{};
  std::uint32_t counter_ = 0;
  int used_ = 4;
};

}  // namespace bonafide
