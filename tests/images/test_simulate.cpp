// tests/images/test_simulate.cpp — attack renders: repeatable, labelled, visible where they should be and nowhere else.
#include <map>
#include <opencv2/imgproc.hpp>
#include <opencv2/photo.hpp>
#include <thread>

#include "data/faces/align.h"
#include "data/images/simulate.h"
#include "tests/images/portrait.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using images::Range;

namespace {

std::vector<Label> all_species() {
  std::vector<Label> all = PhotoSimulator::species();
  all.insert(all.begin(), Label{});
  all.push_back(kRecoded);
  return all;
}

AttackSimulator::Result render(const PhotoSimulator& simulator, const Label& species, std::uint64_t person,
                               std::uint64_t draw) {
  static std::map<std::uint64_t, Image> drawn;  // portraits are slow to draw
  const auto photograph = [&](std::uint64_t p) -> const Image& {
    return drawn.try_emplace(p, drawn.count(p) ? Image() : portrait(p)).first->second;
  };
  const Image &photo = photograph(person), &donor = photograph(person + 1000);
  const Box box = portrait_box();
  Random random(test::seed(), "test-render", person, draw);
  return simulator.render(photo, box, &donor, box, species, random);
}

// A camera that adds nothing of its own: what is left of a difference is the attack's.
SimulatorOptions plain_camera() {
  SimulatorOptions o;
  const Range zero{0, 0}, one{1, 1};
  o.camera.shift = o.camera.rotation = o.camera.stretch = o.camera.perspective = o.camera.lens = zero;
  o.camera.blur = o.camera.vignette = o.camera.noise = o.camera.contrast = o.camera.sharpening = zero;
  o.camera.flare = o.camera.black_point = zero;
  o.camera.gain_jitter = o.camera.balance_jitter = o.camera.saturation = one;
  o.camera.exposure_strength = o.camera.balance_strength = o.camera.motion_chance = 0;
  o.camera.full_chroma_chance = 1;
  o.camera.jpeg_quality_lo = o.camera.jpeg_quality_hi = 100;
  return o;
}

double mean(const Image& a) {
  double s = 0;
  for (auto v : a.pixels) s += v;
  return s / double(a.pixels.size());
}
// Mean darkness of the outermost two pixels against the whole.
double border(const Image& a) {
  double s = 0, n = 0;
  for (int y = 0; y < a.height; ++y)
    for (int x = 0; x < a.width; ++x)
      if (std::min(std::min(x, y), std::min(a.width - 1 - x, a.height - 1 - y)) < 2) s += a.at(y, x)[1], ++n;
  return s / n / (1 + mean(a));
}
// Energy of what a 3 x 3 mean does not explain, green channel.
double detail(const Image& a) {
  double s = 0;
  for (int y = 1; y + 1 < a.height; ++y)
    for (int x = 1; x + 1 < a.width; ++x) {
      double m = 0;
      for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx) m += a.at(y + dy, x + dx)[1];
      s += std::pow(a.at(y, x)[1] - m / 9, 2);
    }
  return s / double(a.height * a.width);
}
double colourfulness(const Image& a) {
  double s = 0;
  for (std::size_t i = 0; i < a.pixels.size(); i += 3) s += std::abs(a.pixels[i] - a.pixels[i + 2]);
  return s / double(a.pixels.size() / 3);
}

// P(attack's statistic > genuine's), ties half.
double auc(const std::vector<double>& attack, const std::vector<double>& genuine) {
  double wins = 0;
  for (double a : attack)
    for (double g : genuine) wins += a > g ? 1 : a == g ? 0.5 : 0;
  return wins / double(attack.size() * genuine.size());
}

double mean_difference(const Image& a, const Image& b, const std::function<bool(int, int)>& where) {
  double s = 0, n = 0;
  for (int y = 0; y < a.height; ++y)
    for (int x = 0; x < a.width; ++x)
      if (where(y, x))
        for (int c = 0; c < 3; ++c) s += std::abs(int(a.at(y, x)[c]) - int(b.at(y, x)[c])), ++n;
  return s / n;
}
const auto everywhere = [](int, int) { return true; };

}  // namespace

