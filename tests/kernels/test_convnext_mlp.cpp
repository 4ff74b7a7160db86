// tests/kernels/test_convnext_mlp.cpp — the fused block behind its depthwise convolution against a double reference,
// whose gradients are central differences.
#include <array>
#include <utility>

#include "kernels/convnext_mlp/convnext_mlp.h"
#include "kernels/convnext_mlp/packed.h"
#include "tests/support/arrays.h"
#include "tests/support/backend.h"

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
  std::int64_t first;

  // offset: of u, x, dy, y, du, h and the workspace, in elements.
  Case(ConvNeXtMlpShape shape, bool with_scale, float mean = 0, std::int64_t offset = 0)
      : s(shape), scaled(with_scale), first(offset) {
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
  Buffer<T> y, inference, packed, du;  // packed: on the CPU
  std::vector<Buffer<float>> g;        // in the order of Leaf; u and x unused
};
template <class T>
Run<T> run(const Case<T>& c, GradMode mode = GradMode::write, float start = 0) {
  const auto& s = c.s;
  const auto n = sizes(s);
  const auto own = [&](auto span) { return moved(span, c.first); };
  const Buffer<T> from = moved(c.stored[0], c.first), with = moved(c.stored[1], c.first),
                  dy = moved(c.stored[4], c.first);
  const Buffer<T> nothing = moved(Buffer<T>(n[x]), c.first);
  Buffer<T> y = nothing, inference = nothing, packed = nothing, du = nothing, h(s.rows() * s.hidden() + c.first);
  Run<T> r{Buffer<T>(0), Buffer<T>(0), Buffer<T>(0), Buffer<T>(0), {}};
  for (int i = 0; i < kLeaves; ++i)
    r.g.push_back(mode == GradMode::write ? Buffer<float>(i > x ? n[std::size_t(i)] : 0)
                                          : Buffer<float>(i > x ? n[std::size_t(i)] : 0, start));
  Buffer<float> mean(s.rows()), rstd(s.rows()), G(s.N * s.hidden());
  const Span<const float> scale = c.scaled ? c.vectors[6].cspan() : Span<const float>();
  kernels::ConvNeXtMlpFwd<T> f{
      .shape = s, .u = own(from.cspan()), .x = own(with.cspan()), .scale = scale, .p = c.parameters()};
  {
    Buffer<float> work(kernels::convnext_mlp_fwd_workspace<T>(kBackend, s, true) + c.first);
    f.y = own(y.span()), f.h = own(h.span()), f.mean = mean.span(), f.rstd = rstd.span(), f.G = G.span(),
    f.workspace = own(work.span());
    backend::convnext_mlp_fwd(f);
    work.check_guards("workspace");
  }
  {
    Buffer<float> work(kernels::convnext_mlp_fwd_workspace<T>(kBackend, s, false) + c.first);
    f.h = {}, f.mean = f.rstd = f.G = {}, f.y = own(inference.span()), f.workspace = own(work.span());
    backend::convnext_mlp_fwd(f);
    if constexpr (!kCuda) {
      const kernels::ConvNeXtMlpPacked<T> of(c.stored[2].cspan(), c.stored[3].cspan(), s.C);
      f.packed = &of, f.y = own(packed.span());
      backend::convnext_mlp_fwd(f);
    }
    work.check_guards("workspace");
  }
  Buffer<float> work(kernels::convnext_mlp_bwd_workspace<T>(kBackend, s) + c.first);
  backend::convnext_mlp_bwd<T>({.shape = s,
                                .dy = own(dy.cspan()),
                                .u = own(from.cspan()),
                                .h = own(h.cspan()),
                                .scale = scale,
                                .mean = mean.cspan(),
                                .rstd = rstd.cspan(),
                                .G = G.cspan(),
                                .p = c.parameters(),
                                .du = own(du.span()),
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
                                .workspace = own(work.span())});
  work.check_guards("workspace"), h.check_guards("h"), G.check_guards("G");
  mean.check_guards("mean"), rstd.check_guards("rstd");
  r.y = moved_back(y, c.first), r.inference = moved_back(inference, c.first), r.packed = moved_back(packed, c.first);
  r.du = moved_back(du, c.first);
  return r;
}

std::string str_of(const ConvNeXtMlpShape& s) { return str("N=", s.N, " HW=", s.HW, " C=", s.C, " "); }

