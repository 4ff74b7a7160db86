// tests/kernels/test_conv2d.cpp — the three passes of a general convolution against seven nested loops in double.
#include "kernels/conv2d/conv2d.h"

#include <array>

#include "engine/autograd.h"
#include "kernels/conv2d/conv_piece.h"
#include "layers/functional/conv2d.h"
#include "tests/support/arrays.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::Conv2dShape;
using kernels::Window2d;

namespace {

Conv2dShape shape(std::int64_t N, std::int64_t H, std::int64_t W, std::int64_t Cin, std::int64_t Cout,
                  const Window2d& k, int groups = 1) {
  return {.N = N, .H = H, .W = W, .Cin = Cin, .Cout = Cout, .window = k, .groups = groups};
}
// No image; one pixel; primes, one past a vector; the windows of the face networks; strides that leave rows and columns
// over; stride and padding of each axis its own; windows further apart than they are wide; padding as wide as the
// window; groups, depthwise, also with several results for a channel; linear layers.
const std::vector<Conv2dShape> kShapes = [] {
  std::vector<Conv2dShape> all = {
      shape(0, 5, 4, 3, 2, {3, 3}),
      shape(0, 5, 4, 3, 2, {}),
      shape(1, 1, 1, 1, 1, {}),
      shape(1, 1, 1, 1, 1, {3, 3, 1, 1, 1, 1}),
      shape(2, 3, 5, 17, 33, {}),
      shape(2, 7, 5, 17, 33, {3, 3, 1, 1, 1, 1}),
      shape(1, 4, 8, 5, 7, {1, 7, 1, 1, 0, 3}),
      shape(1, 8, 4, 5, 7, {7, 1, 1, 1, 3, 0}),
      shape(2, 9, 9, 4, 6, {3, 3, 2, 2}),
      shape(1, 10, 8, 3, 10, {3, 3, 2, 2, 1, 1}),
      shape(2, 5, 6, 17, 17, {3, 3, 1, 1, 1, 1}, 17),
      shape(1, 6, 5, 4, 8, {3, 3, 2, 2, 1, 1}, 4),
      shape(2, 7, 6, 12, 18, {3, 2, 2, 1, 1, 0}, 3),
      shape(1, 5, 6, 8, 9, {1, 1, 2, 2}),
      shape(1, 2, 3, 4, 5, {1, 1, 1, 1, 1, 1}),
      shape(3, 4, 4, 5, 3, {2, 2}),
      shape(1, 3, 3, 2, 3, {2, 2, 1, 1, 2, 2}),
      shape(1, 9, 7, 3, 2, {2, 2, 3, 3}),
      shape(1, 12, 11, 2, 34, {5, 4, 1, 2, 2, 1}),
      shape(1, 24, 23, 3, 2, {3, 3})};  // pixels enough for two splits of the weight gradient on CUDA
  if (!kEmulated)
    for (const Conv2dShape& s :
         {shape(71, 6, 6, 8, 16, {3, 3}),    // images that share a piece, and a rest
          shape(1, 64, 50, 16, 32, {3, 3}),  // bands
          shape(2, 41, 40, 33, 24, {3, 3, 2, 1, 1, 1}), shape(3, 47, 39, 8, 20, {4, 5, 3, 2, 2, 2}),
          shape(1, 40, 40, 20, 40, {3, 3, 1, 1, 3, 3}),  // no bands: the padding is as high as the window
          shape(5, 28, 28, 24, 24, {3, 3, 1, 1, 1, 1}, 24)})
      all.push_back(s);
  return all;
}();

std::string str_of(const Conv2dShape& s) {
  const Window2d& k = s.window;
  return str("[", s.N, ", ", s.H, ", ", s.W, ", ", s.Cin, "] to ", s.Cout, ", ", k.kernel_h, "x", k.kernel_w,
             " stride ", k.stride_h, "x", k.stride_w, " padding ", k.pad_h, "x", k.pad_w, " groups ", s.groups, " ");
}

template <class T>
struct Inputs {
  Buffer<T> x, w, dy;
  Buffer<float> b;
  explicit Inputs(const Conv2dShape& s)
      : x(Buffer<T>::random(s.x_len(), 1)),
        w(Buffer<T>::random(s.w_len(), 2)),
        dy(Buffer<T>::random(s.y_len(), 3)),
        b(Buffer<float>::random(s.Cout, 4)) {}
  static Inputs integers(const Conv2dShape& s) {
    Inputs in(s);
    in.x = Buffer<T>::integers(s.x_len(), 1), in.w = Buffer<T>::integers(s.w_len(), 2),
    in.dy = Buffer<T>::integers(s.y_len(), 3);
    in.b = Buffer<float>::integers(s.Cout, 4);
    return in;
  }
};

struct Ref {
  std::vector<double> y, dx, dw, db;
};
template <class T>
Ref reference(const Conv2dShape& s, const Inputs<T>& in, bool bias = true) {
  Ref r{std::vector<double>(std::size_t(s.y_len())), std::vector<double>(std::size_t(s.x_len())),
        std::vector<double>(std::size_t(s.w_len())), std::vector<double>(std::size_t(s.Cout))};
  const Window2d& k = s.window;
  const std::int64_t OH = (s.H + 2 * k.pad_h - k.kernel_h) / k.stride_h + 1,
                     OW = (s.W + 2 * k.pad_w - k.kernel_w) / k.stride_w + 1;
  const std::int64_t I = s.Cin / s.groups, O = s.Cout / s.groups;
  std::size_t at = 0;
  for (std::int64_t n = 0; n < s.N; ++n)
    for (std::int64_t i = 0; i < OH; ++i)
      for (std::int64_t j = 0; j < OW; ++j)
        for (std::int64_t o = 0; o < s.Cout; ++o, ++at) {
          const double dy = in.dy[std::int64_t(at)];
          r.y[at] = bias ? in.b[o] : 0;
          r.db[std::size_t(o)] += dy;
          for (int u = 0; u < k.kernel_h; ++u)
            for (int v = 0; v < k.kernel_w; ++v)
              for (std::int64_t c = 0; c < I; ++c) {
                const std::int64_t h = i * k.stride_h - k.pad_h + u, w = j * k.stride_w - k.pad_w + v;
                if (h < 0 || h >= s.H || w < 0 || w >= s.W) continue;
                const std::int64_t p = ((n * s.H + h) * s.W + w) * s.Cin + o / O * I + c,
                                   q = ((o * I + c) * k.kernel_h + u) * k.kernel_w + v;
                r.y[at] += in.x[p] * in.w[q];
                r.dx[std::size_t(p)] += dy * in.w[q];
                r.dw[std::size_t(q)] += dy * in.x[p];
              }
        }
  return r;
}

template <class T>
struct Results {
  Buffer<T> y, dx;
  Buffer<float> dw, db;
};
// offset: elements by which activations and weights are shifted, so that none begins where a vector may.
template <class T>
Results<T> run(const Conv2dShape& s, const Inputs<T>& in, GradMode mode = GradMode::write, float start = 0,
               bool bias = true, std::int64_t offset = 0) {
  Results<T> r{Buffer<T>(s.y_len()), Buffer<T>(s.x_len()), Buffer<float>(s.w_len()), Buffer<float>(s.Cout)};
  if (mode != GradMode::write)
    r.dx = Buffer<T>(s.x_len(), start), r.dw = Buffer<float>(s.w_len(), start), r.db = Buffer<float>(s.Cout, start);
  const auto x = moved(in.x, offset), w = moved(in.w, offset), dy = moved(in.dy, offset);
  auto y = moved(r.y, offset), dx = moved(r.dx, offset);
  Buffer<float> forward(kernels::conv2d_fwd_workspace<T>(kBackend, s)),
      data(kernels::conv2d_bwd_data_workspace<T>(kBackend, s)),
      weight(kernels::conv2d_bwd_weight_workspace(kBackend, s));
  backend::conv2d_fwd<T>({.x = moved(x.cspan(), offset),
                          .w = moved(w.cspan(), offset),
                          .b = bias ? in.b.cspan() : Span<const float>(),
                          .y = moved(y.span(), offset),
                          .workspace = forward.span(),
                          .shape = s});
  backend::conv2d_bwd_data<T>({.dy = moved(dy.cspan(), offset),
                               .w = moved(w.cspan(), offset),
                               .dx = moved(dx.span(), offset),
                               .dx_mode = mode,
                               .workspace = data.span(),
                               .shape = s});
  backend::conv2d_bwd_weight<T>({.dy = moved(dy.cspan(), offset),
                                 .x = moved(x.cspan(), offset),
                                 .dw = r.dw.span(),
                                 .db = r.db.span(),
                                 .dw_mode = mode,
                                 .db_mode = mode,
                                 .workspace = weight.span(),
                                 .shape = s});
  forward.check_guards("forward workspace"), data.check_guards("data workspace"),
      weight.check_guards("weight workspace");
  r.y = moved_back(y, offset), r.dx = moved_back(dx, offset);
  return r;
}

// On CUDA a linear layer, and what cuDNN computes, is stored before the bias is added: y of bf16 is then rounded twice,
// the first time as a sum of so many terms with a standard deviation of 1, of which half a unit in the last place is
// 2^-9.
template <class T>
double rounded_before(const Conv2dShape& s) {
  return sizeof(T) == 2 && kCuda && (s.linear() || !kEmulated) ? 4 * 0x1p-9 * std::sqrt(double(s.in_group() * s.taps()))
                                                               : 0;
}
template <class T>
void compare(const Results<T>& got, const Ref& want, const Conv2dShape& s, double rtol, double atol) {
  expect_close(str_of(s) + "y", got.y, want.y, rtol + storage_rtol<T>(), atol + rounded_before<T>(s));
  expect_close(str_of(s) + "dx", got.dx, want.dx, rtol + storage_rtol<T>(), atol);
  expect_close(str_of(s) + "dw", got.dw, want.dw, rtol, 3 * atol);  // sums of up to 4000 terms
  expect_close(str_of(s) + "db", got.db, want.db, rtol, 3 * atol);
}

}  // namespace

