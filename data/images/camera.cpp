// data/images/camera.cpp — framing, resampling, exposure.
#include "data/images/camera.h"

#include <algorithm>
#include <cstring>

#include "data/images/decode.h"
#include "data/images/encode.h"

namespace bonafide::images {
namespace {

constexpr float kDegrees = 3.14159265f / 180;

// The frame's geometry: capture pixel -> photograph pixel (both with pixel centres at .5).
struct Geometry {
  float half, extent_x, extent_y, cx, cy, cosine, sine, px, py, lens;

  void map(float x, float y, float& to_x, float& to_y) const {
    float nx = (x - half) / half, ny = (y - half) / half;
    const float f = (1 + lens * (nx * nx + ny * ny)) / (1 + px * nx + py * ny);
    nx *= f * extent_x, ny *= f * extent_y;
    to_x = cx + cosine * nx - sine * ny;
    to_y = cy + sine * nx + cosine * ny;
  }
  // The other way, by fixed-point steps: the map is nearly affine.
  void unmap(float to_x, float to_y, float& x, float& y) const {
    x = y = half;
    for (int i = 0; i < 8; ++i) {
      float gx, gy;
      map(x, y, gx, gy);
      const float dx = to_x - gx, dy = to_y - gy;
      x += (cosine * dx + sine * dy) * half / extent_x;
      y += (cosine * dy - sine * dx) * half / extent_y;
    }
  }
};

// Index reflected into [0, n): … 1 0 | 0 1 … n-1 | n-1 …
int mirrored(int i, int n) {
  if (unsigned(i) < unsigned(n)) return i;
  const int period = 2 * n, m = ((i % period) + period) % period;
  return m < n ? m : period - 1 - m;
}

// Four bytes as floats: one pixel and whatever follows it (GCC and Clang vector extensions; one instruction each).
typedef float Quad __attribute__((vector_size(16)));
Quad quad(const std::uint8_t* p) {
  typedef std::uint8_t Bytes __attribute__((vector_size(4)));
  Bytes bytes;
  std::memcpy(&bytes, p, 4);
  return __builtin_convertvector(bytes, Quad);
}

float mean_of(const Plane& plane) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::size_t i = 0; i < plane.size(); ++i) sum += plane[i];
  return sum / float(plane.size());
}

// Light that all but one pixel in a hundred exceed, of the mean of the three channels; every second pixel is asked.
float darkest(const Scene& scene) {
  constexpr int kBins = 256;  // of code values, where the eye and the percentile are even
  std::array<int, kBins> count{};
  int n = 0;
  for (std::size_t i = 0; i < scene.pixels(); i += 2, ++n) {
    const float light = (scene.light[0][i] + scene.light[1][i] + scene.light[2][i]) * (1.0f / 3);
    ++count[std::size_t(std::sqrt(clamp01(light)) * (kBins - 1))];
  }
  int below = 0, bin = 0;
  while (bin < kBins - 1 && (below += count[std::size_t(bin)]) * 100 < n) ++bin;
  const float code = float(bin) / (kBins - 1);
  return code * code;
}

// Three taps along one axis: a hand's movement during the exposure.
void streak(Plane& plane, int size, bool vertical, float amount) {
  const Plane from = plane;
  const int step = vertical ? size : 1;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) {
      const int i = y * size + x, at = vertical ? y : x;
      const float before = from[std::size_t(at > 0 ? i - step : i)],
                  after = from[std::size_t(at < size - 1 ? i + step : i)];
      plane[std::size_t(i)] = (1 - 2 * amount) * from[std::size_t(i)] + amount * (before + after);
    }
}

}  // namespace

