// data/images/attacks/attribute_edit.cpp — shape first (one resampling), then smoothing, then colours.
#include "data/images/attacks/attribute_edit.h"

#include <algorithm>

namespace bonafide::images {
namespace {

constexpr float kEyeX[2] = {0.29f, 0.71f}, kEyeY = 0.36f, kMouthX = 0.5f, kMouthY = 0.79f;  // in the face box

// 1 in the middle of an ellipse, 0 on its rim and outside.
float bump(float x, float y, float cx, float cy, float rx, float ry, float rim) {
  const float px = (x - cx) / rx, py = (y - cy) / ry;
  return smooth_step((1 - std::sqrt(px * px + py * py)) / rim);
}

float sample(const Plane& p, int size, float x, float y) {
  const float last = float(size - 1);
  x = std::clamp(x, 0.0f, last), y = std::clamp(y, 0.0f, last);
  const int x0 = std::min(int(x), size - 2), y0 = std::min(int(y), size - 2);
  const float fx = x - float(x0), fy = y - float(y0);
  const float *a = p.data() + y0 * size + x0, *b = a + size;
  return (1 - fy) * (a[0] + fx * (a[1] - a[0])) + fy * (b[0] + fx * (b[1] - b[0]));
}

}  // namespace

void attribute_edit(Scene& scene, const View& view, const AttributeEditOptions& options, Random& random) {
  // Everything is drawn, whether used or not: one edit's chance changes nothing about the others.
  const auto drawn = [&](float chance) { return random.chance(double(chance)); };
  bool tone = drawn(options.tone_chance);
  const bool smooth = drawn(options.smooth_chance), lips = drawn(options.lips_chance),
             eye_colour = drawn(options.eye_colour_chance), large_eyes = drawn(options.large_eyes_chance),
             narrow_jaw = drawn(options.narrow_jaw_chance);
  tone = tone || !(smooth || lips || eye_colour || large_eyes || narrow_jaw);
  const float sign = random.chance(0.5) ? -1.0f : 1.0f, lighter = sign * options.tone.draw(random);
  const float smoothed = options.smooth.draw(random), red = options.lips.draw(random),
              magnified = options.large_eyes.draw(random), narrowed = options.narrow_jaw.draw(random);
  float skin_gain[3], eye_gain[3];
  for (float& g : skin_gain) g = 1 + lighter + options.tint.draw(random);
  for (float& g : eye_gain) g = options.eye_colour.draw(random);
  const float lip_gain[3] = {1 + 0.3f * red, 1 - red, 1 - 0.6f * red};

  const int size = scene.size;
  const float left = view.face.x1, top = view.face.y1, w = view.face.x2 - left, h = view.face.y2 - top;
  // Calls f(index, x, y in the face box, how much of an edit is seen there) for the pixels of the face.
  const auto each = [&](const auto& f) {
    for (int row = 0; row < size; ++row)
      for (int column = 0; column < size; ++column) {
        const float x = (float(column) + 0.5f - left) / w, y = (float(row) + 0.5f - top) / h;
        const float seen = bump(x, y, 0.5f, 0.5f, 0.5f, 0.5f, 0.25f);
        if (seen > 0) f(std::size_t(row * size + column), x, y, seen);
      }
  };
  if (large_eyes || narrow_jaw) {
    const Scene from = scene;
    each([&](std::size_t i, float x, float y, float seen) {
      float sx = x, sy = y;  // where the edited pixel looks
      if (large_eyes)
        for (const float ex : kEyeX) {
          const float k = magnified * bump(x, y, ex, kEyeY, 0.2f, 0.2f, 1.0f);
          sx -= k * (x - ex), sy -= k * (y - kEyeY);
        }
      if (narrow_jaw) sx += narrowed * smooth_step((y - 0.45f) / 0.35f) * (x - 0.5f);
      if (sx == x && sy == y) return;  // not even rounded
      sx = x + seen * (sx - x), sy = y + seen * (sy - y);
      for (std::size_t c = 0; c < 3; ++c)
        scene.light[c][i] = sample(from.light[c], size, sx * w + left - 0.5f, sy * h + top - 0.5f);
    });
  }
  if (smooth) {
    Scene soft = scene;
    for (Plane& p : soft.light)
      for (int k = 0; k < 3; ++k) blur(p, size, 1.2f);
    each([&](std::size_t i, float x, float y, float seen) {
      float skin = seen * smoothed;  // not the eyes, not the mouth
      for (const float ex : kEyeX) skin *= 1 - bump(x, y, ex, kEyeY, 0.16f, 0.09f, 0.4f);
      skin *= 1 - bump(x, y, kMouthX, kMouthY, 0.24f, 0.1f, 0.4f);
      for (std::size_t c = 0; c < 3; ++c) scene.light[c][i] += skin * (soft.light[c][i] - scene.light[c][i]);
    });
  }
  each([&](std::size_t i, float x, float y, float seen) {
    const float mouth = lips ? seen * bump(x, y, kMouthX, kMouthY, 0.22f, 0.08f, 0.4f) : 0;
    float iris = 0;
    if (eye_colour)
      for (const float ex : kEyeX) iris += seen * bump(x, y, ex, kEyeY, 0.08f, 0.06f, 0.4f);
    for (std::size_t c = 0; c < 3; ++c) {
      float gain = tone ? 1 + seen * (skin_gain[c] - 1) : 1;
      gain *= (1 + mouth * (lip_gain[c] - 1)) * (1 + iris * (eye_gain[c] - 1));
      scene.light[c][i] *= gain * gain;  // gains are of code values
    }
  });
}

}  // namespace bonafide::images
