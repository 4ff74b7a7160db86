// data/images/attacks/parts.cpp — glare and edges.
#include "data/images/attacks/parts.h"

namespace bonafide::images {

void add_glare(Scene& scene, float strength, Random& random) {
  const float n = float(scene.size), x0 = Range{0.05f, 0.95f}.draw(random) * n,
              y0 = Range{0.05f, 0.95f}.draw(random) * n;
  const float angle = Range{0, 3.14159265f}.draw(random), along = Range{0.15f, 0.7f}.draw(random) * n,
              across = Range{0.05f, 0.25f}.draw(random) * n, warm = Range{-0.12f, 0.12f}.draw(random);
  const float c = std::cos(angle), s = std::sin(angle);
  for (int y = 0; y < scene.size; ++y) {
    float *r = scene.light[0].data() + y * scene.size, *g = scene.light[1].data() + y * scene.size,
          *b = scene.light[2].data() + y * scene.size;
    const float dy = float(y) - y0;
#pragma omp simd
    for (int x = 0; x < scene.size; ++x) {
      const float dx = float(x) - x0, p = (c * dx + s * dy) / along, q = (c * dy - s * dx) / across;
      const float d = 1 + p * p + q * q, glow = strength / (d * d);  // a bell with long tails, no exp
      r[x] += glow * (1 + warm), g[x] += glow, b[x] += glow * (1 - warm);
    }
  }
}

void add_edges(Scene& scene, const Scene& behind, const float colour[3], const Range& depth, const Range& width,
               Random& random) {
  const float n = float(scene.size);
  const int sides = random.chance(0.3) ? 2 : 1, first = int(random.below(4));
  const float tilt = Range{-0.06f, 0.06f}.draw(random), rim = width.draw(random) * n,
              shadow = Range{0.0f, 0.5f}.draw(random);
  for (int k = 0; k < sides; ++k) {
    const int side = (first + k) % 4;  // left, top, right, bottom: two sides meet in a corner
    const float reach = depth.draw(random) * n;
    for (int y = 0; y < scene.size; ++y)
      for (int x = 0; x < scene.size; ++x) {
        const float fx = float(x) + 0.5f, fy = float(y) + 0.5f;
        const float inward = side == 0 ? fx : side == 1 ? fy : side == 2 ? n - fx : n - fy;
        const float sideways = (side % 2 ? fx : fy) - 0.5f * n, sign = side < 2 ? 1.0f : -1.0f;
        const float d = inward + sign * (side % 2 ? 1.0f : -1.0f) * tilt * sideways - reach;  // > 0: on the picture
        if (d > rim + 1) continue;
        const std::size_t i = std::size_t(y * scene.size + x);
        const float picture = clamp01(d - rim + 0.5f), object = clamp01(d + 0.5f);
        const float dim = 1 - shadow * smooth_step(1 + d / 6);  // the object's shadow on what is behind
        for (std::size_t c = 0; c < 3; ++c) {
          const float front = picture * scene.light[c][i] + (1 - picture) * colour[c];
          scene.light[c][i] = object * front + (1 - object) * behind.light[c][i] * dim;
        }
      }
  }
}

}  // namespace bonafide::images
