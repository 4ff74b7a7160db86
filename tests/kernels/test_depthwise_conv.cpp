// tests/kernels/test_depthwise_conv.cpp — the three passes of the depthwise 7x7 against seven nested loops in double.
#include <array>

#include "engine/autograd.h"
#include "kernels/depthwise_conv/depthwise_conv.h"
#include "layers/functional/depthwise_conv.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Dims {
  std::int64_t N;
  int H, W, C;
  std::int64_t numel() const { return N * H * W * C; }
};
// No image, one pixel, maps smaller than the filter, every way to cut a row into tiles, channel counts around the
// vector lengths, images that are cut into strips and panels; for the emulator the smallest that have all of that.
const std::vector<Dims> kDims =
    kEmulated ? std::vector<Dims>{{0, 4, 4, 8}, {1, 1, 1, 1}, {9, 2, 2, 5}, {3, 3, 3, 33}, {1, 5, 6, 40}, {2, 1, 9, 7},
                                  {1, 9, 1, 20}, {1, 8, 15, 8}, {1, 2, 59, 3}}
              : std::vector<Dims>{{0, 4, 4, 8},   {1, 1, 1, 1},   {2, 2, 2, 17},  {67, 2, 2, 5}, {5, 3, 3, 33},
                                  {3, 4, 5, 24},  {2, 5, 6, 40},  {1, 7, 7, 16},  {2, 8, 8, 3},  {2, 1, 9, 7},
                                  {1, 9, 1, 20},  {1, 3, 10, 31}, {1, 4, 13, 9},  {2, 14, 14, 8}, {1, 6, 17, 15},
                                  {1, 5, 25, 4},  {1, 28, 28, 2}, {1, 2, 71, 3},  {1, 50, 70, 1}, {1, 3, 140, 2},
                                  {1, 230, 2, 1}};

struct Ref {
  std::vector<double> y, dx, df, db;
};
template <class T>
Ref reference(const Buffer<T>& x, const Buffer<float>& f, const Buffer<float>& b, const Buffer<T>& dy, Dims s) {
  const auto n = std::size_t(s.numel()), C = std::size_t(s.C);
  Ref r{std::vector<double>(n), std::vector<double>(n), std::vector<double>(C * 49), std::vector<double>(C)};
  const auto at = [&](std::int64_t i, int h, int w, int c) { return ((i * s.H + h) * s.W + w) * s.C + c; };
  for (std::int64_t i = 0; i < s.N; ++i)
    for (int h = 0; h < s.H; ++h)
      for (int w = 0; w < s.W; ++w)
        for (int c = 0; c < s.C; ++c) {
          const std::int64_t o = at(i, h, w, c);
          r.y[std::size_t(o)] += b[c], r.db[std::size_t(c)] += dy[o];
          for (int k = 0; k < 7; ++k)
            for (int l = 0; l < 7; ++l) {
              const int u = h + k - 3, v = w + l - 3;
              if (u < 0 || u >= s.H || v < 0 || v >= s.W) continue;
              const std::int64_t p = at(i, u, v, c), q = (c * 7 + k) * 7 + l;
              r.y[std::size_t(o)] += x[p] * f[q];
              r.dx[std::size_t(p)] += dy[o] * f[q];
              r.df[std::size_t(q)] += dy[o] * x[p];
            }
        }
  return r;
}

template <class T>
struct Grads {
  Buffer<T> y, dx;
  Buffer<float> df, db;
};
template <class T>
Grads<T> run(const Buffer<T>& x, const Buffer<float>& f, const Buffer<float>& b, const Buffer<T>& dy, Dims s,
             GradMode mode = GradMode::write, float start = 0) {
  Grads<T> g{Buffer<T>(s.numel()), Buffer<T>(s.numel()), Buffer<float>(49 * s.C), Buffer<float>(s.C)};
  if (mode != GradMode::write)
    g.dx = Buffer<T>(s.numel(), start), g.df = Buffer<float>(49 * s.C, start), g.db = Buffer<float>(s.C, start);
  Buffer<float> filter(kernels::depthwise_conv_filter_workspace(s.C));
  Buffer<float> sums(kernels::depthwise_conv_weight_workspace(s.N, s.H, s.W, s.C));
  backend::depthwise_conv_fwd<T>({.x = x.cspan(),
                                       .f = f.cspan(),
                                       .b = b.cspan(),
                                       .y = g.y.span(),
                                       .workspace = filter.span(),
                                       .N = s.N,
                                       .H = s.H,
                                       .W = s.W,
                                       .C = s.C});
  backend::depthwise_conv_bwd_data<T>({.dy = dy.cspan(),
                                            .f = f.cspan(),
                                            .dx = g.dx.span(),
                                            .dx_mode = mode,
                                            .workspace = filter.span(),
                                            .N = s.N,
                                            .H = s.H,
                                            .W = s.W,
                                            .C = s.C});
  backend::depthwise_conv_bwd_weight<T>({.dy = dy.cspan(),
                                              .x = x.cspan(),
                                              .df = g.df.span(),
                                              .db = g.db.span(),
                                              .df_mode = mode,
                                              .db_mode = mode,
                                              .workspace = sums.span(),
                                              .N = s.N,
                                              .H = s.H,
                                              .W = s.W,
                                              .C = s.C});
  filter.check_guards("filter workspace"), sums.check_guards("weight workspace");
  return g;
}