View frame(int photo_height, int photo_width, const Box& face, int size, const CameraOptions& options, Random& random) {
  BF_CHECK(size >= 8, "capture size ", size);
  BF_CHECK(photo_height > 0 && photo_width > 0, "photograph of ", photo_width, " x ", photo_height);
  const Box box = face.valid() ? face : Box{0, 0, float(photo_width), float(photo_height)};
  const float w = float(photo_width), h = float(photo_height), box_w = box.x2 - box.x1, box_h = box.y2 - box.y1;

  Geometry g{};
  g.half = 0.5f * float(size);
  const float side =
      std::min(options.context.draw(random) * std::max(box_w, box_h), options.fill.draw(random) * std::min(w, h));
  const float stretch = options.stretch.draw(random);
  g.extent_x = 0.5f * side * (1 + stretch), g.extent_y = 0.5f * side * (1 - stretch);
  const auto centre = [&](float middle, float length) {
    const float c = middle + options.shift.draw(random) * side, room_left = std::max(0.0f, 0.5f * (length - side));
    return std::clamp(c, 0.5f * length - room_left, 0.5f * length + room_left);
  };
  g.cx = centre(0.5f * (box.x1 + box.x2), w);
  g.cy = centre(0.5f * (box.y1 + box.y2), h);
  const float angle = 0.5f * (options.rotation.draw(random) + options.rotation.draw(random)) * kDegrees;
  g.cosine = std::cos(angle), g.sine = std::sin(angle);
  g.px = options.perspective.draw(random), g.py = options.perspective.draw(random);
  g.lens = options.lens.draw(random);

  View view;
  view.size = size;
  view.scale = side / float(size);
  view.u.resize(std::size_t(size) * std::size_t(size));
  view.v.resize(view.u.size());
  view.xu = g.cosine / (1 + stretch), view.xv = g.sine / (1 + stretch);
  view.yu = -g.sine / (1 - stretch), view.yv = g.cosine / (1 - stretch);
  const float inverse = 1 / view.scale;
  for (int y = 0; y < size; ++y) {
    float *u = view.u.data() + y * size, *v = view.v.data() + y * size;
#pragma omp simd
    for (int x = 0; x < size; ++x) {
      float fx, fy;
      g.map(float(x) + 0.5f, float(y) + 0.5f, fx, fy);
      u[x] = fx * inverse, v[x] = fy * inverse;
    }
  }
  float x, y;
  g.unmap(0.5f * (box.x1 + box.x2), 0.5f * (box.y1 + box.y2), x, y);
  const float hw = 0.5f * box_w * inverse / (1 + stretch), hh = 0.5f * box_h * inverse / (1 - stretch), n = float(size);
  view.face = {std::clamp(x - hw, 0.0f, n), std::clamp(y - hh, 0.0f, n), std::clamp(x + hw, 0.0f, n),
               std::clamp(y + hh, 0.0f, n)};
  return view;
}

Scene look(const Image& photo, const View& view, const Placement& placement) {
  BF_CHECK(!photo.empty(), "a photograph without pixels");
  Scene scene(view.size);
  const float ax = placement.ax * view.scale, bx = placement.bx - 0.5f, ay = placement.ay * view.scale,
              by = placement.by - 0.5f, cx = placement.cx * view.scale, cy = placement.cy * view.scale;
  float *r = scene.light[0].data(), *g = scene.light[1].data(), *b = scene.light[2].data();
  const float *u = view.u.data(), *v = view.v.data();
  const std::size_t n = scene.pixels();
  const int row = 3 * photo.width;
  for (std::size_t i = 0; i < n; ++i) {
    const float x = ax * u[i] + bx + cx * v[i], y = ay * v[i] + by + cy * u[i];
    const int x0 = int(std::floor(x)), y0 = int(std::floor(y));
    const float fx = x - float(x0), fy = y - float(y0);
    Quad top, bottom;
    if (x0 >= 0 && y0 >= 0 && x0 + 2 < photo.width &&
        y0 + 1 < photo.height) {  // + 2: quads read a byte of the next pixel
      const std::uint8_t* p = photo.at(y0, x0);
      top = quad(p) + fx * (quad(p + 3) - quad(p));
      bottom = quad(p + row) + fx * (quad(p + row + 3) - quad(p + row));
    } else {
      const int xa = mirrored(x0, photo.width), xb = mirrored(x0 + 1, photo.width), ya = mirrored(y0, photo.height),
                yb = mirrored(y0 + 1, photo.height);
      const auto one = [&](int py, int px) {
        const std::uint8_t* p = photo.at(py, px);
        return Quad{float(p[0]), float(p[1]), float(p[2]), 0};
      };
      top = one(ya, xa) + fx * (one(ya, xb) - one(ya, xa));
      bottom = one(yb, xa) + fx * (one(yb, xb) - one(yb, xa));
    }
    const Quad code = (top + fy * (bottom - top)) * (1.0f / 255), light = code * code;
    r[i] = light[0], g[i] = light[1], b[i] = light[2];
  }
  return scene;
}