TEST_CASE("simulate: label codes") {
  CHECK(kPrint.code() == "1_0_0");
  CHECK(kReplay.code() == "1_0_1");
  CHECK(kCutout.code() == "1_0_2");
  CHECK(kFaceSwap.code() == "2_0_1");
  CHECK(kPixelNoise.code() == "2_3_0");
  CHECK(PhotoSimulator::species() == std::vector<Label>{kPrint, kReplay, kCutout, kFaceSwap, kPixelNoise, kAttributeEdit});
  const PhotoSimulator simulator;
  for (const Label& s : all_species()) CHECK(simulator.needs_donor(s) == (s == kFaceSwap));
}

TEST_CASE("simulate: a render is a function of its arguments; other draws give other images; threads change nothing") {
  const PhotoSimulator simulator;
  for (const Label& species : all_species()) {
    CAPTURE(species.code());
    const auto a = render(simulator, species, 1, 5), b = render(simulator, species, 1, 5),
               c = render(simulator, species, 1, 6);
    CHECK(a.image.pixels == b.image.pixels);
    CHECK(a.image.pixels != c.image.pixels);
    CHECK(a.image.width == 112);
    CHECK(a.image.height == 112);
    Image from_thread;
    std::thread([&] { from_thread = render(simulator, species, 1, 5).image; }).join();
    CHECK(from_thread.pixels == a.image.pixels);
  }
}

TEST_CASE("simulate: the framing does not depend on the species") {
  const PhotoSimulator simulator;
  for (std::uint64_t draw = 0; draw < 5; ++draw) {
    const Box g = render(simulator, Label{}, 2, draw).face;
    for (const Label& species : all_species()) {
      const Box f = render(simulator, species, 2, draw).face;
      CHECK((f.x1 == g.x1 && f.y1 == g.y1 && f.x2 == g.x2 && f.y2 == g.y2));
    }
  }
}

TEST_CASE("simulate: the face box follows the face, from photographs of any size") {
  const PhotoSimulator simulator;
  for (const auto& [height, width, box] : {std::tuple{150, 150, Box{30, 20, 120, 135}},
                                           {900, 1300, Box{700, 200, 1000, 600}},
                                           {60, 50, Box{10, 10, 40, 46}},
                                           {400, 300, Box{100, 0, 200, 120}}}) {
    Image photo(height, width);
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const bool in = float(x) >= box.x1 && float(x) < box.x2 && float(y) >= box.y1 && float(y) < box.y2;
        photo.at(y, x)[0] = in ? 250 : 20, photo.at(y, x)[1] = 120, photo.at(y, x)[2] = in ? 20 : 250;
      }
    for (std::uint64_t draw = 0; draw < 6; ++draw) {
      CAPTURE(width);
      CAPTURE(draw);
      Random random(3, "box", draw);
      const auto [image, face] = simulator.render(photo, box, nullptr, {}, Label{}, random);
      REQUIRE(face.valid());
      CHECK(face.x2 <= 112);
      CHECK(face.y2 <= 112);
      double inside = 0, in_red = 0, outside = 0, out_red = 0;
      for (int y = 0; y < 112; ++y)
        for (int x = 0; x < 112; ++x) {
          const bool red = image.at(y, x)[0] > image.at(y, x)[2];
          const bool in = float(x) >= face.x1 && float(x) < face.x2 && float(y) >= face.y1 && float(y) < face.y2;
          (in ? inside : outside) += 1;
          if (red) (in ? in_red : out_red) += 1;
        }
      CHECK(in_red / inside > 0.88);
      CHECK(out_red / outside < 0.15);
    }
  }
}

TEST_CASE("simulate: odd photographs are rendered, wrong calls are explained") {
  const PhotoSimulator simulator;
  Random random(1, "odd");
  for (const auto& [h, w] : {std::pair{1, 1}, {1, 40}, {7, 3}, {40, 200}}) {
    Image photo(h, w);
    const auto r = simulator.render(photo, {}, &photo, {}, kFaceSwap, random);
    CHECK(r.image.width == 112);
    CHECK(r.face.valid());
  }
  const Image photo = portrait(1);
  expect_throw("no simulation of species 2_1_0", [&] {
    simulator.render(photo, {}, nullptr, {}, Label{2, 1, 0}, random);
  });
  expect_throw("needs another person's photograph",
               [&] { simulator.render(photo, {}, nullptr, {}, kFaceSwap, random); });
  expect_throw("without pixels", [&] { simulator.render(Image(), {}, nullptr, {}, kPrint, random); });
  expect_throw("not 8", [] {
    SimulatorOptions o;
    o.size = 8;
    PhotoSimulator{o};
  });
}