template <class T>
void compare(const ConvNeXtMlpShape& s, bool scaled, float mean, double tolerance, std::int64_t offset = 0) {
  const Case<T> c(s, scaled, mean, offset);
  const auto y = c.y(), du = c.gradient(u);
  // On CUDA the branch is rounded before x is added: where the two cancel, what is off is a share of x.
  double least = 1e-15;
  if (kCuda && sizeof(T) == 2)
    for (const double v : c.in[x]) least = std::hypot(least, v);
  std::vector<std::vector<double>> gradients;
  for (int leaf = norm_gamma; leaf < kLeaves; ++leaf) gradients.push_back(c.gradient(Leaf(leaf)));
  const std::string at = str_of(s);
  for_each_variant([&] {
    const Run<T> r = run(c);
    for (const Buffer<T>* got : {&r.y, &r.inference, &r.packed}) {
      if (kCuda && got == &r.packed) continue;
      got->check_guards("y");
      const double d = distance(*got, y, least);
      CHECK_MESSAGE(d < tolerance, at, "y is off by ", d);
    }
    r.du.check_guards("du");
    const double d = distance(std::as_const(r.du), du, 0.1);  // of one channel alone it is 0
    CHECK_MESSAGE(d < 4 * tolerance, at, "du is off by ", d);
    for (int leaf = norm_gamma; leaf < kLeaves; ++leaf) {
      const auto& got = r.g[std::size_t(leaf)];
      got.check_guards(kNames[leaf]);
      const double off = distance(std::as_const(got), gradients[std::size_t(leaf - norm_gamma)]);
      CHECK_MESSAGE(off < 4 * tolerance, at, kNames[leaf], " is off by ", off);
    }
  });
}

}  // namespace

TEST_CASE("convnext_mlp: forward and every gradient against a double reference") {
  // One of everything; several samples in a tile, the last tile not full; a sample in several tiles, the last one
  // shorter; channels past a vector; pixels in two pieces, channels in two strips.
  for (const ConvNeXtMlpShape s :
       {ConvNeXtMlpShape{1, 1, 1}, {3, 1, 3}, {5, 4, 4}, {3, 9, 5}, {2, 5, 17}, {5, 100, 3}, {2, 260, 3}, {1, 1, 33}}) {
    if (s.C < 33 && (!kEmulated || s.rows() < 50)) compare<float>(s, false, 0, 1e-5);
    compare<float>(s, true, 0, 1e-5);
    compare<bf16>(s, s.N > 2, 0, 2e-2);
  }
  compare<float>({2, 9, 5}, true, 300, 1e-3);  // u itself has only 24 bits: 300 + 1 loses eight of them
}

TEST_CASE_TEMPLATE("convnext_mlp: arrays that begin anywhere", T, float, bf16) {
  for (const int offset : {0, 1}) compare<T>({3, 5, 8}, true, 0, sizeof(T) == 4 ? 1e-5 : 2e-2, offset);
}