Image expose(Scene scene, const CameraOptions& options, Random& random) {
  const int size = scene.size;
  const float sigma = options.blur.draw(random);
  for (Plane& p : scene.light) blur(p, size, sigma);
  if (random.chance(double(options.motion_chance))) {
    const bool vertical = random.chance(0.5);
    const float amount = Range{0.08f, 0.28f}.draw(random);
    for (Plane& p : scene.light) streak(p, size, vertical, amount);
  }

  // Stray light in the lens, then what the camera's automatics make of the picture: levels, exposure, white balance.
  // Each goes part of the way, for genuine photographs and attacks alike: so a print's grey blacks or a display's glow
  // are a hint, as for any camera, and not a label.
  std::array<float, 3> mean{mean_of(scene.light[0]), mean_of(scene.light[1]), mean_of(scene.light[2])};
  const float flare = options.flare.draw(random) * (mean[0] + mean[1] + mean[2]) / 3;
  const float black = options.black_point.draw(random) * (darkest(scene) + flare), lift = flare - black;
  for (std::size_t c = 0; c < 3; ++c) mean[c] += lift;
  const float grey = std::max(1e-3f, (mean[0] + mean[1] + mean[2]) / 3);
  const float exposure = std::pow(options.exposure_target.draw(random) / grey, options.exposure_strength) *
                         options.gain_jitter.draw(random);
  std::array<float, 3> gain;
  for (std::size_t c = 0; c < 3; ++c)
    gain[c] = exposure * std::pow(grey / std::max(1e-3f, mean[c]), options.balance_strength) *
              options.balance_jitter.draw(random);

  const float vignette = options.vignette.draw(random), noise = options.noise.draw(random),
              contrast = options.contrast.draw(random), saturation = options.saturation.draw(random),
              sharpening = options.sharpening.draw(random);
  const std::uint32_t seed = random.u32();
  for (std::size_t c = 0; c < 3; ++c)
    for (int y = 0; y < size; ++y) {
      float* p = scene.light[c].data() + y * size;
      const float k = 2 / float(size), ny = (float(y) + 0.5f) * k - 1, g = gain[c];
      const std::uint32_t at = seed + std::uint32_t((int(c) * size + y) * size);
#pragma omp simd
      for (int x = 0; x < size; ++x) {
        const float nx = (float(x) + 0.5f) * k - 1;
        const float light = (p[x] + lift) * g * (1 - vignette * (nx * nx + ny * ny));
        const float code = std::sqrt(clamp01(light)) + noise * hash_normal(at + std::uint32_t(x));
        p[x] = code + contrast * code * (1 - code) * (2 * code - 1);
      }
    }
  if (sharpening > 0)
    for (Plane& p : scene.light) {
      Plane soft = p;
      blur(soft, size, 0.8f);
#pragma omp simd
      for (std::size_t i = 0; i < p.size(); ++i) p[i] += sharpening * (p[i] - soft[i]);
    }

  Image image(size, size);
  const float *r = scene.light[0].data(), *g = scene.light[1].data(), *b = scene.light[2].data();
  std::uint8_t* to = image.pixels.data();
  for (std::size_t i = 0; i < scene.pixels(); ++i) {
    const float luma = 0.3f * r[i] + 0.59f * g[i] + 0.11f * b[i];
    const auto byte = [&](float v) { return std::uint8_t(clamp01(luma + saturation * (v - luma)) * 255 + 0.5f); };
    to[3 * i] = byte(r[i]), to[3 * i + 1] = byte(g[i]), to[3 * i + 2] = byte(b[i]);
  }
  const int quality = int(random.between(options.jpeg_quality_lo, options.jpeg_quality_hi));
  const Chroma chroma = random.chance(double(options.full_chroma_chance)) ? Chroma::s444 : Chroma::s420;
  return decode_image_bytes(encode_jpeg(image, quality, chroma), "simulated capture");
}

}  // namespace bonafide::images
