// tests/host/test_convnext_mlp.cpp — the fused block behind its depthwise convolution: against a double reference,
// whose gradients are central differences; and fused against composed.
#include <omp.h>

#include <array>
#include <utility>

#include "engine/autograd.h"
#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/convnext_mlp/packed.h"
#include "kernels/convnext_mlp/plan.h"
#include "layers/functional/convnext_block.h"
#include "tests/support/gradcheck.h"
#include "tests/support/simd_targets.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::ConvNeXtMlpShape;

namespace {

constexpr double kEps = 1e-6;

// Everything the operation reads, by name; doubles for the reference.
enum Leaf { u, x, norm_gamma, norm_beta, w1, b1, grn_gamma, grn_beta, w2, b2, kLeaves };
const char* const kNames[] = {"du",  "dx",         "dnorm_gamma", "dnorm_beta", "dw1",
                              "db1", "dgrn_gamma", "dgrn_beta",   "dw2",        "db2"};
using Doubles = std::array<std::vector<double>, kLeaves>;

std::array<std::int64_t, kLeaves> sizes(const ConvNeXtMlpShape& s) {
  const std::int64_t rows = s.rows() * s.C, matrix = s.hidden() * s.C;
  return {rows, rows, s.C, s.C, matrix, s.hidden(), s.hidden(), s.hidden(), matrix, s.C};
}

// y of sample n alone.
std::vector<double> reference(const ConvNeXtMlpShape& s, const Doubles& in, double scale, std::int64_t sample) {
  const auto C = std::size_t(s.C), H = 4 * C, HW = std::size_t(s.HW), first = std::size_t(sample) * HW * C;
  std::vector<double> z(HW * H), G(H), y(HW * C);
  for (std::size_t r = 0; r < HW; ++r) {
    const double* ur = &in[u][first + r * C];
    double mean = 0, variance = 0;
    for (std::size_t c = 0; c < C; ++c) mean += ur[c] / double(C);
    for (std::size_t c = 0; c < C; ++c) variance += (ur[c] - mean) * (ur[c] - mean) / double(C);
    for (std::size_t k = 0; k < H; ++k) {
      double h = in[b1][k];
      for (std::size_t c = 0; c < C; ++c)
        h += in[w1][k * C + c] * ((ur[c] - mean) / std::sqrt(variance + kEps) * in[norm_gamma][c] + in[norm_beta][c]);
      z[r * H + k] = h * 0.5 * std::erfc(-h / std::sqrt(2.0));
      G[k] += z[r * H + k] * z[r * H + k];
    }
  }
  double M = kEps;
  for (double& g : G) g = std::sqrt(g), M += g / double(H);
  for (std::size_t r = 0; r < HW; ++r)
    for (std::size_t c = 0; c < C; ++c) {
      double t = in[b2][c];
      for (std::size_t k = 0; k < H; ++k)
        t += in[w2][c * H + k] * (z[r * H + k] * (1 + in[grn_gamma][k] * G[k] / M) + in[grn_beta][k]);
      y[r * C + c] = in[x][first + r * C + c] + scale * t;
    }
  return y;
}

template <class T>
struct Case {
  ConvNeXtMlpShape s;
  std::vector<Buffer<T>> stored;       // u, x, w1, w2, dy
  std::vector<Buffer<float>> vectors;  // the rest, and the scale
  Doubles in;
  std::vector<double> dy;
  bool scaled;