TEST_CASE("simulate: the camera alone, drawn twice, gives no statistic a hold; attacks have no trivial one") {
  const PhotoSimulator simulator;
  constexpr int kPeople = 24, kDraws = 3;
  const std::vector<std::function<double(const Image&)>> statistics{mean, border, detail, colourfulness};
  const auto collect = [&](const Label& species, std::uint64_t salt) {
    std::vector<std::vector<double>> values(statistics.size());
    for (std::uint64_t p = 0; p < kPeople; ++p)
      for (std::uint64_t d = 0; d < kDraws; ++d) {
        const Image image = render(simulator, species, p, 100 * salt + d).image;
        CHECK(*std::max_element(image.pixels.begin(), image.pixels.end()) > 60);
        for (std::size_t s = 0; s < statistics.size(); ++s) values[s].push_back(statistics[s](image));
      }
    return values;
  };
  const auto genuine = collect(Label{}, 0);
  const auto recoded = collect(kRecoded, 9);
  for (std::size_t s = 0; s < statistics.size(); ++s) {
    CAPTURE(s);
    const double a = auc(recoded[s], genuine[s]);  // standard deviation of an AUC of 72 against 72: 0.048
    CHECK(a > 0.36);
    CHECK(a < 0.64);
  }
  for (const Label& species : PhotoSimulator::species()) {
    const auto attack = collect(species, 1);
    INFO(species.name(), ": AUC of brightness ", auc(attack[0], genuine[0]), ", border ", auc(attack[1], genuine[1]),
            ", detail ", auc(attack[2], genuine[2]), ", colour ", auc(attack[3], genuine[3]));
    for (std::size_t s : {0, 1}) {  // brightness and border carry (almost) nothing
      CAPTURE(species.code());
      CAPTURE(s);
      CHECK(auc(attack[s], genuine[s]) > 0.2);
      CHECK(auc(attack[s], genuine[s]) < 0.8);
    }
  }
}

TEST_CASE("simulate: each attack leaves its trace, seen through a camera that adds none") {
  const PhotoSimulator simulator(plain_camera());
  const auto pair = [&](const Label& species, std::uint64_t draw) {
    return std::pair{render(simulator, Label{}, 4, draw), render(simulator, species, 4, draw)};
  };
  const auto inside = [](const Box& f, float fx, float fy, float rx, float ry) {
    return [=](int y, int x) {
      const float cx = f.x1 + fx * (f.x2 - f.x1), cy = f.y1 + fy * (f.y2 - f.y1);
      return std::hypot((float(x) - cx) / (rx * (f.x2 - f.x1)), (float(y) - cy) / (ry * (f.y2 - f.y1))) < 1;
    };
  };
  CHECK(mean_difference(pair(kRecoded, 1).first.image, pair(kRecoded, 1).second.image, everywhere) == 0);
  for (std::uint64_t draw = 0; draw < 12; ++draw) {
    CAPTURE(draw);
    const Image genuine = pair(kPrint, draw).first.image;
    CHECK(mean_difference(genuine, pair(kPrint, draw).second.image, everywhere) > 4);
    CHECK(mean_difference(genuine, pair(kReplay, draw).second.image, everywhere) > 3);
    CHECK(mean_difference(genuine, pair(kCutout, draw).second.image, everywhere) > 4);
    const double noise = mean_difference(genuine, pair(kPixelNoise, draw).second.image, everywhere);
    CHECK(noise > 0.025 * 255 / 2 * 0.7);
    CHECK(noise < 0.08 * 255 * 1.1);

    const auto [plain, swapped] = pair(kFaceSwap, draw);
    const auto middle = inside(plain.face, 0.5f, 0.54f, 0.28f, 0.28f),
               far = inside(plain.face, 0.5f, 0.54f, 0.56f, 0.60f);
    CHECK(mean_difference(plain.image, swapped.image, middle) > 3);
    CHECK(mean_difference(plain.image, swapped.image, [&](int y, int x) { return !far(y, x); }) < 1);
  }
  // On a plain grey photograph every bit of fine structure is the attack's.
  Image grey(150, 150);
  for (auto& v : grey.pixels) v = 128;
  for (const auto& [species, least] : {std::pair{Label{}, 0.0}, {kPrint, 2.0}, {kReplay, 2.0}, {kPixelNoise, 20.0}}) {
    CAPTURE(species.code());
    double sum = 0;
    for (std::uint64_t draw = 0; draw < 12; ++draw) {
      Random random(2, "grey", draw);
      sum += detail(simulator.render(grey, portrait_box(), nullptr, {}, species, random).image) / 12;
    }
    CHECK(sum >= least);
    if (species.genuine()) CHECK(sum < 0.1);
  }
}

