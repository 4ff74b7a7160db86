// tests/kernels/test_grn.cpp — Global Response Normalisation against a double reference.
#include <array>

#include "engine/autograd.h"
#include "kernels/grn/grn.h"
#include "layers/functional/grn.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Dims {
  std::int64_t N, HW;
  int C;
  std::int64_t numel() const { return N * HW * C; }
};
// No samples, no pixels, one of each, one past a vector and past a group of vectors, several pieces of pixels.
const Dims kDims[] = {{0, 4, 8},  {2, 0, 5},   {1, 1, 1},    {3, 4, 17},  {2, 9, 33},  {2, 7, 64},
                      {1, 5, 65}, {2, 25, 96}, {1, 3, 132}, {1, 49, 100}, {1, 600, 3}, {2, 257, 31}};
constexpr double kEps = 1e-6;

struct Ref {
  std::vector<double> y, dx, dgamma, dbeta, G;
};
template <class T>
Ref reference(const Buffer<T>& x, const Buffer<float>& gamma, const Buffer<float>& beta, const Buffer<T>& dy, Dims s) {
  const auto n = std::size_t(s.numel()), k = std::size_t(s.C);
  Ref r{std::vector<double>(n), std::vector<double>(n), std::vector<double>(k), std::vector<double>(k),
        std::vector<double>(std::size_t(s.N) * k)};
  for (std::int64_t i = 0; i < s.N; ++i) {
    std::vector<double> G(k), S(k), dG(k);
    double M = kEps, shared = 0;
    for (int c = 0; c < s.C; ++c) {
      const auto u = std::size_t(c);
      for (std::int64_t p = 0; p < s.HW; ++p) {
        const std::int64_t at = (i * s.HW + p) * s.C + c;
        G[u] += x[at] * x[at], S[u] += dy[at] * x[at], r.dbeta[u] += dy[at];
      }
      G[u] = std::sqrt(G[u]), M += G[u] / s.C;
      r.G[std::size_t(i) * k + u] = G[u];
    }
    for (int c = 0; c < s.C; ++c) shared += S[std::size_t(c)] * gamma[c] * G[std::size_t(c)] / s.C;
    for (int c = 0; c < s.C; ++c) {
      const auto u = std::size_t(c);
      const double N = G[u] / M;
      r.dgamma[u] += S[u] * N;
      dG[u] = S[u] * gamma[c] / M - shared / (M * M);
      for (std::int64_t p = 0; p < s.HW; ++p) {
        const std::int64_t at = (i * s.HW + p) * s.C + c;
        r.y[std::size_t(at)] = gamma[c] * x[at] * N + beta[c] + x[at];
        r.dx[std::size_t(at)] = dy[at] * (1 + gamma[c] * N) + (G[u] > 0 ? dG[u] * x[at] / G[u] : 0);
      }
    }
  }
  return r;
}

template <class T>
struct Run {
  Buffer<T> y, dx;
  Buffer<float> dgamma, dbeta, G;
};
template <class T>
Run<T> run(const Buffer<T>& x, const Buffer<float>& gamma, const Buffer<float>& beta, const Buffer<T>& dy, Dims s,
           std::array<GradMode, 3> modes = {GradMode::write, GradMode::write, GradMode::write}, float start = 0) {
  Run<T> r{Buffer<T>(s.numel()), Buffer<T>(s.numel()), Buffer<float>(s.C), Buffer<float>(s.C),
           Buffer<float>(s.N * s.C)};
  if (modes[0] != GradMode::write) r.dx = Buffer<T>(s.numel(), start);
  if (modes[1] != GradMode::write) r.dgamma = Buffer<float>(s.C, start);
  if (modes[2] != GradMode::write) r.dbeta = Buffer<float>(s.C, start);
  Buffer<float> fwd_work(kernels::grn_fwd_workspace(s.N, s.HW, s.C));
  Buffer<float> work(kernels::grn_bwd_workspace(s.N, s.HW, s.C));
  backend::grn_fwd<T>({.x = x.cspan(),
                            .gamma = gamma.cspan(),
                            .beta = beta.cspan(),
                            .y = r.y.span(),
                            .G = r.G.span(),
                            .workspace = fwd_work.span(),
                            .samples = s.N,
                            .HW = s.HW,
                            .C = s.C});
  backend::grn_bwd<T>({.dy = dy.cspan(),
                            .x = x.cspan(),
                            .gamma = gamma.cspan(),
                            .G = r.G.cspan(),
                            .dx = r.dx.span(),
                            .dgamma = r.dgamma.span(),
                            .dbeta = r.dbeta.span(),
                            .dx_mode = modes[0],
                            .dgamma_mode = modes[1],
                            .dbeta_mode = modes[2],
                            .workspace = work.span(),
                            .samples = s.N,
                            .HW = s.HW,
                            .C = s.C});
  work.check_guards("workspace"), fwd_work.check_guards("workspace");
  return r;
}
std::string str_of(Dims s) { return str("N=", s.N, " HW=", s.HW, " C=", s.C, " "); }