TEST_CASE_TEMPLATE("conv2d matches the double reference", T, float, bf16) {
  for (const Conv2dShape& s : kShapes) {
    const Inputs<T> in(s);
    const Ref want = reference(s, in);
    for_each_variant([&] { compare(run(s, in), want, s, 1e-5, 4e-5); });
  }
}

// Integers make every sum exact: no tolerance hides a tap that is off by one.
TEST_CASE("conv2d is exact on integers, with and without bias") {
  for (const Conv2dShape& s : kShapes) {
    const auto in = Inputs<float>::integers(s);
    for (const bool bias : {true, false})
      compare(run(s, in, GradMode::write, 0, bias), reference(s, in, bias), s, 0, 1e-30);
  }
  for (int size = 3; size <= 9; ++size)
    for (int kernel = 1; kernel <= 3; ++kernel)
      for (int stride = 1; stride <= 3; ++stride) {
        if (kEmulated && (size + kernel + stride) % 4) continue;
        const auto s =
            shape(1, size, 12 - size, 2, 3, {kernel, 4 - kernel, stride, 4 - stride, size % kernel, kernel / 2});
        const auto in = Inputs<float>::integers(s);
        compare(run(s, in), reference(s, in), s, 0, 1e-30);
      }
}

// Beyond a sum's last term there must be nothing, not zero times something.
TEST_CASE("conv2d: a NaN reaches the windows that hold it, and no other") {
  const auto s = shape(1, 8, 7, 3, 4, {3, 3});
  auto in = Inputs<float>::integers(s);
  const std::int64_t h = 4, w = 3;
  in.x[(h * s.W + w) * s.Cin + 1] = NAN;
  in.dy[(h * s.out_w() + w) * s.Cout + 2] = NAN;
  const auto got = run(s, in);
  for (std::int64_t i = 0; i < s.out_h(); ++i)
    for (std::int64_t j = 0; j < s.out_w(); ++j)
      for (std::int64_t o = 0; o < s.Cout; ++o)
        CHECK(std::isnan(got.y.cspan()[(i * s.out_w() + j) * s.Cout + o]) ==
              (i <= h && h < i + 3 && j <= w && w < j + 3));
  for (std::int64_t i = 0; i < s.H; ++i)
    for (std::int64_t j = 0; j < s.W; ++j)
      for (std::int64_t c = 0; c < s.Cin; ++c)
        CHECK(std::isnan(got.dx.cspan()[(i * s.W + j) * s.Cin + c]) == (h <= i && i < h + 3 && w <= j && j < w + 3));
}

