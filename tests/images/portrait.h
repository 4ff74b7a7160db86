// tests/images/portrait.h — a drawn stand-in for a face photograph: background, hair, skin, eyes, mouth, grain.
#pragma once
#include <cmath>

#include "data/image.h"
#include "data/images/scene.h"
#include "engine/philox.h"

namespace bonafide::test {

// `size` x `size`; the face fills the middle: box() of it. Another `person` has other colours and proportions.
inline Image portrait(std::uint64_t person, int size = 150) {
  Random r(11, "portrait", person);
  const float skin[3] = {r.uniform(120, 225), r.uniform(85, 170), r.uniform(60, 140)},
              back[3] = {r.uniform(30, 220), r.uniform(30, 220), r.uniform(30, 220)};
  const float hair = r.uniform(15, 110), wide = r.uniform(0.32f, 0.38f), smile = r.uniform(0.05f, 0.10f);
  Image image(size, size);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const float px = (float(x) + 0.5f) / float(size) - 0.5f, py = (float(y) + 0.5f) / float(size) - 0.5f;
      const auto oval = [&](float cx, float cy, float rx, float ry) {
        return std::hypot((px - cx) / rx, (py - cy) / ry) < 1;
      };
      for (int c = 0; c < 3; ++c) {
        float v = back[c] * (1 + 0.4f * py + 0.2f * std::sin(9 * px + 7 * py));
        if (oval(0, -0.05f, wide + 0.06f, 0.5f)) v = hair * (1 + 0.2f * std::sin(60 * px));
        if (oval(0, 0.03f, wide, 0.43f)) v = skin[c] * (1 - 0.5f * px * px - 0.25f * px);
        if (oval(0, 0.08f, 0.05f, 0.08f)) v *= 0.93f;
        for (float ex : {-0.15f, 0.15f}) {
          if (oval(ex, -0.13f, 0.07f, 0.03f)) v = 215;
          if (oval(ex, -0.13f, 0.028f, 0.028f)) v = 40;
          if (oval(ex, -0.2f, 0.08f, 0.012f)) v = hair;
        }
        if (oval(0, 0.25f, 0.12f, smile)) v = c == 0 ? 165 : 70;
        image.at(y, x)[c] = std::uint8_t(std::fmin(
            255, std::fmax(0, v + 4 * images::hash_normal(
                                          std::uint32_t(person * 1000003 + std::uint64_t((y * size + x) * 3 + c))))));
      }
    }
  return image;
}
inline Box portrait_box(int size = 150) {
  const float s = float(size);
  return {0.15f * s, 0.10f * s, 0.85f * s, 0.95f * s};
}

}  // namespace bonafide::test
