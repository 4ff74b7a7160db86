// data/images/attacks/pixel_noise.cpp — added to code values, as an edited file would have it.
#include "data/images/attacks/pixel_noise.h"

namespace bonafide::images {

void pixel_noise(Scene& scene, const PixelNoiseOptions& options, Random& random) {
  const float amplitude = options.amplitude.draw(random);
  const bool signs = random.chance(double(options.sign_chance)), grey = random.chance(double(options.grey_chance));
  const std::uint32_t seed = random.u32(), stride = grey ? 0 : std::uint32_t(scene.pixels());
  for (std::size_t c = 0; c < 3; ++c) {
    float* p = scene.light[c].data();
    const std::uint32_t from = seed + std::uint32_t(c) * stride;
#pragma omp simd
    for (std::size_t i = 0; i < scene.pixels(); ++i) {
      const float u = 2 * hash_uniform(from + std::uint32_t(i)) - 1;
      const float code = clamp01(std::sqrt(p[i]) + amplitude * (signs ? (u < 0 ? -1.0f : 1.0f) : u));
      p[i] = code * code;
    }
  }
}

}  // namespace bonafide::images