TEST_CASE("simulate: moire, print screen and cut-out are where their parameters put them") {
  SimulatorOptions o = plain_camera();
  Image grey(150, 150);
  for (auto& v : grey.pixels) v = 128;
  const Box box = portrait_box();
  // Period of the strongest wave along x in row `y`, of one channel, by a plain Fourier sum over whole cycles.
  const auto strongest = [](const Image& a, int y, int channel) {
    double best = 0, at = 0;
    for (int k = 2; k <= 54; ++k) {
      double re = 0, im = 0;
      for (int x = 0; x < 112; ++x) {
        const double t = 6.283185307 * k * x / 112;
        re += a.at(y, x)[channel] * std::cos(t), im += a.at(y, x)[channel] * std::sin(t);
      }
      if (const double e = re * re + im * im; e > best) best = e, at = 112.0 / k;
    }
    return at;
  };
  const Range zero{0, 0}, full{0.4f, 0.4f};
  o.replay = {};
  o.replay.grid_depth = full, o.replay.row_depth = zero, o.replay.coarse_chance = 1,
  o.replay.coarse_pitch = {2.8f, 2.8f};
  o.replay.band_chance = o.replay.glare_chance = o.replay.bezel_chance = 0,
  o.replay.reflection = o.replay.viewing_angle = zero;
  Random r1(1, "grid");
  CHECK(std::abs(strongest(PhotoSimulator(o).render(grey, box, nullptr, {}, kReplay, r1).image, 50, 1) - 2.8) < 0.15);

  // The finest grid is invisible itself; its beat has the wanted length (in some direction: rows or columns of the
  // image).
  o.replay.coarse_chance = 0, o.replay.moire_length = {8, 8};
  for (std::uint64_t draw = 0; draw < 4; ++draw) {
    Random r2(1, "beat", draw);
    const Image image = PhotoSimulator(o).render(grey, box, nullptr, {}, kReplay, r2).image;
    Image turned(112, 112);
    for (int y = 0; y < 112; ++y)
      for (int x = 0; x < 112; ++x) std::copy_n(image.at(x, y), 3, turned.at(y, x));
    const double fx = 1 / strongest(image, 40, 1), fy = 1 / strongest(turned, 40, 1);
    CAPTURE(draw);
    CHECK(std::max(fx, fy) < 1.15 / 8);
    CHECK(std::hypot(fx, fy) > 0.8 / 8);
  }

  o.print.screen_chance = 1, o.print.screen_period = {4, 4}, o.print.screen_depth = o.print.screen_sharpness = {1, 1};
  o.print.ink_spread = o.print.fibre = o.print.bend = zero,
  o.print.fold_chance = o.print.gloss_chance = o.print.margin_chance = 0;
  Random r3(1, "screen");
  const Image screen = PhotoSimulator(o).render(grey, box, nullptr, {}, kPrint, r3).image;
  o.print.screen_depth = zero;
  Random r4(1, "screen");
  const Image smooth = PhotoSimulator(o).render(grey, box, nullptr, {}, kPrint, r4).image;
  CHECK(detail(smooth) < 0.5);
  CHECK(detail(screen) > 20);

  // A cut-out without holes keeps the printed face inside its outline and shows the room at the corners.
  o.cutout.print = o.print;
  o.cutout.whole_sheet_chance = o.cutout.eye_holes_chance = o.cutout.mouth_hole_chance = 0;
  o.cutout.outline = {1, 1}, o.cutout.rim = o.cutout.shadow = zero;
  Random r5(1, "screen"), r6(1, "screen");
  const auto cut = PhotoSimulator(o).render(grey, box, nullptr, {}, kCutout, r5);
  const Image whole = PhotoSimulator(o).render(grey, box, nullptr, {}, Label{}, r6).image;
  const float cx = 0.5f * (cut.face.x1 + cut.face.x2), cy = 0.5f * (cut.face.y1 + cut.face.y2);
  const auto* inner = cut.image.at(int(cy), int(cx));
  double spread = 0;
  for (int y = int(cy) - 20; y < int(cy) + 20; ++y)
    for (int x = int(cx) - 20; x < int(cx) + 20; ++x)
      spread = std::max(spread, std::abs(double(cut.image.at(y, x)[1]) - inner[1]));
  CHECK(spread < 6);  // even paper
  CHECK(mean_difference(cut.image, whole, [](int y, int x) { return x < 6 && y < 6; }) > 3);
}