// Seven bands, of which oneDNN wants the last, three rows high, to have its weights in another order than the others.
// 57 rows: the last band is shorter than the others, and may want its weights in another order. 73: it is a single row.
TEST_CASE("conv2d: bands of an image, the last one short") {
  if (kEmulated) return;
  for (const std::int64_t H : {57, 73}) {
    const auto s = shape(1, H, 20, 16, 192, {3, 3, 1, 1, 1, 1});
    const auto in = Inputs<float>::integers(s);
    const Inputs<float>& read = in;
    Buffer<float> y(s.y_len()), work(kernels::conv2d_fwd_workspace<float>(kBackend, s));
    backend::conv2d_fwd<float>(
        {.x = in.x.cspan(), .w = in.w.cspan(), .y = y.span(), .workspace = work.span(), .shape = s});
    for (const std::int64_t i : {std::int64_t(0), std::int64_t(8), std::int64_t(9), H - 4, H - 3, H - 2, H - 1})
      for (const std::int64_t j : {0, 13})
        for (std::int64_t o = 0; o < s.Cout; ++o) {
          double want = 0;
          for (int u = 0; u < 3; ++u)
            for (int v = 0; v < 3; ++v)
              for (std::int64_t c = 0; c < s.Cin; ++c) {
                const std::int64_t h = i - 1 + u, w = j - 1 + v;
                if (h >= 0 && h < s.H && w >= 0 && w < s.W)
                  want += read.x[(h * s.W + w) * s.Cin + c] * read.w[((o * s.Cin + c) * 3 + u) * 3 + v];
              }
          BF_CHECK(y.cspan()[(i * s.W + j) * s.Cout + o] == float(want), "H ", H, ": y[", i, ", ", j, ", ", o, "]");
        }
  }
}

