// tests/support/bytes.h — guarded byte buffers and small synthetic photographs for the image operations' tests.
#pragma once
#include <algorithm>

#include "data/image.h"
#include "tests/support/support.h"

namespace bonafide::test {

// n bytes between canaries.
class Bytes {
 public:
  explicit Bytes(std::int64_t n, std::uint8_t fill = 0xA5) : n_(n), v_(std::size_t(n + 2 * kGuard), fill) {
    std::fill_n(v_.begin(), kGuard, kCanary);
    std::fill_n(v_.rbegin(), kGuard, kCanary);
  }
  explicit Bytes(const Image& image) : Bytes(std::int64_t(image.pixels.size())) {
    std::copy(image.pixels.begin(), image.pixels.end(), span().begin());
  }
  static Bytes random(std::int64_t n, unsigned salt) {
    Bytes b(n);
    std::mt19937 g(seed() * 7919u + salt);
    for (auto& v : b.span()) v = std::uint8_t(g());
    return b;
  }
  Span<std::uint8_t> span() { return {v_.data() + kGuard, n_}; }
  Span<const std::uint8_t> cspan() const { return {v_.data() + kGuard, n_}; }
  int operator[](std::int64_t i) const { return v_[std::size_t(kGuard + i)]; }
  std::int64_t size() const { return n_; }
  void check_guards(const char* what) const {
    for (int i = 0; i < kGuard; ++i)
      BF_CHECK(v_[std::size_t(i)] == kCanary && v_[v_.size() - 1 - std::size_t(i)] == kCanary, what,
               ": wrote outside the buffer");
  }
  friend bool operator==(const Bytes& a, const Bytes& b) { return a.v_ == b.v_; }

 private:
  static constexpr int kGuard = 64;
  static constexpr std::uint8_t kCanary = 0x5C;
  std::int64_t n_;
  std::vector<std::uint8_t, TestAllocator<std::uint8_t>> v_;
};

// What f(span) makes of a copy of `before` that begins `shift` bytes further in its memory.
template <class F>
Bytes changed(const Bytes& before, std::int64_t shift, F&& f) {
  Bytes whole(before.size() + shift), r(before.size());
  std::copy(before.cspan().begin(), before.cspan().end(), whole.span().begin() + shift);
  f(whole.span().slice(shift, before.size()));
  whole.check_guards("image");
  std::copy(whole.span().begin() + shift, whole.span().end(), r.span().begin());
  return r;
}

inline Image random_image(int height, int width, unsigned salt) {
  Image image(height, width);
  std::mt19937 g(seed() * 7919u + salt);
  for (auto& v : image.pixels) v = std::uint8_t(g());
  return image;
}

// Something like a photograph: smooth shading, a bright disc, edges, texture, a little noise.
inline Image scene(int height, int width, unsigned salt) {
  Image image(height, width);
  std::mt19937 g(seed() * 7919u + salt);
  std::normal_distribution<double> noise(0, 3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const double dx = x - 0.5 * width, dy = y - 0.4 * height, r = std::sqrt(dx * dx + dy * dy) / (0.3 * height + 1);
      const double shade = 110 + 60 * std::cos(0.02 * x + 0.01 * y + salt) + (r < 1 ? 50 * (1 - r) : 0) +
                           ((x / 37 + y / 29) % 2 ? 12 : 0);
      const double tint[3] = {1.1, 0.9, 0.75};
      for (int c = 0; c < 3; ++c) {
        const double v = shade * tint[c] + 8 * std::sin(0.9 * x + c) * std::sin(0.7 * y) + noise(g);
        image.at(y, x)[c] = std::uint8_t(std::clamp(v, 0.0, 255.0));
      }
    }
  return image;
}

// Pixels from integers alone: the same on every machine, for known answers.
inline Image formula_image(int height, int width) {
  Image image(height, width);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.at(y, x)[c] =
            std::uint8_t(40 + 25 * c + (x * (3 + c)) % 97 + (y * y / 7) % 53 + ((x / 16 + y / 16) % 2) * 30);
  return image;
}

}  // namespace bonafide::test