  Case(ConvNeXtMlpShape shape, bool with_scale, float mean = 0) : s(shape), scaled(with_scale) {
    const auto n = sizes(s);
    const float spread = 1 / std::sqrt(float(s.C));
    stored = {Buffer<T>::random(n[u], 1, mean), Buffer<T>::random(n[x], 2), Buffer<T>::random(n[w1], 3, 0, spread),
              Buffer<T>::random(n[w2], 4, 0, spread / 2), Buffer<T>::random(n[x], 5)};
    vectors = {Buffer<float>::random(s.C, 6, 1, 0.2f),
               Buffer<float>::random(s.C, 7, 0, 0.3f),
               Buffer<float>::random(s.hidden(), 8, 0, 0.3f),
               Buffer<float>::random(s.hidden(), 9, 0.2f, 0.5f),
               Buffer<float>::random(s.hidden(), 10),
               Buffer<float>::random(s.C, 11),
               Buffer<float>(s.N, 1.0f)};
    for (std::int64_t i = 0; i < s.N; ++i) vectors[6][i] = i % 3 == 1 ? 0.0f : 1.25f;
    const auto copy = [](const auto& b) {
      std::vector<double> v;
      for (std::int64_t i = 0; i < b.size(); ++i) v.push_back(b[i]);
      return v;
    };
    in = {copy(std::as_const(stored[0])),  copy(std::as_const(stored[1])),  copy(std::as_const(vectors[0])),
          copy(std::as_const(vectors[1])), copy(std::as_const(stored[2])),  copy(std::as_const(vectors[2])),
          copy(std::as_const(vectors[3])), copy(std::as_const(vectors[4])), copy(std::as_const(stored[3])),
          copy(std::as_const(vectors[5]))};
    dy = copy(std::as_const(stored[4]));
  }
  double scale(std::int64_t sample) const { return scaled ? std::as_const(vectors[6])[sample] : 1; }
  kernels::ConvNeXtMlpParameters<T> parameters() const {
    return {vectors[0].cspan(), vectors[1].cspan(), stored[2].cspan(), vectors[2].cspan(),
            vectors[3].cspan(), vectors[4].cspan(), stored[3].cspan(), vectors[5].cspan()};
  }

