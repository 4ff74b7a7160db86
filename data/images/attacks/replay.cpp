// data/images/attacks/replay.cpp — display light, its grid, and the glass in front of it.
#include "data/images/attacks/replay.h"

#include "data/images/attacks/parts.h"

namespace bonafide::images {
namespace {

constexpr float kTwoPi = 6.2831853f;

}  // namespace

void replay(Scene& scene, const View& view, const ReplayOptions& options, Random& random) {
  const int size = scene.size;
  const float n = float(size);
  const Scene behind = room(scene, random);

  // Frequencies of the grid's columns and rows, in cycles per capture pixel along the image's axes: one or two whole
  // cycles, which the sensor cannot see, plus a beat of any direction, which is all that it sees. Or a coarse grid as
  // it is.
  float column_x, column_y, row_x, row_y;
  if (random.chance(double(options.coarse_chance))) {
    const float pitch = options.coarse_pitch.draw(random), tilt = Range{-0.15f, 0.15f}.draw(random);
    column_x = std::cos(tilt) / pitch, column_y = std::sin(tilt) / pitch, row_x = -column_y, row_y = column_x;
  } else {
    const float order = random.chance(0.7) ? 1.0f : 2.0f;
    const float a = Range{0, kTwoPi}.draw(random), beat = 1 / options.moire_length.draw(random);
    const float b = Range{0, kTwoPi}.draw(random), row_beat = 1 / options.moire_length.draw(random);
    column_x = order + beat * std::cos(a), column_y = beat * std::sin(a);
    row_x = row_beat * std::cos(b), row_y = order + row_beat * std::sin(b);
  }
  // On the display, so that perspective and lens bend them.
  const float column_u = view.xu * column_x + view.yu * column_y, column_v = view.xv * column_x + view.yv * column_y,
              row_u = view.xu * row_x + view.yu * row_y, row_v = view.xv * row_x + view.yv * row_y;
  const float depth = options.grid_depth.draw(random), row_depth = depth * options.row_depth.draw(random),
              stripe = options.stripe_offset.draw(random), phase = random.uniform(), row_phase = random.uniform();

  const float temperature = options.colour_temperature.draw(random), white = options.white.draw(random);
  const float gain_r = white * (1 - temperature), gain_g = white, gain_b = white * (1 + temperature);
  const float black = options.black_level.draw(random), reflection = options.reflection.draw(random),
              contrast = options.contrast.draw(random), saturation = options.saturation.draw(random);
  const float fall = options.viewing_angle.draw(random), fall_turn = Range{0, kTwoPi}.draw(random),
              fall_x = fall * std::cos(fall_turn) / n, fall_y = fall * std::sin(fall_turn) / n;
  const bool banded = random.chance(double(options.band_chance));
  const float band = banded ? options.band_depth.draw(random) : 0.0f, band_length = options.band_length.draw(random),
              band_phase = random.uniform(), band_lean = random.chance(0.8) ? 0.0f : 1.0f;

  float *r = scene.light[0].data(), *g = scene.light[1].data(), *b = scene.light[2].data();
  const float *us = view.u.data(), *vs = view.v.data();
  const float *room_r = behind.light[0].data(), *room_g = behind.light[1].data(), *room_b = behind.light[2].data();
  for (int y = 0; y < size; ++y) {
    const int row = y * size;
#pragma omp simd
    for (int x = 0; x < size; ++x) {
      const int i = row + x;
      const float u = us[i], v = vs[i];
      const float mean = (r[i] + g[i] + b[i]) * (1.0f / 3);
      const float column = column_u * u + column_v * v + phase;
      const float rows = row_depth * wave(row_u * u + row_v * v + row_phase);
      const float bars = 1 + band * wave((band_lean > 0 ? float(x) : float(y)) / band_length + band_phase);
      const float side = 1 + fall_x * (float(x) - 0.5f * n) + fall_y * (float(y) - 0.5f * n);
      const float common = side * bars;
      const auto shown = [=](float light, float stripes) {
        light = clamp01(mean + saturation * (light - mean));
        light += contrast * light * (1 - light) * (2 * light - 1);
        return (black + (1 - black) * light) * (1 + rows + depth * wave(column + stripes)) * common;
      };
      r[i] = gain_r * shown(r[i], -stripe) + reflection * room_r[i];
      g[i] = gain_g * shown(g[i], 0) + reflection * room_g[i];
      b[i] = gain_b * shown(b[i], stripe) + reflection * room_b[i];
    }
  }
  if (random.chance(double(options.glare_chance))) add_glare(scene, options.glare.draw(random), random);
  if (random.chance(double(options.bezel_chance))) {
    const bool light = random.chance(double(options.white_bezel_chance));
    const float level = light ? Range{0.45f, 0.8f}.draw(random) : options.bezel_light.draw(random);
    const float colour[3] = {level, level, level * Range{0.9f, 1.1f}.draw(random)};
    add_edges(scene, behind, colour, options.bezel_depth, options.bezel_width, random);
  }
}

}  // namespace bonafide::images