TEST_CASE_TEMPLATE("conv2d adds to, or leaves alone, what is in a gradient", T, float, bf16) {
  for (const auto& s :
       {shape(3, 6, 7, 5, 9, {3, 3, 2, 1, 1, 0}), shape(2, 4, 4, 6, 4, {3, 1}, 2), shape(2, 3, 3, 6, 5, {})}) {
    const Inputs<T> in(s);
    Ref want = reference(s, in);
    for (auto* v : {&want.dx, &want.dw, &want.db})
      for (double& e : *v) e += 10;
    compare(run(s, in, GradMode::add, 10), want, s, 1e-5, 1e-4);
    const auto skipped = run(s, in, GradMode::skip, 10);
    expect_bitwise("dx", skipped.dx, Buffer<T>(s.x_len(), 10));
    expect_bitwise("dw", skipped.dw, Buffer<float>(s.w_len(), 10));
    expect_bitwise("db", skipped.db, Buffer<float>(s.Cout, 10));
  }
  const auto none = shape(0, 4, 4, 2, 3, {3, 3});  // sums over no image are 0
  const auto empty = run(none, Inputs<T>(none), GradMode::add, 10);
  expect_bitwise("dw", empty.dw, Buffer<float>(none.w_len(), 10));
  expect_bitwise("db", empty.db, Buffer<float>(none.Cout, 10));
}

// One of the weight's two gradients alone.
TEST_CASE("conv2d computes the gradient of the weights or of the bias alone") {
  for (const auto& s : {shape(2, 5, 4, 3, 6, {3, 2}), shape(2, 5, 4, 3, 6, {})}) {
    const Inputs<float> in(s);
    const Ref want = reference(s, in);
    for (const bool bias : {true, false}) {
      Buffer<float> work(kernels::conv2d_bwd_weight_workspace(kBackend, s)), dw(bias ? 0 : s.w_len()),
          db(bias ? s.Cout : 0);
      backend::conv2d_bwd_weight<float>({.dy = in.dy.cspan(),
                                         .x = in.x.cspan(),
                                         .dw = dw.span(),
                                         .db = db.span(),
                                         .dw_mode = bias ? GradMode::skip : GradMode::write,
                                         .db_mode = bias ? GradMode::write : GradMode::skip,
                                         .workspace = work.span(),
                                         .shape = s});
      bias ? expect_close("db", db, want.db, 1e-5, 1e-5) : expect_close("dw", dw, want.dw, 1e-5, 1e-5);
    }
  }
}

