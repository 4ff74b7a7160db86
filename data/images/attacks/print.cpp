// data/images/attacks/print.cpp — light -> ink coverage -> dots -> reflected light.
#include "data/images/attacks/print.h"

#include <algorithm>

#include "data/images/attacks/parts.h"

namespace bonafide::images {
namespace {

constexpr float kPi = 3.14159265f;

// Share of R, G, B light that passes full cyan, magenta, yellow and black ink. Real inks also absorb what they should
// not: `impurity` goes from ideal inks (0) to cheap ones (1).
struct Inks {
  float cr, cg, cb, mr, mg, mb, yr, yg, yb;
  explicit Inks(float impurity)
      : cr(0.03f),
        cg(1 - 0.38f * impurity),
        cb(1 - 0.14f * impurity),
        mr(1 - 0.24f * impurity),
        mg(0.03f),
        mb(1 - 0.58f * impurity),
        yr(1 - 0.05f * impurity),
        yg(1 - 0.14f * impurity),
        yb(0.03f) {}
  static constexpr float black = 0.03f;
};

// One ink's rotated dot screen: both phases are linear in (u, v).
struct Screen {
  float a, b, c, d;
  // Height of the spot function, [0, 1]: ink covers where it is below the coverage.
  float spot(float u, float v) const { return 0.5f + 0.25f * (wave(a * u + b * v + c) + wave(a * v - b * u + d)); }
};

}  // namespace

void print_surface(Scene& scene, const View& view, const PrintOptions& options, Random& random) {
  const int size = scene.size;
  const float spread = options.ink_spread.draw(random);
  for (Plane& p : scene.light) blur(p, size, spread);

  const bool screened = random.chance(double(options.screen_chance));
  const float period = options.screen_period.draw(random), depth = options.screen_depth.draw(random),
              sharpness = options.screen_sharpness.draw(random), black_share = options.black_ink.draw(random);
  const Inks ink(options.impurity.draw(random));
  const float boost = options.colour_boost.draw(random);
  // Traditional angles (cyan 15, magenta 75, yellow 0, black 45 degrees), the sheet lying at an angle of its own.
  const float turn = Range{-kPi, kPi}.draw(random);
  const auto screen = [&](float degrees) {
    const float t = turn + degrees * kPi / 180;
    return Screen{std::cos(t) / period, std::sin(t) / period, random.uniform(), random.uniform()};
  };
  const Screen sc = screen(15), sm = screen(75), sy = screen(0), sk = screen(45);
  const float grain = 6 * options.inkjet_grain.draw(random), cell = options.inkjet_cell.draw(random),
              band = 4 * options.inkjet_band.draw(random), band_period = options.band_period.draw(random),
              band_phase = random.uniform();
  const bool band_across = random.chance(0.5);
  const float white = options.paper_white.draw(random), tint = options.paper_tint.draw(random),
              black = options.black.draw(random), fibre = options.fibre.draw(random);
  const std::uint32_t seed = random.u32();

  Plane dispersed[3];  // inkjet: a field of dots for each coloured ink (black shares cyan's)
  if (!screened)
    for (std::uint32_t k = 0; k < 3; ++k) dispersed[k] = value_noise(size, cell, hash32(seed + k));
  const Plane clouds = value_noise(size, 3.0f, hash32(seed + 3));
  const float *u = view.u.data(), *v = view.v.data(), *cloud = clouds.data(), *fc = dispersed[0].data(),
              *fm = dispersed[1].data(), *fy = dispersed[2].data();
  float *r = scene.light[0].data(), *g = scene.light[1].data(), *b = scene.light[2].data();

  // Light -> coverage of four inks -> dots (`cover`) -> light through ink, off the paper, through ink.
  const auto pixel = [=](std::size_t i, auto&& cover) {
    const float mean = (r[i] + g[i] + b[i]) * (1.0f / 3), base = 1 - (1 - boost) * mean;
    const float c0 = clamp01(base - boost * r[i]), m0 = clamp01(base - boost * g[i]), y0 = clamp01(base - boost * b[i]);
    const float k0 = black_share * std::min(c0, std::min(m0, y0)), left = 1 / (1.0001f - k0);
    const float c = cover(sc, (c0 - k0) * left, fc, i), m = cover(sm, (m0 - k0) * left, fm, i),
                y = cover(sy, (y0 - k0) * left, fy, i), k = 1 - cover(sk, k0, fc, i) * (1 - ink.black);
    const float lr = k * (1 - c * (1 - ink.cr)) * (1 - m * (1 - ink.mr)) * (1 - y * (1 - ink.yr));
    const float lg = k * (1 - c * (1 - ink.cg)) * (1 - m * (1 - ink.mg)) * (1 - y * (1 - ink.yg));
    const float lb = k * (1 - c * (1 - ink.cb)) * (1 - m * (1 - ink.mb)) * (1 - y * (1 - ink.yb));
    const float texture = white * (1 + fibre * (hash_normal(seed + std::uint32_t(i)) + cloud[i]));
    r[i] = (black + (1 - black) * lr) * texture * (1 + tint);
    g[i] = (black + (1 - black) * lg) * texture;
    b[i] = (black + (1 - black) * lb) * texture * (1 - tint);
  };
  const std::size_t pixels = scene.pixels();
  if (screened) {
#pragma omp simd
    for (std::size_t i = 0; i < pixels; ++i)
      pixel(i, [=](const Screen& s, float coverage, const float*, std::size_t at) {
        const float dots = clamp01((coverage - s.spot(u[at], v[at])) * sharpness + 0.5f);
        return coverage + depth * (dots - coverage);
      });
  } else {
    const float* along = band_across ? u : v;
#pragma omp simd
    for (std::size_t i = 0; i < pixels; ++i)
      pixel(i, [=](const Screen&, float coverage, const float* field, std::size_t at) {
        const float pass = band * wave(along[at] / band_period + band_phase);
        return clamp01(coverage + coverage * (1 - coverage) * (grain * field[at] + pass));
      });
  }
}

void print(Scene& scene, const View& view, const PrintOptions& options, Random& random) {
  const Scene behind = room(scene, random);
  print_surface(scene, view, options, random);
  const float n = float(scene.size);

  // A bent sheet shades smoothly across one direction; a fold adds a step and a bright or dark line.
  const float direction = Range{0, kPi}.draw(random), nx = std::cos(direction), ny = std::sin(direction);
  const float bend = options.bend.draw(random), bend_centre = Range{-0.5f, 0.5f}.draw(random);
  const bool folded = random.chance(double(options.fold_chance));
  const float step = (random.chance(0.5) ? 1.0f : -1.0f) * options.fold_shade.draw(random),
              line = (random.chance(0.6) ? 1.0f : -1.0f) * step * 1.5f, at = Range{-0.3f, 0.3f}.draw(random) * n,
              width = Range{0.6f, 1.4f}.draw(random), lean = Range{-0.12f, 0.12f}.draw(random);
  const bool upright = random.chance(0.5);
  for (int y = 0; y < scene.size; ++y) {
    const float cy = float(y) + 0.5f - 0.5f * n;
    float *r = scene.light[0].data() + y * scene.size, *g = scene.light[1].data() + y * scene.size,
          *b = scene.light[2].data() + y * scene.size;
#pragma omp simd
    for (int x = 0; x < scene.size; ++x) {
      const float cx = float(x) + 0.5f - 0.5f * n;
      const float s = (nx * cx + ny * cy) * 2 / n - bend_centre;
      float shade = 1 + bend * (0.5f - s * s);
      const float d = (upright ? cx + lean * cy : cy + lean * cx) - at;
      const float crease =
          folded ? step * (smooth_step(d / 6 + 0.5f) - 0.5f) + line / (1 + (d / width) * (d / width)) : 0;
      shade *= 1 + crease;
      r[x] *= shade, g[x] *= shade, b[x] *= shade;
    }
  }
  if (random.chance(double(options.gloss_chance))) add_glare(scene, options.gloss.draw(random), random);
  if (random.chance(double(options.margin_chance))) {
    const float white = options.paper_white.draw(random);
    const float colour[3] = {white, white, white};
    add_edges(scene, behind, colour, options.margin_depth, options.margin_width, random);
  }
}

}  // namespace bonafide::images