TEST_CASE("simulate: an attribute edit changes the face where it should and nothing outside its ellipse") {
  struct Edit {
    const char* name;
    float images::AttributeEditOptions::*chance;
    float x, y, rx, ry;  // where it is seen at all, in the face box
    double least;        // mean difference there, levels
  };
  using O = images::AttributeEditOptions;
  const Edit edits[] = {{"tone", &O::tone_chance, 0.5f, 0.5f, 0.5f, 0.5f, 4},
                        {"smooth", &O::smooth_chance, 0.5f, 0.5f, 0.5f, 0.5f, 0.5},
                        {"lips", &O::lips_chance, 0.5f, 0.79f, 0.22f, 0.08f, 3},
                        {"eye colour", &O::eye_colour_chance, 0.5f, 0.36f, 0.36f, 0.10f, 0.3},
                        {"large eyes", &O::large_eyes_chance, 0.5f, 0.36f, 0.46f, 0.26f, 0.5},
                        {"narrow jaw", &O::narrow_jaw_chance, 0.5f, 0.75f, 0.75f, 0.42f, 0.2}};
  for (const Edit& edit : edits) {
    CAPTURE(edit.name);
    SimulatorOptions o = plain_camera();
    for (const Edit& other : edits) o.attribute_edit.*other.chance = 0;
    o.attribute_edit.*edit.chance = 1;
    const PhotoSimulator simulator(o);
    const images::AttributeEditOptions& options = o.attribute_edit;
    for (std::uint64_t draw = 0; draw < 6; ++draw) {
      CAPTURE(draw);
      const auto plain = render(simulator, Label{}, 4, draw), edited = render(simulator, kAttributeEdit, 4, draw);
      const Box& f = plain.face;
      const auto in = [&](float cx, float cy, float rx, float ry) {
        return [=](int y, int x) {
          const float px = (float(x) + 0.5f - f.x1) / (f.x2 - f.x1), py = (float(y) + 0.5f - f.y1) / (f.y2 - f.y1);
          return std::hypot((px - cx) / rx, (py - cy) / ry) < 1;
        };
      };
      CHECK(mean_difference(plain.image, edited.image, in(edit.x, edit.y, edit.rx, edit.ry)) > edit.least);

      // On the light itself, where no JPEG block carries anything across: not one pixel outside.
      Image photo = portrait(4);
      Random framing(test::seed(), "edit", draw);
      const images::View view = images::frame(photo.height, photo.width, portrait_box(), 112, o.camera, framing);
      const images::Scene before = images::look(photo, view);
      images::Scene after = before;
      images::attribute_edit(after, view, options, framing);
      const Box& v = view.face;
      int outside = 0, changed = 0;
      for (int y = 0; y < 112; ++y)
        for (int x = 0; x < 112; ++x) {
          const float px = (float(x) + 0.5f - v.x1) / (v.x2 - v.x1), py = (float(y) + 0.5f - v.y1) / (v.y2 - v.y1);
          const std::size_t i = std::size_t(y * 112 + x);
          bool same = true;
          for (std::size_t c = 0; c < 3; ++c) same = same && before.light[c][i] == after.light[c][i];
          const bool in_face = std::hypot(px - 0.5f, py - 0.5f) < 0.5005f,
                     in_part = std::hypot((px - edit.x) / edit.rx, (py - edit.y) / edit.ry) < 1.001f;
          (in_face && in_part ? changed : outside) += !same;
        }
      CHECK(outside == 0);
      CHECK(changed > 20);
    }
  }
  // Without any chance the tone is edited: an attack is never the photograph itself.
  SimulatorOptions none = plain_camera();
  for (const Edit& edit : edits) none.attribute_edit.*edit.chance = 0;
  const PhotoSimulator simulator(none);
  for (std::uint64_t draw = 0; draw < 6; ++draw)
    CHECK(mean_difference(render(simulator, Label{}, 4, draw).image, render(simulator, kAttributeEdit, 4, draw).image,
                          everywhere) > 2);

  // A narrower jaw moves its sides inwards, larger eyes move their lids apart: a bar and a dot, seen before and after.
  images::View view;
  view.size = 100, view.face = {0, 0, 100, 100};
  const auto edit = [&](images::Scene scene, float O::*chance) {
    O options;
    for (const Edit& e : edits) options.*e.chance = 0;
    options.*chance = 1;
    Random random(1, "shape");
    images::attribute_edit(scene, view, options, random);
    return scene;
  };
  images::Scene bar(100), dot(100);
  for (int y = 0; y < 100; ++y)
    for (int x = 0; x < 100; ++x) {
      const auto i = std::size_t(y * 100 + x);
      bar.light[1][i] = x < 30 ? 0.0f : 1.0f;
      dot.light[1][i] = std::hypot(float(x) + 0.5f - 29, float(y) + 0.5f - 36) < 5 ? 1.0f : 0.0f;
    }
  const auto sum = [](const images::Scene& s, int first_row, int last_row) {
    double total = 0;
    for (int i = 100 * first_row; i < 100 * last_row; ++i) total += double(s.light[1][std::size_t(i)]);
    return total;
  };
  const images::Scene jaw = edit(bar, &O::narrow_jaw_chance), eyes = edit(dot, &O::large_eyes_chance);
  CHECK(sum(jaw, 70, 80) < sum(bar, 70, 80) - 5);
  CHECK(sum(jaw, 0, 40) == sum(bar, 0, 40));
  CHECK(sum(eyes, 0, 100) > 1.15 * sum(dot, 0, 100));
}

