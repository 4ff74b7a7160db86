// data/faces/pixels.cpp
#include "data/faces/pixels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "data/faces/inception.h"
#include "data/faces/triangle_resize.h"

namespace bonafide {
namespace {

constexpr int kGrid = 32, kFrequencies = 9, kDimension = kFrequencies * kFrequencies - 1;
constexpr double kFlat = 4;  // grey levels: what varies less is noise

using Grid = std::array<std::array<double, kGrid>, kGrid>;
using Cosines = std::array<std::array<double, kGrid>, kFrequencies>;

const Cosines& cosines() {
  static const Cosines table = [] {
    Cosines t{};
    for (std::size_t u = 0; u < t.size(); ++u)
      for (std::size_t x = 0; x < kGrid; ++x)
        t[u][x] = u == 0 ? std::numbers::sqrt2 / 2 : std::cos(std::numbers::pi * double(u) * double(2 * x + 1) / (2.0 * kGrid));
    return t;
  }();
  return table;
}

Grid grey(const Image& face) {
  BF_CHECK(face.height == kGrid && face.width == kGrid, "a face of ", face.height, " x ", face.width, ", expected 32 x 32");
  Grid g{};
  for (int y = 0; y < kGrid; ++y)
    for (int x = 0; x < kGrid; ++x) {
      const std::uint8_t* p = face.at(y, x);
      g[std::size_t(y)][std::size_t(x)] = (77 * p[0] + 150 * p[1] + 29 * p[2]) / 256.0;
    }
  return g;
}

class PixelEmbedder final : public FaceEmbedder {
 public:
  int dimension() const override { return kDimension; }

  Image prepare(const Image& photo, const Face& face) const override {
    Image small = triangle_resize(cut_box(photo, face.box), kGrid, kGrid);
    double least = 255, most = 0;
    for (const auto& row : grey(small))
      for (const double v : row) least = std::min(least, v), most = std::max(most, v);
    if (most - least < kFlat) throw Error("the face is a flat surface: its pixels tell nothing");
    return small;
  }

  std::vector<float> embed(std::span<const Image> faces) const override {
    std::vector<float> all;
    for (const Image& face : faces) {
      const std::vector<double> c = coefficients(grey(face));
      double squares = 0;
      for (const double v : c) squares += v * v;
      if (!(squares > 0)) throw Error("pixels: an embedding of no length");
      for (const double v : c) all.push_back(float(v / std::sqrt(squares)));
    }
    return all;
  }

  std::string identity() const override { return "pixels formula-1"; }

 private:
  static std::vector<double> coefficients(const Grid& g) {
    std::array<std::array<double, kFrequencies>, kGrid> rows{};
    for (std::size_t y = 0; y < kGrid; ++y)
      for (std::size_t u = 0; u < kFrequencies; ++u)
        for (std::size_t x = 0; x < kGrid; ++x) rows[y][u] += g[y][x] * cosines()[u][x];
    std::vector<double> c;
    for (std::size_t v = 0; v < kFrequencies; ++v)
      for (std::size_t u = v == 0 ? 1 : 0; u < kFrequencies; ++u) {
        double sum = 0;
        for (std::size_t y = 0; y < kGrid; ++y) sum += rows[y][u] * cosines()[v][y];
        c.push_back(sum);
      }
    return c;
  }
};

}  // namespace

std::unique_ptr<FaceEmbedder> make_pixel_embedder() { return std::make_unique<PixelEmbedder>(); }

}  // namespace bonafide