template <class T>
void compare(float x_mean, double rtol, double atol) {
  for (const Dims s : kDims) {
    auto x = Buffer<T>::random(s.numel(), 1, x_mean);
    const auto dy = Buffer<T>::random(s.numel(), 2);
    const auto gamma = Buffer<float>::random(s.C, 3), beta = Buffer<float>::random(s.C, 4);
    if (s.C > 2)  // a dead channel: G_c = 0
      for (std::int64_t i = 1; i < s.numel(); i += s.C) x[i] = T(0.0f);
    const Ref want = reference(x, gamma, beta, dy, s);
    const auto got = run(x, gamma, beta, dy, s);
    expect_close(str_of(s) + "G", got.G, want.G, rtol, atol);
    expect_close(str_of(s) + "y", got.y, want.y, rtol + storage_rtol<T>(), atol);
    expect_close(str_of(s) + "dx", got.dx, want.dx, rtol + storage_rtol<T>(), atol);
    expect_close(str_of(s) + "dgamma", got.dgamma, want.dgamma, rtol, atol * (1 + std::abs(x_mean)));
    expect_close(str_of(s) + "dbeta", got.dbeta, want.dbeta, rtol, atol);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("grn matches the double reference", T, float, bf16) {
  for_each_variant([] { compare<T>(0, 2e-5, 2e-5); });
}
TEST_CASE("grn survives a large mean") { compare<float>(300, 2e-5, 2e-4); }

TEST_CASE("grn known answers") {
  const Dims s{2, 6, 5};
  const auto x = Buffer<float>::random(s.numel(), 1), dy = Buffer<float>::random(s.numel(), 2);
  const Buffer<float> zero(s.C, 0), one(s.C, 1);
  expect_bitwise("gamma = beta = 0 is the identity", run(x, zero, zero, dy, s).y, x);
  Buffer<float> same = x;  // every channel with the same values, hence the same norm: y = 2x
  for (std::int64_t i = 0; i < s.numel(); ++i) same[i] = float(x[i / s.C * s.C]);
  std::vector<double> twice;
  for (std::int64_t i = 0; i < s.numel(); ++i) twice.push_back(2 * same.cspan()[i]);
  expect_close("gamma = 1", run(same, one, zero, dy, s).y, twice, 1e-5, 0);
}

TEST_CASE("grn of nothing but zeros") {
  const Dims s{1, 4, 19};
  const Buffer<float> x(s.numel(), 0), dy(s.numel(), 3), gamma(s.C, 2), beta(s.C, 0.5f);
  const auto r = run(x, gamma, beta, dy, s);
  expect_bitwise("y", r.y, Buffer<float>(s.numel(), 0.5f));
  expect_bitwise("dx", r.dx, dy);
  expect_bitwise("dgamma", r.dgamma, Buffer<float>(s.C, 0));
}

TEST_CASE_TEMPLATE("grn adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  using enum GradMode;
  const Dims s{3, 7, 21};
  const auto x = Buffer<T>::random(s.numel(), 1), dy = Buffer<T>::random(s.numel(), 2);
  const auto gamma = Buffer<float>::random(s.C, 3), beta = Buffer<float>::random(s.C, 4);
  const Ref want = reference(x, gamma, beta, dy, s);
  const std::array<std::array<GradMode, 3>, 5> cases{
      {{add, add, add}, {skip, skip, skip}, {write, skip, add}, {add, write, skip}, {skip, add, write}}};
  for (const auto& modes : cases) {
    const auto got = run(x, gamma, beta, dy, s, modes, 10);
    const auto expect = [&](const char* what, const auto& b, std::vector<double> v, GradMode m, double rtol) {
      for (double& e : v) e = m == skip ? 10 : m == add ? e + 10 : e;
      expect_close(what, b, v, 2e-5 + rtol, 2e-5);
    };
    expect("dx", got.dx, want.dx, modes[0], storage_rtol<T>());
    expect("dgamma", got.dgamma, want.dgamma, modes[1], 0);
    expect("dbeta", got.dbeta, want.dbeta, modes[2], 0);
  }
}

TEST_CASE_TEMPLATE("grn does not depend on the order of the work", T, float, bf16) {
  for (const Dims s : {Dims{9, 100, 40}, Dims{2, 300, kEmulated ? 7 : 33}}) {
    const auto x = Buffer<T>::random(s.numel(), 1), dy = Buffer<T>::random(s.numel(), 2);
    const auto gamma = Buffer<float>::random(s.C, 3), beta = Buffer<float>::random(s.C, 4);
    expect_order_free([&] {
      const auto r = run(x, gamma, beta, dy, s);
      return std::tuple{r.y, r.G, r.dx, r.dgamma, r.dbeta};
    });
  }
}

// Shifted arrays cannot be read in vectors where others can: the same bits nevertheless.
TEST_CASE_TEMPLATE("grn does not depend on where its arrays begin", T, float, bf16) {
  const Dims s{2, 5, 36};
  const auto x = Buffer<T>::random(s.numel() + 1, 1), dy = Buffer<T>::random(s.numel() + 1, 2);
  const auto gamma = Buffer<float>::random(s.C, 3), beta = Buffer<float>::random(s.C, 4);
  Buffer<T> x0(s.numel()), dy0(s.numel());
  for (std::int64_t i = 0; i < s.numel(); ++i) x0[i] = x.cspan()[i + 1], dy0[i] = dy.cspan()[i + 1];
  const auto want = run(x0, gamma, beta, dy0, s);
  for (int shifted = 1; shifted < 4; ++shifted) {  // what is read, what is written, both
    const auto in = [&](const Buffer<T>& whole, const Buffer<T>& copy) {
      return shifted & 1 ? whole.cspan().slice(1, s.numel()) : copy.cspan();
    };
    const std::int64_t offset = shifted >> 1;
    Buffer<T> y(s.numel() + offset), dx(s.numel() + offset);
    Buffer<float> G(s.N * s.C), dgamma(s.C), dbeta(s.C);
    Buffer<float> fwd_work(kernels::grn_fwd_workspace(s.N, s.HW, s.C)),
        work(kernels::grn_bwd_workspace(s.N, s.HW, s.C));
    backend::grn_fwd<T>({.x = in(x, x0),
                         .gamma = gamma.cspan(),
                         .beta = beta.cspan(),
                         .y = y.span().slice(offset, s.numel()),
                         .G = G.span(),
                         .workspace = fwd_work.span(),
                         .samples = s.N,
                         .HW = s.HW,
                         .C = s.C});
    backend::grn_bwd<T>({.dy = in(dy, dy0),
                         .x = in(x, x0),
                         .gamma = gamma.cspan(),
                         .G = G.cspan(),
                         .dx = dx.span().slice(offset, s.numel()),
                         .dgamma = dgamma.span(),
                         .dbeta = dbeta.span(),
                         .workspace = work.span(),
                         .samples = s.N,
                         .HW = s.HW,
                         .C = s.C});
    const auto expect = [&](const char* what, const Buffer<T>& got, const Buffer<T>& expected) {
      got.check_guards(what);
      if (offset) CHECK(std::isnan(got[0]));
      Buffer<T> own(s.numel());
      for (std::int64_t i = 0; i < s.numel(); ++i) own[i] = got.cspan()[i + offset];
      expect_bitwise(what, own, expected);
    };
    expect("y", y, want.y), expect("dx", dx, want.dx);
    expect_bitwise("dgamma", dgamma, want.dgamma), expect_bitwise("dbeta", dbeta, want.dbeta);
  }
}

TEST_CASE("grn explains wrong arguments") {
  Context ctx(device());
  const Tensor x = Tensor::zeros(ctx, {2, 3, 3, 7}), eight = Tensor::zeros(ctx, {8}), seven = Tensor::zeros(ctx, {7});
  expect_throw("gamma 8, beta 7, C 7", [&] { fn::grn(x, eight, seven); });
  expect_throw("expected [N, ..., C]", [&] { fn::grn(seven, seven, seven); });
  Buffer<float> b(12), work(10);
  expect_throw("workspace of 10 floats, expected 36", [&] {
    backend::grn_bwd<float>({.dy = b.cspan(),
                                  .x = b.cspan(),
                                  .gamma = b.cspan().slice(0, 3),
                                  .G = b.cspan().slice(0, 6),
                                  .dx = b.span(),
                                  .dgamma = b.span().slice(0, 3),
                                  .dbeta = b.span().slice(0, 3),
                                  .workspace = work.span(),
                                  .samples = 2,
                                  .HW = 2,
                                  .C = 3});
  });
}

TEST_CASE("grn gradient check") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 3, 3, 10}, 1), gamma = random_leaf(ctx, {10}, 2),
               beta = random_leaf(ctx, {10}, 3);
  check_gradients({x, gamma, beta}, [&] { return fn::grn(fn::grn(x, gamma, beta), gamma, beta); });
}