TEST_CASE("simulate: a face swap by landmarks lays a turned, larger face where it belongs") {
  SimulatorOptions o = plain_camera();
  o.face_swap.detail_loss = {0, 0}, o.face_swap.colour = {1, 1};
  const PhotoSimulator simulator(o);
  for (const int size : {150, 400}) {  // as it is, and reduced first
    CAPTURE(size);
    const Image photo = portrait(4, size);
    const Box box = portrait_box(size);
    const float s = float(size);
    const std::vector<Point> points{{0.35f * s, 0.37f * s}, {0.65f * s, 0.37f * s}, {0.5f * s, 0.58f * s},
                                    {0.38f * s, 0.75f * s}, {0.62f * s, 0.75f * s}};
    Similarity turn;  // the same face: swapped in rightly, it changes next to nothing
    turn.a = 1.15 * std::cos(0.2), turn.b = 1.15 * std::sin(0.2), turn.tx = 0.12 * size, turn.ty = -0.14 * size;
    const Image donor = warp(photo, turn, size * 5 / 4, size * 5 / 4);
    std::vector<Point> moved;
    for (const Point& p : points) {
      const auto [x, y] = turn.apply(double(p.x), double(p.y));
      moved.push_back({float(x), float(y)});
    }
    const auto [cx, cy] = turn.apply(0.5 * size, 0.52 * size);
    const Box donor_box{float(cx) - 0.35f * s, float(cy) - 0.4f * s, float(cx) + 0.35f * s, float(cy) + 0.4f * s};
    const auto random = [] { return Random(5, "swap"); };
    Random a = random(), b = random(), c = random(), d = random();
    const auto plain = simulator.render(photo, box, nullptr, {}, Label{}, a);
    const Image by_points = simulator.swap(photo, box, points, donor, donor_box, moved, b).image,
                by_boxes = simulator.render(photo, box, &donor, donor_box, kFaceSwap, c).image;
    const auto middle = [&](int y, int x) { return std::hypot(x - 56, y - 58) < 28; };
    const double right = mean_difference(plain.image, by_points, middle),
                 wrong = mean_difference(plain.image, by_boxes, middle);
    INFO("mean difference by landmarks ", right, ", by boxes ", wrong);
    CHECK(right < 0.4 * wrong);
    CHECK(right < 6);
    // Without both faces' points: exactly as before.
    CHECK(simulator.swap(photo, box, points, donor, donor_box, {}, d).image.pixels == by_boxes.pixels);
  }
  const std::vector<Point> one_place(5, Point{3, 3}), five{{0, 0}, {9, 0}, {5, 5}, {1, 9}, {8, 9}};
  Random r(1, "none");
  expect_throw("all in one place",
               [&] { simulator.swap(portrait(1), {}, one_place, portrait(2), {}, five, r); });
}