std::string str_of(Dims s) { return str("N=", s.N, " H=", s.H, " W=", s.W, " C=", s.C, " "); }

template <class T>
void compare(const Grads<T>& got, const Ref& want, Dims s, double rtol, double atol) {
  expect_close(str_of(s) + "y", got.y, want.y, rtol + storage_rtol<T>(), atol / 5);
  expect_close(str_of(s) + "dx", got.dx, want.dx, rtol + storage_rtol<T>(), atol / 5);
  expect_close(str_of(s) + "df", got.df, want.df, rtol, atol);
  expect_close(str_of(s) + "db", got.db, want.db, rtol, atol);
}

}  // namespace

TEST_CASE_TEMPLATE("depthwise_conv matches the double reference", T, float, bf16) {
  for (const Dims s : kDims) {
    const auto x = Buffer<T>::random(s.numel(), 1), dy = Buffer<T>::random(s.numel(), 2);
    const auto f = Buffer<float>::random(49 * s.C, 3), b = Buffer<float>::random(s.C, 4);
    const Ref want = reference(x, f, b, dy, s);
    for_each_variant([&] { compare(run(x, f, b, dy, s), want, s, 1e-5, 1e-4); });
  }
}

// Integers make every sum exact: no tolerance hides a tap that is off by one. Every width of a tile, every channel
// tail.
TEST_CASE("depthwise_conv is exact on integers") {
  for (int W = 1; W <= 27; W += kEmulated ? 7 : 1) {
    const Dims s{kEmulated ? 1 : 2, 1 + W % 9, W, 1 + (W * 5) % 37};
    const auto x = Buffer<float>::integers(s.numel(), 1), dy = Buffer<float>::integers(s.numel(), 2);
    const auto f = Buffer<float>::integers(49 * s.C, 3), b = Buffer<float>::integers(s.C, 4);
    const Ref want = reference(x, f, b, dy, s);
    const auto exact = [&] { compare(run(x, f, b, dy, s), want, s, 0, 1e-30); };
    kEmulated ? exact() : for_each_variant(exact);
  }
}

TEST_CASE_TEMPLATE("depthwise_conv adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  const Dims s{3, 5, 11, 21};
  const auto x = Buffer<T>::random(s.numel(), 1), dy = Buffer<T>::random(s.numel(), 2);
  const auto f = Buffer<float>::random(49 * s.C, 3), b = Buffer<float>::random(s.C, 4);
  Ref want = reference(x, f, b, dy, s);
  for (auto* v : {&want.dx, &want.df, &want.db})
    for (double& e : *v) e += 10;
  const auto added = run(x, f, b, dy, s, GradMode::add, 10);
  expect_close("dx", added.dx, want.dx, 1e-5 + storage_rtol<T>(), 1e-4);
  expect_close("df", added.df, want.df, 1e-5, 1e-4);
  expect_close("db", added.db, want.db, 1e-5, 1e-4);
  const auto skipped = run(x, f, b, dy, s, GradMode::skip, 10);
  expect_bitwise("dx", skipped.dx, Buffer<T>(s.numel(), 10));
  expect_bitwise("df", skipped.df, Buffer<float>(49 * s.C, 10));
  expect_bitwise("db", skipped.db, Buffer<float>(s.C, 10));
}

TEST_CASE_TEMPLATE("depthwise_conv does not depend on the order of the work", T, float, bf16) {
  const std::vector<Dims> dims = kEmulated ? std::vector<Dims>{{3, 9, 10, 40}} : std::vector<Dims>{{33, 9, 10, 24}, {2, 40, 75, 20}};
  for (const Dims s : dims) {
    const auto x = Buffer<T>::random(s.numel(), 1), dy = Buffer<T>::random(s.numel(), 2);
    const auto f = Buffer<float>::random(49 * s.C, 3), b = Buffer<float>::random(s.C, 4);
    expect_order_free([&] {
      const auto g = run(x, f, b, dy, s);
      return std::tuple{g.y, g.dx, g.df, g.db};
    });
  }
}