TEST_CASE_TEMPLATE("conv2d does not depend on the order of the work", T, float, bf16) {
  std::vector<Conv2dShape> shapes = {shape(3, 9, 10, 5, 36, {3, 3, 1, 2, 1, 1}), shape(2, 6, 5, 12, 8, {2, 3}, 4)};
  if (!kEmulated)
    for (const auto& s : {shape(9, 24, 24, 16, 33, {3, 3}), shape(1, 70, 61, 12, 40, {3, 3, 1, 1, 1, 1}),
                          shape(2, 30, 30, 64, 64, {1, 7, 1, 1, 0, 3})})
      shapes.push_back(s);
  for (const Conv2dShape& s : shapes) {
    const Inputs<T> in(s);
    expect_order_free([&] {
      if constexpr (!kCuda) kernels::forget_conv_plans();  // oneDNN looks at the number of threads when it plans, too
      const int threads = omp_get_max_threads();
      const auto r = run(s, in);
      CHECK(omp_get_max_threads() == threads);
      return std::tuple{r.y, r.dx, r.dw, r.db};
    });
  }
}

// Arrays that do not begin where a vector may, and nothing written before them.
TEST_CASE_TEMPLATE("conv2d does not depend on where its arrays begin", T, float, bf16) {
  for (const auto& s : {shape(2, 5, 6, 16, 24, {3, 3, 1, 1, 1, 1}), shape(1, 6, 6, 8, 8, {3, 3, 2, 2}, 8)}) {
    const Inputs<T> in(s);
    compare(run(s, in, GradMode::write, 0, true, 1), reference(s, in), s, 1e-5, 4e-5);
  }
}

TEST_CASE("conv2d explains wrong arguments") {
  Buffer<float> x(100), w(1000), y(1000), work(100000);
  const auto forward = [&](const Conv2dShape& s, std::int64_t lx, std::int64_t lw, std::int64_t ly, std::int64_t lb,
                           std::int64_t floats) {
    backend::conv2d_fwd<float>({.x = x.cspan().slice(0, lx),
                                .w = w.cspan().slice(0, lw),
                                .b = w.cspan().slice(0, lb),
                                .y = y.span().slice(0, ly),
                                .workspace = work.span().slice(0, floats),
                                .shape = s});
  };
  const auto s = shape(1, 4, 4, 4, 6, {3, 3, 1, 1, 1, 1}, 2);  // x 64, w 108, y 96
  expect_throw("x has 63 elements, expected 64", [&] { forward(s, 63, 108, 96, 6, 1000); });
  expect_throw("w has 216 elements, expected 108", [&] { forward(s, 64, 216, 96, 6, 1000); });
  expect_throw("y has 95 elements, expected 96", [&] { forward(s, 64, 108, 95, 6, 1000); });
  expect_throw("b has 4 elements, expected 6", [&] { forward(s, 64, 108, 96, 4, 1000); });
  expect_throw("workspace of 10 floats", [&] { forward(s, 64, 108, 96, 6, 10); });
  expect_throw("3 groups of 4 and 6 channels", [&] { forward(shape(1, 4, 4, 4, 6, {3, 3}, 3), 64, 108, 96, 6, 1000); });
  expect_throw("a window of 5 x 3 does not fit an image of 4 x 4", [&] {
    forward(shape(1, 4, 4, 4, 6, {5, 3}), 64, 108, 96, 6, 1000);
  });
  expect_throw("stride 0 x 1", [&] { forward(shape(1, 4, 4, 4, 6, {3, 3, 0, 1}), 64, 108, 96, 6, 1000); });
  expect_throw("sizes rounded up", [&] {
    forward(shape(1, 4, 4, 4, 6, {3, 3, 1, 1, 1, 1, true}), 64, 108, 96, 6, 1000);
  });
  expect_throw("to 0 channels", [&] { forward(shape(1, 4, 4, 4, 0, {3, 3}), 64, 0, 0, 0, 1000); });
  expect_throw("dx has 63 elements", [&] {
    backend::conv2d_bwd_data<float>({.dy = x.cspan().slice(0, 96),
                                     .w = w.cspan().slice(0, 108),
                                     .dx = y.span().slice(0, 63),
                                     .workspace = work.span(),
                                     .shape = s});
  });
  const auto weight = [&](std::int64_t lw, std::int64_t lb, std::int64_t floats) {
    backend::conv2d_bwd_weight<float>({.dy = x.cspan().slice(0, 96),
                                       .x = w.cspan().slice(0, 64),
                                       .dw = y.span().slice(0, lw),
                                       .db = y.span().slice(500, lb),
                                       .workspace = work.span().slice(0, floats),
                                       .shape = s});
  };
  expect_throw("dw has 107 elements", [&] { weight(107, 6, 1000); });
  expect_throw("db has 5 elements", [&] { weight(108, 5, 1000); });
  expect_throw("workspace of 9 floats", [&] { weight(108, 6, 9); });
  Context ctx(device());
  const Tensor image = Tensor::zeros(ctx, {1, 4, 4, 2}), bias = Tensor::zeros(ctx, {3});
  expect_throw("expected [Cout, C / 1, 3, 3]", [&] {
    fn::conv2d(image, Tensor::zeros(ctx, {3, 2, 5, 5}), bias, {3, 3});
  });
  expect_throw("expected [Cout, C / 2, 3, 3]", [&] {
    fn::conv2d(image, Tensor::zeros(ctx, {3, 2, 3, 3}), bias, {3, 3}, 2);
  });
  expect_throw("does not fit x [1, 4, 4, 2]", [&] {
    fn::conv2d(image, Tensor::zeros(ctx, {3, 2, 5, 5}), bias, {5, 5});
  });
  expect_throw("expected [N, H, W, C]", [&] { fn::conv2d(bias, Tensor::zeros(ctx, {3, 2, 3, 3}), bias, {3, 3}); });
}

