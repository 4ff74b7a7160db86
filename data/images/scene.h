// data/images/scene.h — what a simulated camera looks at: light on a grid of capture pixels, and where each pixel lies.
//
// Light is planar float, roughly [0, 1], the square of a picture's code value (a gamma of 2: close enough to sRGB's
// curve to mix and blur light as light, and `sqrt` vectorises). Positions on the photographed object are in capture
// pixels, so that a printing screen's period or a display's pitch means what the camera resolves.
#pragma once
#include <array>
#include <cmath>
#include <vector>

#include "data/image.h"
#include "engine/philox.h"

namespace bonafide::images {

// A uniform draw between two ends: how every parameter of the simulation is documented.
struct Range {
  float lo, hi;
  float draw(Random& random) const { return random.uniform(lo, hi); }
};

using Plane = std::vector<float>;  // [size * size], row-major

struct Scene {
  int size = 0;
  std::array<Plane, 3> light;  // R, G, B

  explicit Scene(int n) : size(n) {
    for (Plane& p : light) p.resize(std::size_t(n) * std::size_t(n));
  }
  std::size_t pixels() const { return light[0].size(); }
};

// Where the camera stands. u and v are object coordinates of every capture pixel, in capture pixels at the image's
// centre, along the photograph's own axes: textures of the paper or display are functions of (u, v).
struct View {
  int size = 0;
  Plane u, v;
  float scale = 1;  // photograph pixels per capture pixel at the centre: photo x = u * scale
  // (x, y) in the image, up to an offset and the bending of lens and perspective, is this matrix times (u, v).
  float xu = 1, xv = 0, yu = 0, yv = 1;
  Box face;  // in capture pixels
};

// --- small functions of a pixel, written so that loops over them vectorise ---

// cos(2 pi t) to 0.1 %: two parabolas and one correction.
inline float wave(float t) {
  const float p = t + 0.25f - std::floor(t + 0.75f);  // t + 1/4, reduced to [-1/2, 1/2)
  const float s = 8 * p - 16 * p * std::abs(p);
  return s + 0.225f * (s * std::abs(s) - s);
}
inline float clamp01(float x) { return x < 0 ? 0 : x > 1 ? 1 : x; }
inline float smooth_step(float x) {
  x = clamp01(x);
  return x * x * (3 - 2 * x);
}

// Integer hash for per-pixel noise: murmur3's finaliser. The seed comes from the render's Random.
inline std::uint32_t hash32(std::uint32_t x) {
  x = (x ^ (x >> 16)) * 0x85EBCA6Bu;
  x = (x ^ (x >> 13)) * 0xC2B2AE35u;
  return x ^ (x >> 16);
}
inline float hash_uniform(std::uint32_t x) { return float(std::int32_t(hash32(x) >> 8)) * 0x1p-24f; }
// Standard normal to the eye: four bytes of the hash summed (Irwin-Hall), cut at 3.45 standard deviations.
inline float hash_normal(std::uint32_t x) {
  const std::uint32_t h = hash32(x);
  const std::uint32_t pairs = (h & 0x00FF00FFu) + (h >> 8 & 0x00FF00FFu);
  return (float(std::int32_t((pairs & 0xFFFFu) + (pairs >> 16))) - 510) * (1 / 147.8f);
}

// --- textures (texture.cpp) ---

// Smooth random field, mean 0, within [-1, 1], features of about `cell` pixels: random values on a lattice,
// interpolated.
Plane value_noise(int size, float cell, std::uint32_t seed);
// Separable blur by [a b c b a]-style Gaussian taps (5); edges repeat. `sigma` in pixels, up to about 1.2.
void blur(Plane& plane, int size, float sigma);
// An out-of-focus room in the scene's own colours: block means, mirrored, retinted, brought to another level.
Scene room(const Scene& scene, Random& random);

}  // namespace bonafide::images