// Arrays that do not begin where a vector may: the same bits, and nothing written before them.
TEST_CASE_TEMPLATE("depthwise_conv does not depend on where its arrays begin", T, float, bf16) {
  const Dims s{2, 4, 9, 16};
  const auto x = Buffer<T>::random(s.numel() + 1, 1), dy = Buffer<T>::random(s.numel() + 1, 2);
  const auto f = Buffer<float>::random(49 * s.C, 3), b = Buffer<float>::random(s.C, 4);
  Buffer<T> x0(s.numel()), dy0(s.numel()), y(s.numel() + 1), dx(s.numel() + 1);
  for (std::int64_t i = 0; i < s.numel(); ++i) x0[i] = x.cspan()[i + 1], dy0[i] = dy.cspan()[i + 1];
  const auto want = run(x0, f, b, dy0, s);
  Buffer<float> filter(kernels::depthwise_conv_filter_workspace(s.C)), df(49 * s.C), db(s.C);
  Buffer<float> sums(kernels::depthwise_conv_weight_workspace(s.N, s.H, s.W, s.C));
  const auto own = [&](auto span) { return span.slice(1, s.numel()); };
  backend::depthwise_conv_fwd<T>({.x = own(x.cspan()), .f = f.cspan(), .b = b.cspan(), .y = own(y.span()),
                                  .workspace = filter.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C});
  backend::depthwise_conv_bwd_data<T>({.dy = own(dy.cspan()), .f = f.cspan(), .dx = own(dx.span()),
                                       .workspace = filter.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C});
  backend::depthwise_conv_bwd_weight<T>({.dy = own(dy.cspan()), .x = own(x.cspan()), .df = df.span(), .db = db.span(),
                                         .workspace = sums.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C});
  for (auto* got : {&y, &dx}) {
    got->check_guards("result");
    CHECK(std::isnan(static_cast<const Buffer<T>&>(*got)[0]));
    Buffer<T> inside(s.numel());
    for (std::int64_t i = 0; i < s.numel(); ++i) inside[i] = got->cspan()[i + 1];
    expect_bitwise(got == &y ? "y" : "dx", inside, got == &y ? want.y : want.dx);
  }
  expect_bitwise("df", df, want.df), expect_bitwise("db", db, want.db);
  for (const bool aligned_dy : {true, false}) {  // one of the two alone
    backend::depthwise_conv_bwd_weight<T>({.dy = aligned_dy ? dy0.cspan() : own(dy.cspan()),
                                           .x = aligned_dy ? own(x.cspan()) : x0.cspan(), .df = df.span(), .db = db.span(),
                                           .workspace = sums.span(), .N = s.N, .H = s.H, .W = s.W, .C = s.C});
    expect_bitwise("df", df, want.df), expect_bitwise("db", db, want.db);
  }
}

TEST_CASE("depthwise_conv explains wrong arguments") {
  Buffer<float> x(32), y(31), f(98), b(2), work(4000);
  const auto call = [&](Span<float> out, Span<float> filter, Span<float> bias, Span<float> w) {
    backend::depthwise_conv_fwd<float>(
        {.x = x.cspan(), .f = filter, .b = bias, .y = out, .workspace = w, .N = 1, .H = 4, .W = 4, .C = 2});
  };
  expect_throw("y 31 elements, expected 32", [&] { call(y.span(), f.span(), b.span(), work.span()); });
  expect_throw("filter has 97 elements, expected 49 x 2",
               [&] { call(x.span(), f.span().slice(0, 97), b.span(), work.span()); });
  expect_throw("bias of 1 for C=2", [&] { call(x.span(), f.span(), b.span().slice(0, 1), work.span()); });
  expect_throw("workspace of 10 floats, expected 800",
               [&] { call(x.span(), f.span(), b.span(), work.span().slice(0, 10)); });
  Context ctx(device());
  const Tensor image = Tensor::zeros(ctx, {1, 4, 4, 2}), bias = Tensor::zeros(ctx, {2});
  expect_throw("expected [C, 1, 7, 7]", [&] { fn::depthwise_conv(image, Tensor::zeros(ctx, {2, 1, 5, 5}), bias); });
  expect_throw("expected [N, H, W, C]", [&] {
    fn::depthwise_conv(Tensor::zeros(ctx, {4, 2}), Tensor::zeros(ctx, {2, 1, 7, 7}), bias);
  });
}

TEST_CASE("depthwise_conv gradient check") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 5, 9, 6}, 1), w = random_leaf(ctx, {6, 1, 7, 7}, 2, 0, 0.2f),
               b = random_leaf(ctx, {6}, 3);
  check_gradients({x, w, b}, [&] { return fn::depthwise_conv(fn::depthwise_conv(x, w, b), w, b); });
}

TEST_CASE("depthwise_conv trains what is not frozen") {
  Context ctx(device());
  const Shape shape{1, 3, 4, 5};
  const Buffer<float> v = Buffer<float>::random(shape.numel(), 9);
  const std::vector<float> probe(v.span().begin(), v.span().end());
  for (int mask = 1; mask < 8; ++mask) {
    Tensor x = random_leaf(ctx, shape, 1), w = random_leaf(ctx, {5, 1, 7, 7}, 2), b = random_leaf(ctx, {5}, 3);
    std::array<Tensor, 3> all{x, w, b};
    for (int k = 0; k < 3; ++k) all[std::size_t(k)].require_grad(mask >> k & 1);
    weighted_sum(fn::depthwise_conv(x, w, b), probe).backward();
    for (int k = 0; k < 3; ++k) CHECK(bool(all[std::size_t(k)].grad()) == bool(mask >> k & 1));
    if (mask >> 2 & 1) {
      double sum = 0;
      for (std::size_t i = 0; i < probe.size(); i += 5) sum += probe[i];
      CHECK(b.grad().to_host()[0] == doctest::Approx(sum));
    }
  }
}