TEST_CASE("simulate: seamless cloning agrees with OpenCV's") {
  constexpr int kSize = 112;
  Image target = portrait(5, kSize), donor = portrait(6, kSize);
  for (Image* p : {&target, &donor}) {  // soft, because OpenCV places the patch half a pixel elsewhere
    cv::Mat m(kSize, kSize, CV_8UC3, p->pixels.data());
    cv::GaussianBlur(m, m, {}, 3);
  }
  images::Scene scene(kSize), patch(kSize);
  images::Plane mask(std::size_t(kSize) * kSize);
  cv::Mat cv_mask(kSize, kSize, CV_8U, cv::Scalar(0));
  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x) {
      const std::size_t i = std::size_t(y * kSize + x);
      for (int c = 0; c < 3; ++c) {
        scene.light[std::size_t(c)][i] = float(target.at(y, x)[c]) / 255;
        patch.light[std::size_t(c)][i] = float(donor.at(y, x)[c]) / 255;
      }
      const bool in = std::hypot((float(x) - 55.5f) / 30, (float(y) - 57.5f) / 34) < 1;
      mask[i] = in ? 1.0f : 0.0f;
      cv_mask.data[i] = in ? 255 : 0;
    }
  const images::Scene before = scene;
  images::seamless_clone(scene, patch, mask);
  const cv::Mat a(kSize, kSize, CV_8UC3, const_cast<std::uint8_t*>(target.pixels.data())),
      b(kSize, kSize, CV_8UC3, const_cast<std::uint8_t*>(donor.pixels.data()));
  cv::Mat expected;
  const cv::Rect box = cv::boundingRect(cv_mask);
  cv::seamlessClone(b, a, cv_mask, {box.x + box.width / 2, box.y + box.height / 2}, expected, cv::NORMAL_CLONE);
  double ours = 0, naive = 0, n = 0;
  for (int y = 0; y < kSize; ++y)
    for (int x = 0; x < kSize; ++x)
      for (int c = 0; c < 3; ++c) {
        const std::size_t i = std::size_t(y * kSize + x);
        const double got = std::clamp(double(scene.light[std::size_t(c)][i]), 0.0, 1.0) * 255,
                     want = expected.at<cv::Vec3b>(y, x)[c];
        if (mask[i] == 0) {
          CHECK(scene.light[std::size_t(c)][i] == before.light[std::size_t(c)][i]);
        } else {
          ours += std::abs(got - want), naive += std::abs(double(donor.at(y, x)[c]) - want), ++n;
        }
      }
  INFO("mean difference from cv::seamlessClone ", ours / n, " levels (pasted without blending: ", naive / n, ")");
  CHECK(ours / n < 6);
  CHECK(ours < 0.3 * naive);
}