TEST_CASE("convnext_mlp: gradients are added where they are asked to be, and left alone where not") {
  for (const ConvNeXtMlpShape s : {ConvNeXtMlpShape{3, 9, 5}, {2, kEmulated ? 270 : 1600, 8}}) {
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

TEST_CASE("convnext_mlp does not depend on the order of the work; packed and plain nearly agree") {
  const std::vector<ConvNeXtMlpShape> shapes =
      kEmulated ? std::vector<ConvNeXtMlpShape>{{3, 49, 20}, {2, 270, 5}}
                : std::vector<ConvNeXtMlpShape>{{5, 49, 40}, {9, 784, 64}, {2, 3200, 16}, {3, 49, 400}};
  for (const ConvNeXtMlpShape& s : shapes) {
    const Case<float> c(s, true);
    expect_order_free([&] {
      const Run<float> r = run(c);
      return std::tuple{r.y,     r.inference, r.packed,       r.du,          r.g[norm_gamma], r.g[norm_beta],
                        r.g[w1], r.g[b1],     r.g[grn_gamma], r.g[grn_beta], r.g[w2],         r.g[b2]};
    });
    const Run<float> r = run(c);
    std::vector<double> y;
    for (std::int64_t i = 0; i < r.y.size(); ++i) y.push_back(std::as_const(r.y)[i]);
    CHECK(distance(std::as_const(r.inference), y) < 1e-6);
    if (!kCuda) CHECK(distance(std::as_const(r.packed), y) < 1e-6);
  }
}

TEST_CASE("convnext_mlp: wrong arguments are explained") {
  using Fwd = kernels::ConvNeXtMlpFwd<float>;
  using Bwd = kernels::ConvNeXtMlpBwd<float>;
  using Parameters = kernels::ConvNeXtMlpParameters<float>;
  const ConvNeXtMlpShape s{2, 4, 3};
  const Case<float> c(s, true);
  Buffer<float> y(24), h(96), mean(8), rstd(8), G(24), work(kernels::convnext_mlp_fwd_workspace<float>(kBackend, s, true));
  Fwd f{.shape = s,
        .u = c.stored[0].cspan(),
        .x = c.stored[1].cspan(),
        .scale = c.vectors[6].cspan(),
        .p = c.parameters(),
        .y = y.span(),
        .h = h.span(),
        .mean = mean.span(),
        .rstd = rstd.span(),
        .G = G.span(),
        .workspace = work.span()};
  backend::convnext_mlp_fwd(f);
  Buffer<float> du(24), dnorm_gamma(3), dnorm_beta(3), dw1(36), db1(12), dgrn_gamma(12), dgrn_beta(12), dw2(36), db2(3);
  Buffer<float> bwd_work(kernels::convnext_mlp_bwd_workspace<float>(kBackend, s));
  Bwd b{.shape = s,
        .dy = c.stored[4].cspan(),
        .u = f.u,
        .h = h.cspan(),
        .scale = f.scale,
        .mean = mean.cspan(),
        .rstd = rstd.cspan(),
        .G = G.cspan(),
        .p = f.p,
        .du = du.span(),
        .dnorm_gamma = dnorm_gamma.span(),
        .dnorm_beta = dnorm_beta.span(),
        .dw1 = dw1.span(),
        .db1 = db1.span(),
        .dgrn_gamma = dgrn_gamma.span(),
        .dgrn_beta = dgrn_beta.span(),
        .dw2 = dw2.span(),
        .db2 = db2.span(),
        .workspace = bwd_work.span()};
  backend::convnext_mlp_bwd(b);

  const auto fwd = [&] { backend::convnext_mlp_fwd(f); };
  const auto bwd = [&] { backend::convnext_mlp_bwd(b); };
  // One value too few or too many, whatever is read or written.
  const auto wrong_length = [](const char* name, auto& span, const auto& call) {
    CAPTURE(name);
    const auto sound = span;
    for (std::int64_t len : {sound.len - 1, sound.len + 1}) {
      span.len = len;
      expect_throw(str("convnext_mlp: ", name, " has ", len, " elements, expected ", sound.len), call);
    }
    span = sound;
  };
  const auto both = [&](const char* name, auto in_fwd, auto in_bwd) {
    wrong_length(name, f.*in_fwd, fwd), wrong_length(name, b.*in_bwd, bwd);
  };
  const auto parameter = [&](const char* name, auto member) {
    wrong_length(name, f.p.*member, fwd), wrong_length(name, b.p.*member, bwd);
  };
  parameter("norm_gamma", &Parameters::norm_gamma), parameter("norm_beta", &Parameters::norm_beta);
  parameter("w1", &Parameters::w1), parameter("b1", &Parameters::b1);
  parameter("grn_gamma", &Parameters::grn_gamma), parameter("grn_beta", &Parameters::grn_beta);
  parameter("w2", &Parameters::w2), parameter("b2", &Parameters::b2);
  both("u", &Fwd::u, &Bwd::u), both("scale", &Fwd::scale, &Bwd::scale), both("h", &Fwd::h, &Bwd::h);
  both("mean", &Fwd::mean, &Bwd::mean), both("rstd", &Fwd::rstd, &Bwd::rstd), both("G", &Fwd::G, &Bwd::G);
  wrong_length("x", f.x, fwd), wrong_length("y", f.y, fwd), wrong_length("dy", b.dy, bwd),
      wrong_length("du", b.du, bwd);
  wrong_length("dnorm_gamma", b.dnorm_gamma, bwd), wrong_length("dnorm_beta", b.dnorm_beta, bwd);
  wrong_length("dw1", b.dw1, bwd), wrong_length("db1", b.db1, bwd);
  wrong_length("dgrn_gamma", b.dgrn_gamma, bwd), wrong_length("dgrn_beta", b.dgrn_beta, bwd);
  wrong_length("dw2", b.dw2, bwd), wrong_length("db2", b.db2, bwd);

  f.workspace.len -= 1, b.workspace.len -= 1;
  expect_throw(str("workspace has ", f.workspace.len, " floats, expected ", f.workspace.len + 1), fwd);
  expect_throw(str("workspace has ", b.workspace.len, " floats, expected ", b.workspace.len + 1), bwd);
  f.workspace.len += 1, b.workspace.len += 1;
  for (const ConvNeXtMlpShape bad : {ConvNeXtMlpShape{-1, 4, 3}, {2, 0, 3}, {2, 4, 0}}) {
    f.shape = b.shape = bad;
    const std::string what = str("N ", bad.N, ", HW ", bad.HW, ", C ", bad.C);
    expect_throw(what, fwd), expect_throw(what, bwd);
  }
  using Packed = kernels::ConvNeXtMlpPacked<float>;
  expect_throw("w1 and w2 have 36 and 35 elements, expected 36", [&] { Packed(f.p.w1, {f.p.w2.ptr, 35}, 3); });
  expect_throw("w1 and w2 have 35 and 36 elements, expected 36", [&] { Packed({f.p.w1.ptr, 35}, f.p.w2, 3); });
}