TEST_CASE("window_out: sizes as PyTorch counts them") {
  using kernels::window_out;
  CHECK(window_out(224, 3, 2, 1, false) == 112);
  CHECK(window_out(5, 2, 2, 0, false) == 2);
  CHECK(window_out(2, 3, 1, 0, false) <= 0);
}

TEST_CASE("conv2d gradient check") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 5, 6, 4}, 1), w = random_leaf(ctx, {4, 2, 3, 2}, 2, 0, 0.3f),
               b = random_leaf(ctx, {4}, 3);
  const Window2d same{.kernel_h = 3, .kernel_w = 2, .pad_h = 1, .pad_w = 1},
      apart{.kernel_h = 3, .kernel_w = 2, .stride_h = 2, .stride_w = 1};
  check_gradients({x, w, b}, [&] { return fn::conv2d(fn::conv2d(x, w, b, same, 2), w, b, apart, 2); });
  const Tensor one = random_leaf(ctx, {3, 4, 1, 1}, 4), none;  // a linear layer, no bias
  check_gradients({x, one}, [&] { return fn::conv2d(x, one, none, {}); });
}

TEST_CASE("conv2d trains what is not frozen") {
  Context ctx(device());
  const Window2d k{.kernel_h = 2, .kernel_w = 3};
  const Buffer<float> v = Buffer<float>::random(2 * 2 * 3, 9);
  const std::vector<float> probe(v.span().begin(), v.span().end());
  for (int mask = 1; mask < 8; ++mask) {
    Tensor x = random_leaf(ctx, {1, 3, 4, 5}, 1), w = random_leaf(ctx, {3, 5, 2, 3}, 2), b = random_leaf(ctx, {3}, 3);
    std::array<Tensor, 3> all{x, w, b};
    for (int i = 0; i < 3; ++i) all[std::size_t(i)].require_grad(mask >> i & 1);
    weighted_sum(fn::conv2d(x, w, b, k), probe).backward();
    for (int i = 0; i < 3; ++i) CHECK(bool(all[std::size_t(i)].grad()) == bool(mask >> i & 1));
    if (mask >> 2 & 1)
      CHECK(b.grad().to_host()[0] == doctest::Approx(double(probe[0] + probe[3] + probe[6] + probe[9])));
  }
}

TEST_CASE("conv2d of bf16 reads the compute copy of its weight, forward and backward") {
  Context ctx(device());
  const std::vector<float> ones(3 * 3 * 2 * 3, 1), x(2 * 5 * 4 * 2, 1);
  Tensor w = Tensor::from_host(ctx, {3, 2, 3, 3}, ones);
  w.require_grad();
  w.set_compute_copy(Tensor::full(ctx, {3, 2, 3, 3}, 2, DType::bf16));
  const Tensor in = Tensor::from_host(ctx, {2, 5, 4, 2}, x, DType::bf16).require_grad();
  Tensor y = fn::conv2d(in, w, {}, {3, 3});
  CHECK(y.dtype() == DType::bf16);
  CHECK(y.shape() == Shape{2, 3, 2, 3});
  CHECK(y.to_host() == std::vector<float>(36, 36));
  y.backward(Tensor::full(ctx, y.shape(), 1, DType::bf16));
  CHECK(in.grad().to_host()[0] == 6);  // a corner: one window of three results
  CHECK(w.grad().to_host() == std::vector<float>(54, 12));
}
