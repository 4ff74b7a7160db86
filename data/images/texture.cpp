// data/images/texture.cpp — fields and filters on planes that attacks and camera share.
#include <algorithm>

#include "data/images/scene.h"

namespace bonafide::images {
namespace {

// Bilinear upsampling of an n x n lattice (row-major) to size x size; lattice point i sits at pixel i * cell - offset.
Plane upsample(const Plane& lattice, int n, int size, float cell, float offset, bool smooth) {
  std::vector<int> at(static_cast<std::size_t>(size));
  Plane weight(static_cast<std::size_t>(size)), row(static_cast<std::size_t>(n));
  for (int x = 0; x < size; ++x) {
    const float s = std::clamp((float(x) + offset) / cell, 0.0f, float(n - 1) - 1e-3f);
    at[std::size_t(x)] = int(s);
    const float w = s - float(int(s));
    weight[std::size_t(x)] = smooth ? smooth_step(w) : w;
  }
  Plane out(std::size_t(size) * std::size_t(size));
  for (int y = 0; y < size; ++y) {
    const float* a = lattice.data() + at[std::size_t(y)] * n;
    const float w = weight[std::size_t(y)];
    for (int i = 0; i < n; ++i) row[std::size_t(i)] = a[i] + w * (a[i + n] - a[i]);
    float* to = out.data() + y * size;
    for (int x = 0; x < size; ++x) {
      const float* r = row.data() + at[std::size_t(x)];
      to[x] = r[0] + weight[std::size_t(x)] * (r[1] - r[0]);
    }
  }
  return out;
}

}  // namespace

Plane value_noise(int size, float cell, std::uint32_t seed) {
  const int n = int(float(size) / cell) + 3;
  Plane lattice(std::size_t(n) * std::size_t(n));
  for (std::size_t i = 0; i < lattice.size(); ++i) lattice[i] = 2 * hash_uniform(seed + std::uint32_t(i)) - 1;
  return upsample(lattice, n, size, cell, 0, true);
}

void blur(Plane& plane, int size, float sigma) {
  if (sigma <= 0) return;
  const float e1 = std::exp(-0.5f / (sigma * sigma)), e2 = std::exp(-2.0f / (sigma * sigma));
  const float norm = 1 / (1 + 2 * e1 + 2 * e2), k0 = norm, k1 = e1 * norm, k2 = e2 * norm;
  const std::size_t n = std::size_t(size);
  Plane padded(n + 4), rows(plane.size());
  for (int y = 0; y < size; ++y) {
    const float* from = plane.data() + y * size;
    float* to = rows.data() + y * size;
    std::copy(from, from + n, padded.data() + 2);
    padded[0] = padded[1] = from[0];
    padded[n + 2] = padded[n + 3] = from[n - 1];
    const float* p = padded.data();
#pragma omp simd
    for (int x = 0; x < size; ++x) to[x] = k0 * p[x + 2] + k1 * (p[x + 1] + p[x + 3]) + k2 * (p[x] + p[x + 4]);
  }
  const auto row = [&](int y) { return rows.data() + std::clamp(y, 0, size - 1) * size; };
  for (int y = 0; y < size; ++y) {
    const float *a = row(y - 2), *b = row(y - 1), *c = row(y), *d = row(y + 1), *e = row(y + 2);
    float* to = plane.data() + y * size;
#pragma omp simd
    for (int x = 0; x < size; ++x) to[x] = k0 * c[x] + k1 * (b[x] + d[x]) + k2 * (a[x] + e[x]);
  }
}

Scene room(const Scene& scene, Random& random) {
  constexpr int kBlocks = 8;
  const int size = scene.size;
  const float level = Range{0.4f, 1.3f}.draw(random), mix = Range{0.2f, 0.7f}.draw(random),
              wall = Range{0.04f, 0.45f}.draw(random);
  const bool upside_down = random.chance(0.5);
  const std::uint32_t seed = random.u32();
  const Plane furniture = value_noise(size, Range{0.1f, 0.5f}.draw(random) * float(size), seed);
  const float relief = Range{0.1f, 0.6f}.draw(random);
  Scene out(size);
  for (std::size_t c = 0; c < 3; ++c) {
    const float tint = wall * Range{0.8f, 1.2f}.draw(random), *from = scene.light[c].data();
    Plane means(kBlocks * kBlocks);
    for (int by = 0; by < kBlocks; ++by) {
      const int y0 = by * size / kBlocks, y1 = (by + 1) * size / kBlocks, my = upside_down ? kBlocks - 1 - by : by;
      for (int bx = 0; bx < kBlocks; ++bx) {
        const int x0 = bx * size / kBlocks, x1 = (bx + 1) * size / kBlocks;
        float sum = 0;
        for (int y = y0; y < y1; y += 2)
          for (int x = x0; x < x1; x += 2) sum += from[y * size + x];
        const float count = float(((y1 - y0 + 1) / 2) * ((x1 - x0 + 1) / 2));
        means[std::size_t(my * kBlocks + kBlocks - 1 - bx)] = level * ((1 - mix) * sum / count + mix * tint);
      }
    }
    out.light[c] = upsample(means, kBlocks, size, float(size) / kBlocks, -0.5f * float(size) / kBlocks + 0.5f, false);
    for (std::size_t i = 0; i < furniture.size(); ++i) out.light[c][i] *= 1 + relief * furniture[i];
  }
  return out;
}

}  // namespace bonafide::images
