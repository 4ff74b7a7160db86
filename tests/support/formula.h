// tests/support/formula.h — numbers that C++ and Python compute alike, bit for bit, from a name and an index: inputs
// and weights of every fixture in tests/fixtures/. The other half is tests/reference/formula.py.
#pragma once
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/philox.h"

namespace bonafide::test {

// The top 24 bits of a hash of (name, i).
constexpr std::uint32_t formula_bits(std::string_view name, std::int64_t i) {
  return std::uint32_t(mix64(hash_name(name) + std::uint64_t(i)) >> 40);
}

// In [-1, 1), a multiple of 2^-23: exact in float.
constexpr double formula_value(std::string_view name, std::int64_t i) {
  return double(formula_bits(name, i)) * 0x1p-23 - 1;
}

// offset + scale * value, rounded once to float. `scale` is a float: its product with a value is exact in double, so
// that a fused multiply-add changes nothing.
inline std::vector<float> formula(std::string_view name, std::int64_t n, float scale = 1, float offset = 0) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    v[std::size_t(i)] = float(double(scale) * formula_value(name, i) + double(offset));
  return v;
}

// The weights of a test model, by timm's name and shape. Matrices and filters keep the variance of what passes through
// (uniform with std 1 / sqrt(fan_in)), except that the branches of the blocks are added at 0.3 and the heads are small
// (0.25), so that thirty steps of training neither blow up nor collapse. LayerNorm's gamma is 1 + 0.1 v, GRN's 0.5 v,
// every bias and GRN's beta 0.1 v. So activations and gradients are of order one in every block, and nothing is 0 or 1
// throughout.
inline std::vector<float> formula_parameter(std::string_view name, const std::vector<std::int64_t>& timm_shape) {
  std::int64_t n = 1;
  for (const std::int64_t d : timm_shape) n *= d;
  const auto has = [&](std::string_view part) { return name.find(part) != name.npos; };
  if (timm_shape.size() > 1) {
    const double gain = has(".fc2.") ? 0.3 : has("cls.") || has("proj.") ? 0.25 : 1.0;
    return formula(name, n, float(gain * std::sqrt(3.0 / double(n / timm_shape[0]))));
  }
  if (!name.ends_with(".weight")) return formula(name, n, 0.1f);
  return has(".grn.") ? formula(name, n, 0.5f) : formula(name, n, 0.1f, 1);
}

// The j-th sampled place of a tensor with n elements (places may repeat).
inline std::int64_t formula_sample(std::string_view name, std::int64_t j, std::int64_t n) {
  return std::int64_t(mix64(hash_name("sample:" + std::string(name)) + std::uint64_t(j)) % std::uint64_t(n));
}

// An 8-bit image [height, width, 3] of a class, in integers only: triangle waves along one diagonal for an attack (1),
// longer ones along the other for a genuine face (0), under a tint and noise of the image's own.
inline std::vector<std::uint8_t> formula_image(const std::string& name, int label, int height, int width) {
  std::vector<std::uint8_t> image(std::size_t(height) * std::size_t(width) * 3);
  const auto draw = [](std::string_view stream, std::int64_t i, std::int64_t amplitude) {  // [-amplitude, amplitude]
    return ((formula_bits(stream, i) * (2 * amplitude + 1)) >> 24) - amplitude;
  };
  const std::string tint = name + ":tint";
  const int period = label ? 16 : 64;
  std::size_t at = 0;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int t = (label ? x + y : x - y + 65536) % period - period / 2;
      const int wave = ((t < 0 ? -t : t) - period / 4) * (128 / period);  // [-32, 32]
      for (int c = 0; c < 3; ++c, ++at) {
        const std::int64_t v = 128 + wave + draw(tint, c, 24) + draw(name, std::int64_t(at), 56);
        image[at] = std::uint8_t(v < 0 ? 0 : v > 255 ? 255 : v);
      }
    }
  return image;
}

// Count sketch of a tensor into `buckets` sums: entry i is added to bucket b(i) with sign s(i), both drawn from the
// name. The sketch is linear, and the squared norm of a sketch is an unbiased estimate of the squared norm of what was
// sketched (relative standard error sqrt(2 / buckets)). So |sketch(a) - sketch(b)| measures |a - b| over *all* entries
// while only `buckets` numbers of b are stored.
inline std::vector<double> formula_sketch(std::string_view name, const std::vector<double>& v, int buckets) {
  std::vector<double> s(static_cast<std::size_t>(buckets));
  const std::uint64_t base = hash_name("sketch:" + std::string(name));
  for (std::size_t i = 0; i < v.size(); ++i) {
    const std::uint64_t h = mix64(base + i);
    s[(h >> 1) % std::uint64_t(buckets)] += h & 1 ? v[i] : -v[i];
  }
  return s;
}

}  // namespace bonafide::test