  std::vector<double> y() const {
    std::vector<double> all;
    for (std::int64_t i = 0; i < s.N; ++i) {
      const auto one = reference(s, in, scale(i), i);
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  // d sum(dy y) / d leaf, element by element.
  std::vector<double> gradient(Leaf leaf) const {
    Doubles moved = in;
    std::vector<double> g(in[leaf].size());
    const std::size_t one = std::size_t(s.HW * s.C);
    for (std::size_t i = 0; i < g.size(); ++i) {
      constexpr double kStep = 1e-5;
      const bool local = leaf == u;  // touches its own sample only
      for (std::int64_t n = local ? std::int64_t(i / one) : 0; n < (local ? std::int64_t(i / one) + 1 : s.N); ++n) {
        moved[leaf][i] = in[leaf][i] + kStep;
        const auto up = reference(s, moved, scale(n), n);
        moved[leaf][i] = in[leaf][i] - kStep;
        const auto down = reference(s, moved, scale(n), n);
        for (std::size_t j = 0; j < one; ++j) g[i] += dy[std::size_t(n) * one + j] * (up[j] - down[j]) / (2 * kStep);
      }
      moved[leaf][i] = in[leaf][i];
    }
    return g;
  }
};

template <class T>
struct Run {
  Buffer<T> y, inference, packed, du;
  std::vector<Buffer<float>> g;  // in the order of Leaf; u and x unused
};
template <class T>
Run<T> run(const Case<T>& c, GradMode mode = GradMode::write, float start = 0) {
  const auto& s = c.s;
  const auto n = sizes(s);
  Run<T> r{Buffer<T>(n[x]), Buffer<T>(n[x]), Buffer<T>(n[x]), Buffer<T>(n[u]), {}};
  for (int i = 0; i < kLeaves; ++i)
    r.g.push_back(mode == GradMode::write ? Buffer<float>(i > x ? n[std::size_t(i)] : 0)
                                          : Buffer<float>(i > x ? n[std::size_t(i)] : 0, start));
  Buffer<T> h(s.rows() * s.hidden());
  Buffer<float> mean(s.rows()), rstd(s.rows()), G(s.N * s.hidden());
  const Span<const float> scale = c.scaled ? c.vectors[6].cspan() : Span<const float>();
  kernels::ConvNeXtMlpFwd<T> f{
      .shape = s, .u = c.stored[0].cspan(), .x = c.stored[1].cspan(), .scale = scale, .p = c.parameters()};
  {
    Buffer<float> work(kernels::convnext_mlp_fwd_workspace<T>(s, true));
    f.y = r.y.span(), f.h = h.span(), f.mean = mean.span(), f.rstd = rstd.span(), f.G = G.span(),
    f.workspace = work.span();
    kernels::cpu::convnext_mlp_fwd(f);
    work.check_guards("workspace");
  }
  {
    Buffer<float> work(kernels::convnext_mlp_fwd_workspace<T>(s, false));
    f.h = {}, f.mean = f.rstd = f.G = {}, f.y = r.inference.span(), f.workspace = work.span();
    kernels::cpu::convnext_mlp_fwd(f);
    const kernels::ConvNeXtMlpPacked<T> packed(c.stored[2].cspan(), c.stored[3].cspan(), s.C);
    f.packed = &packed, f.y = r.packed.span();
    kernels::cpu::convnext_mlp_fwd(f);
    work.check_guards("workspace");
  }
  Buffer<float> work(kernels::convnext_mlp_bwd_workspace<T>(s));
  kernels::cpu::convnext_mlp_bwd<T>({.shape = s,
                                     .dy = c.stored[4].cspan(),
                                     .u = c.stored[0].cspan(),
                                     .h = h.cspan(),
                                     .scale = scale,
                                     .mean = mean.cspan(),
                                     .rstd = rstd.cspan(),
                                     .G = G.cspan(),
                                     .p = c.parameters(),
                                     .du = r.du.span(),
                                     .dnorm_gamma = r.g[norm_gamma].span(),
                                     .dnorm_beta = r.g[norm_beta].span(),
                                     .dw1 = r.g[w1].span(),
                                     .db1 = r.g[b1].span(),
                                     .dgrn_gamma = r.g[grn_gamma].span(),
                                     .dgrn_beta = r.g[grn_beta].span(),
                                     .dw2 = r.g[w2].span(),
                                     .db2 = r.g[b2].span(),
                                     .dnorm_gamma_mode = mode,
                                     .dnorm_beta_mode = mode,
                                     .dw1_mode = mode,
                                     .db1_mode = mode,
                                     .dgrn_gamma_mode = mode,
                                     .dgrn_beta_mode = mode,
                                     .dw2_mode = mode,
                                     .db2_mode = mode,
                                     .workspace = work.span()});
  work.check_guards("workspace"), h.check_guards("h"), G.check_guards("G");
  mean.check_guards("mean"), rstd.check_guards("rstd");
  return r;
}

std::string str_of(const ConvNeXtMlpShape& s) { return str("N=", s.N, " HW=", s.HW, " C=", s.C, " "); }

// |got - want| as a share of the whole want, or of `least` where that is more.
template <class Got>
double distance(const Got& got, const std::vector<double>& want, double least = 1e-15) {
  double d = 0, n = least * least;
  BF_CHECK(std::int64_t(got.size()) == std::int64_t(want.size()), got.size(), " and ", want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double e = double(got[std::int64_t(i)]) - want[i];
    d += e * e, n += want[i] * want[i];
  }
  return std::sqrt(d / n);
}

template <class T>
void compare(const ConvNeXtMlpShape& s, bool scaled, float mean, double tolerance) {
  const Case<T> c(s, scaled, mean);
  const Run<T> r = run(c);
  const std::string at = str_of(s);
  const auto y = c.y();
  for (const Buffer<T>* got : {&r.y, &r.inference, &r.packed}) {
    got->check_guards("y");
    CHECK_MESSAGE(distance(*got, y) < tolerance, at, "y");
  }
  r.du.check_guards("du");
  const double du = distance(std::as_const(r.du), c.gradient(u), 0.1);  // of one channel alone it is 0
  CHECK_MESSAGE(du < 4 * tolerance, at, "du is off by ", du);
  for (int leaf = norm_gamma; leaf < kLeaves; ++leaf) {
    const auto& got = r.g[std::size_t(leaf)];
    got.check_guards(kNames[leaf]);
    const double d = distance(std::as_const(got), c.gradient(Leaf(leaf)));
    CHECK_MESSAGE(d < 4 * tolerance, at, kNames[leaf], " is off by ", d);
  }
}

}  // namespace

TEST_CASE("convnext_mlp: forward and every gradient against a double reference") {
  // One of everything; several samples in a tile, the last tile not full; a sample in several tiles, the last one
  // shorter; channels past a vector.
  for (const ConvNeXtMlpShape s :
       {ConvNeXtMlpShape{1, 1, 1}, {3, 1, 3}, {5, 4, 4}, {3, 9, 5}, {2, 5, 17}, {5, 100, 3}, {2, 230, 3}}) {
    compare<float>(s, false, 0, 1e-5);
    compare<float>(s, true, 0, 1e-5);
    compare<bf16>(s, s.N > 2, 0, 2e-2);
  }
  compare<float>({2, 9, 5}, true, 300, 1e-3);  // u itself has only 24 bits: 300 + 1 loses eight of them
}

TEST_CASE("convnext_mlp: every instruction set") {
  for_each_simd_target([] { compare<float>({2, 4, 20}, true, 0, 1e-5); });
}

TEST_CASE("convnext_mlp: gradients are added where they are asked to be, and left alone where not") {
  for (const ConvNeXtMlpShape s : {ConvNeXtMlpShape{3, 9, 5}, {2, 1600, 8}}) {
    const Case<float> c(s, false);
    const auto written = run(c), added = run(c, GradMode::add, 0.5f), skipped = run(c, GradMode::skip, 0.5f);
    for (int leaf = norm_gamma; leaf < kLeaves; ++leaf) {
      std::vector<double> want;
      const auto &w = written.g[std::size_t(leaf)], &k = skipped.g[std::size_t(leaf)];
      for (std::int64_t i = 0; i < w.size(); ++i) {
        want.push_back(w[i] + 0.5);
        CHECK(k[i] == 0.5);
      }
      expect_close(kNames[leaf], added.g[std::size_t(leaf)], want, 1e-5, 1e-5);
    }
    expect_bitwise("du", written.du, added.du), expect_bitwise("du", written.du, skipped.du);
  }
}

TEST_CASE("convnext_mlp: no samples") {
  const Case<float> c({0, 9, 5}, false);
  const auto r = run(c), added = run(c, GradMode::add, 0.5f);
  for (int leaf = norm_gamma; leaf < kLeaves; ++leaf)
    for (std::int64_t i = 0; i < r.g[std::size_t(leaf)].size(); ++i) {
      CHECK(std::as_const(r.g)[std::size_t(leaf)][i] == 0);
      CHECK(std::as_const(added.g)[std::size_t(leaf)][i] == 0.5);
    }
}

TEST_CASE("convnext_mlp: one and two threads agree to the bit, packed and plain nearly") {
  for (const ConvNeXtMlpShape s : {ConvNeXtMlpShape{5, 49, 40}, {9, 784, 64}, {2, 3200, 16}, {3, 49, 400}}) {
    const Case<float> c(s, true);
    const int before = omp_get_max_threads();
    omp_set_num_threads(1);
    const auto one = run(c);
    omp_set_num_threads(2);
    const auto two = run(c);
    omp_set_num_threads(before);
    expect_bitwise("y", one.y, two.y), expect_bitwise("inference", one.inference, two.inference);
    expect_bitwise("packed", one.packed, two.packed), expect_bitwise("du", one.du, two.du);
    for (int leaf = norm_gamma; leaf < kLeaves; ++leaf)
      expect_bitwise(kNames[leaf], one.g[std::size_t(leaf)], two.g[std::size_t(leaf)]);
    std::vector<double> y;
    for (std::int64_t i = 0; i < one.y.size(); ++i) y.push_back(one.y[i]);
    CHECK(distance(std::as_const(one.packed), y) < 1e-6);
    CHECK(distance(std::as_const(one.inference), y) < 1e-6);
  }
}

TEST_CASE("convnext_mlp: tiles and groups cover every row once") {
  using kernels::convnext_mlp_cpu::Plan;
  for (std::int64_t N : {0, 1, 2, 5, 8, 33})
    for (std::int64_t HW : {1, 4, 49, 100, 196, 225, 784})
      for (std::int64_t budget : {1, 3, 10}) {
        const Plan p({N, HW, 4}, 1, budget);
        std::vector<int> seen(std::size_t(N * HW));
        std::int64_t tiles = 0;
        for (std::int64_t g = 0; g < p.groups; ++g) {
          CHECK(p.first_tile(g) == tiles);
          CHECK(p.tiles(g) <= p.tiles_per_group());
          CHECK(p.samples(g) >= 1);
          for (std::int64_t t = 0; t < p.tiles(g); ++t) {
            const auto tile = p.tile(g, t);
            CHECK(tile.rows >= 1);
            CHECK(tile.rows <= kernels::kConvNeXtTileRows);
            std::int64_t rows = 0;
            p.for_samples(tile, [&](std::int64_t sample, std::int64_t row, std::int64_t count) {
              CHECK(row >= sample * HW);
              CHECK(row + count <= (sample + 1) * HW);
              rows += count;
              for (std::int64_t r = row; r < row + count; ++r) ++seen[std::size_t(r)];
            });
            CHECK(rows == tile.rows);
          }
          tiles += p.tiles(g);
        }
        CHECK(tiles == p.all_tiles());
        CHECK(seen == std::vector<int>(seen.size(), 1));
      }
}

TEST_CASE("convnext_mlp: wrong arguments are explained") {
  const Case<float> c({2, 4, 3}, false);
  Buffer<float> y(24), work(kernels::convnext_mlp_fwd_workspace<float>(c.s, false));
  kernels::ConvNeXtMlpFwd<float> f{.shape = c.s,
                                   .u = c.stored[0].cspan(),
                                   .x = c.stored[1].cspan(),
                                   .p = c.parameters(),
                                   .y = y.span(),
                                   .workspace = work.span()};
  kernels::cpu::convnext_mlp_fwd(f);
  auto g = f;
  g.p.b1.len = 5;
  expect_throw("b1 has 5 elements, expected 12", [&] { kernels::cpu::convnext_mlp_fwd(g); });
  g = f, g.workspace.len -= 1;
  expect_throw("workspace has", [&] { kernels::cpu::convnext_mlp_fwd(g); });
  g = f, g.u.len = 12;
  expect_throw("u has 12 elements, expected 24", [&] { kernels::cpu::convnext_mlp_fwd(g); });
  g = f, g.shape.HW = 0;
  expect_throw("HW 0", [&] { kernels::cpu::convnext_mlp_fwd(g); });
}

// ---------------------------------------------------------------- the block

namespace {
struct Block {
  Context ctx;
  Tensor x;
  fn::ConvNeXtBlockParameters p;
  std::vector<Tensor> leaves;
  Block(std::int64_t n, std::int64_t height, std::int64_t width, std::int64_t C, DType t) {
    x = random_leaf(ctx, {n, height, width, C}, 1);
    if (t == DType::bf16) x = Tensor::from_host(ctx, x.shape(), x.to_host(), t).require_grad();
    p = {random_leaf(ctx, {C, 1, 7, 7}, 2, 0, 0.2f), random_leaf(ctx, {C}, 3, 0, 0.1f),
         random_leaf(ctx, {C}, 4, 1, 0.2f),          random_leaf(ctx, {C}, 5, 0, 0.2f),
         random_leaf(ctx, {4 * C, C}, 6, 0, 0.3f),   random_leaf(ctx, {4 * C}, 7, 0, 0.2f),
         random_leaf(ctx, {4 * C}, 8, 0, 0.5f),      random_leaf(ctx, {4 * C}, 9, 0, 0.5f),
         random_leaf(ctx, {C, 4 * C}, 10, 0, 0.2f),  random_leaf(ctx, {C}, 11, 0, 0.2f)};
    leaves = {x,          p.dw_weight,  p.dw_bias,  p.norm_weight, p.norm_bias, p.fc1_weight,
              p.fc1_bias, p.grn_weight, p.grn_bias, p.fc2_weight,  p.fc2_bias};
  }
};
}  // namespace

TEST_CASE("convnext_block: fused and composed agree, forward and every gradient") {
  struct Setting {
    std::int64_t n, height, width, C;
    DType t;
    double tolerance;
  };
  // The second one has two groups of samples forward and three backward.
  for (const Setting& s : {Setting{3, 5, 4, 20, DType::f32, 2e-5},
                           {6, 40, 40, 64, DType::f32, 2e-5},
                           {3, 8, 9, 24, DType::bf16, 2e-2},
                           {2, 18, 25, 40, DType::f32, 2e-5},
                           {2, 9, 12, 80, DType::f32, 2e-5},
                           {2, 4, 6, 160, DType::f32, 2e-5},
                           {2, 2, 3, 320, DType::f32, 2e-5},
                           {4, 18, 25, 40, DType::f32, 2e-5},
                           {4, 9, 12, 80, DType::f32, 2e-5},
                           {4, 4, 6, 160, DType::f32, 2e-5},
                           {4, 2, 3, 320, DType::f32, 2e-5}})
    for (bool drop : {false, true}) {
      Block b(s.n, s.height, s.width, s.C, s.t);
      std::vector<float> scale;
      for (std::int64_t i = 0; i < s.n; ++i) scale.push_back(i % 2 ? 0 : 2.0f);
      const Tensor drop_scale = drop ? Tensor::from_host(b.ctx, {s.n}, scale) : Tensor();
      const auto once = [&](fn::BlockImplementation implementation) {
        for (Tensor& l : b.leaves) l.zero_grad();
        Tensor y = fn::convnext_block(b.x, b.p, drop_scale, implementation);
        const auto seed = Buffer<float>::random(y.numel(), 77);
        y.backward(Tensor::from_host(b.ctx, y.shape(), {seed.span().ptr, std::size_t(seed.size())}, s.t));
        std::vector<std::vector<float>> all{y.to_host()};
        for (const Tensor& l : b.leaves) all.push_back(l.grad().to_host());
        return all;
      };
      const auto composed = once(fn::BlockImplementation::composed), fused = once(fn::BlockImplementation::fused);
      for (std::size_t i = 0; i < composed.size(); ++i) {
        CAPTURE(i);
        CAPTURE(s.n);
        CAPTURE(s.height);
        CAPTURE(s.C);
        CHECK(distance(fused[i], std::vector<double>(composed[i].begin(), composed[i].end())) < s.tolerance);
      }
      const auto packed = fn::pack_block(b.p, s.t);
      const NoGrad off(b.ctx);
      const auto y = fn::convnext_block(b.x, b.p, drop_scale, fn::BlockImplementation::fused, packed.get()).to_host();
      CHECK(distance(y, std::vector<double>(composed[0].begin(), composed[0].end())) < s.tolerance);
    }
}

TEST_CASE("convnext_block: directional derivatives of the fused block") {
  Block b(2, 4, 3, 6, DType::f32);
  check_gradients(
      b.leaves, [&] { return fn::convnext_block(b.x, b.p); }, 5e-3, 5e-3, 2e-3);
  b.p.fc1_weight.require_grad(false);  // a frozen parameter stays without a gradient
  Tensor y = fn::convnext_block(b.x, b.p);
  b.p.fc1_weight.zero_grad();
  y.backward(Tensor::full(b.ctx, y.shape(), 1));
  CHECK(!b.p.fc1_weight.grad_written());
}

TEST_CASE("convnext_block: the fused block keeps little more than a third of what the composed one keeps") {
  const auto kept = [](fn::BlockImplementation implementation) {
    Block b(2, 16, 16, 32, DType::f32);
    const auto live = [&] { return std::int64_t(b.ctx.allocator().stats().live_bytes); };
    const std::int64_t before = live();
    const Tensor y = fn::convnext_block(b.x, b.p, {}, implementation);
    return live() - before;
  };
  CHECK(kept(fn::BlockImplementation::fused) * 5 < kept(fn::BlockImplementation::composed) * 2);
}
