// data/images/attacks/face_swap.cpp — an elliptic patch and its harmonic colour correction.
#include "data/images/attacks/face_swap.h"

#include <algorithm>

namespace bonafide::images {
namespace {

constexpr int kCell = 4;  // pixels per cell of the coarse grid

// Solves Laplace's equation on the cells where `inside`, the others fixed: successive over-relaxation from the mean.
void harmonic(Plane& f, const std::vector<std::uint8_t>& inside, int n) {
  float sum = 0, count = 0;
  for (std::size_t i = 0; i < f.size(); ++i)
    if (inside[i] == 0) sum += f[i], ++count;
  for (std::size_t i = 0; i < f.size(); ++i)
    if (inside[i]) f[i] = count > 0 ? sum / count : 0;
  constexpr float kRelax = 1.75f;  // near the best for regions of 20 to 30 cells
  for (int sweep = 0; sweep < 50; ++sweep)
    for (int y = 1; y + 1 < n; ++y)
      for (int x = 1; x + 1 < n; ++x) {
        const std::size_t i = std::size_t(y * n + x);
        if (inside[i])
          f[i] += kRelax * (0.25f * (f[i - 1] + f[i + 1] + f[i - std::size_t(n)] + f[i + std::size_t(n)]) - f[i]);
      }
}

}  // namespace

void seamless_clone(Scene& scene, const Scene& patch, const Plane& mask) {
  const int size = scene.size, n = ceil_div(size, kCell) + 2;  // a ring of cells around the image
  // Which cells are solved for: all pixels inside. Others hold the mean difference over their pixels outside the mask,
  // or (ring, cells with none) take it from a neighbour below.
  std::vector<std::uint8_t> inside(std::size_t(n) * std::size_t(n), 0);
  Plane weight(inside.size(), 0);
  const auto cell = [&](int y, int x) { return std::size_t((y / kCell + 1) * n + x / kCell + 1); };
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x)
      if (mask[std::size_t(y * size + x)] <= 0.5f) ++weight[cell(y, x)];
  for (int y = 1; y + 1 < n; ++y)
    for (int x = 1; x + 1 < n; ++x) inside[std::size_t(y * n + x)] = weight[std::size_t(y * n + x)] < 1;

  for (std::size_t c = 0; c < 3; ++c) {
    Plane difference(inside.size(), 0);
    for (int y = 0; y < size; ++y)
      for (int x = 0; x < size; ++x) {
        const std::size_t i = std::size_t(y * size + x);
        if (mask[i] <= 0.5f) difference[cell(y, x)] += scene.light[c][i] - patch.light[c][i];
      }
    for (std::size_t i = 0; i < difference.size(); ++i)
      if (weight[i] > 0) difference[i] /= weight[i];
    for (int k = 0; k < n; ++k)  // the ring repeats what is beside it
      for (const auto& [to, from] : {std::pair{k, n + k}, {(n - 1) * n + k, (n - 2) * n + k}}) {
        difference[std::size_t(to)] = difference[std::size_t(from)];
      }
    for (int k = 0; k < n; ++k) {
      difference[std::size_t(k * n)] = difference[std::size_t(k * n + 1)];
      difference[std::size_t(k * n + n - 1)] = difference[std::size_t(k * n + n - 2)];
    }
    harmonic(difference, inside, n);
    for (int y = 0; y < size; ++y) {
      const float gy = (float(y) + 0.5f) / kCell + 0.5f;
      const int y0 = int(gy);
      for (int x = 0; x < size; ++x) {
        const std::size_t i = std::size_t(y * size + x);
        if (mask[i] <= 0) continue;
        const float gx = (float(x) + 0.5f) / kCell + 0.5f, fx = gx - float(int(gx)), fy = gy - float(y0);
        const float* d = difference.data() + y0 * n + int(gx);
        const float top = d[0] + fx * (d[1] - d[0]), bottom = d[n] + fx * (d[n + 1] - d[n]);
        const float cloned = std::max(0.0f, patch.light[c][i] + top + fy * (bottom - top));
        scene.light[c][i] += mask[i] * (cloned - scene.light[c][i]);
      }
    }
  }
}

void face_swap(Scene& scene, const Scene& donor, const View& view, const FaceSwapOptions& options, Random& random) {
  const int size = scene.size;
  const Box& f = view.face;
  const float w = f.x2 - f.x1, h = f.y2 - f.y1;
  const float rx = options.width.draw(random) * w, ry = options.height.draw(random) * h;
  const float cx = 0.5f * (f.x1 + f.x2), cy = f.y1 + options.centre.draw(random) * h;
  const float feather = options.feather.draw(random), loss = options.detail_loss.draw(random);
  Scene patch = donor;
  for (std::size_t c = 0; c < 3; ++c) {
    blur(patch.light[c], size, loss);
    const float gain = options.colour.draw(random);
    // Blended as an editor would, in code values: differences of light would tint dark skin.
    for (float& v : patch.light[c]) v = gain * std::sqrt(v);
    for (float& v : scene.light[c]) v = std::sqrt(v);
  }
  Plane mask(scene.pixels());
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const float px = (float(x) + 0.5f - cx) / rx, py = (float(y) + 0.5f - cy) / ry, r = std::sqrt(px * px + py * py);
      mask[std::size_t(y * size + x)] = smooth_step((1 - r) * std::min(rx, ry) / feather + 0.5f);
    }
  seamless_clone(scene, patch, mask);
  for (Plane& p : scene.light)
    for (float& v : p) v *= v;
}

}  // namespace bonafide::images
