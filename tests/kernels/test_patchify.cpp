// tests/kernels/test_patchify.cpp — patches against the index formula, and the convolution they stand for.
#include "engine/context.h"
#include "kernels/patchify/patchify.h"
#include "layers/functional/linear.h"
#include "layers/functional/patchify.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t N, H, W, C, k;
  std::int64_t image() const { return N * H * W * C; }
  std::int64_t patches() const { return N * (H / k) * (W / k) * C * k * k; }
};
// No image, one pixel, exact fits, rests below and to the right, an image smaller than a patch, one past a vector, whole
// vectors of channels, a row of patches of several blocks.
const std::vector<Sizes> kSizes = {{0, 4, 4, 3, 4},  {1, 1, 1, 1, 1},  {2, 8, 12, 3, 4}, {1, 11, 9, 3, 4},
                                   {3, 6, 4, 17, 2}, {2, 7, 5, 33, 2}, {1, 3, 8, 2, 4},  {1, 5, 7, 40, 3},
                                   {2, 5, 6, 24, 2}, {1, 4, 6, 6, 2},  {1, 2, 18, 96, 2}, {1, 2, 3, 8, 1}};

// `offset`: elements by which every array is shifted, so that none begins where a vector may.
template <class T>
Buffer<T> forward(const Sizes& s, const Buffer<T>& x, std::int64_t offset = 0) {
  Buffer<T> y(s.patches() + offset);
  backend::patchify_fwd<T>({.x = x.cspan().slice(offset, s.image()),
                            .y = y.span().slice(offset, s.patches()),
                            .N = s.N,
                            .H = s.H,
                            .W = s.W,
                            .C = s.C,
                            .k = s.k});
  return y;
}
template <class T>
Buffer<T> backward(const Sizes& s, const Buffer<T>& dy, GradMode mode, Buffer<T> dx, std::int64_t offset = 0) {
  backend::patchify_bwd<T>({.dy = dy.cspan().slice(offset, s.patches()),
                            .dx = dx.span().slice(offset, s.image()),
                            .dx_mode = mode,
                            .N = s.N,
                            .H = s.H,
                            .W = s.W,
                            .C = s.C,
                            .k = s.k});
  return dx;
}

// Calls f(index in the patches, index in the image) by the formula of the header.
template <class F>
void for_each(const Sizes& s, F&& f) {
  for (std::int64_t n = 0; n < s.N; ++n)
    for (std::int64_t i = 0; i < s.H / s.k; ++i)
      for (std::int64_t j = 0; j < s.W / s.k; ++j)
        for (std::int64_t c = 0; c < s.C; ++c)
          for (std::int64_t u = 0; u < s.k; ++u)
            for (std::int64_t v = 0; v < s.k; ++v)
              f((((n * (s.H / s.k) + i) * (s.W / s.k) + j) * s.C + c) * s.k * s.k + u * s.k + v,
                ((n * s.H + i * s.k + u) * s.W + j * s.k + v) * s.C + c);
}

}  // namespace

TEST_CASE_TEMPLATE("patchify: both passes by the index formula", T, float, bf16) {
  for_each_variant([] {
    for (const Sizes& s : kSizes)
      for (const std::int64_t offset : {0, 1}) {
        const auto x = Buffer<T>::random(s.image() + offset, 1), dy = Buffer<T>::random(s.patches() + offset, 2);
        const auto start = [&](float v) {  // what is before the array stays as it is
          Buffer<T> dx(s.image() + offset, v);
          if (offset) dx[0] = T(8.0f);
          return dx;
        };
        const auto own = [&](const Buffer<T>& b) {
          std::vector<double> v;
          for (std::int64_t i = offset; i < b.size(); ++i) v.push_back(b[i]);
          return v;
        };
        std::vector<double> y(std::size_t(s.patches())), dx(std::size_t(s.image()), 0.0);
        for_each(s, [&](std::int64_t patch, std::int64_t pixel) {
          y[std::size_t(patch)] = x[pixel + offset], dx[std::size_t(pixel)] = dy[patch + offset];
        });
        const std::string at = str("[", s.N, ", ", s.H, ", ", s.W, ", ", s.C, "] in patches of ", s.k, " ");
        const auto got_y = forward(s, x, offset), written = backward(s, dy, GradMode::write, start(NAN), offset),
                   added = backward(s, dy, GradMode::add, start(8), offset);
        got_y.check_guards("y"), written.check_guards("dx"), added.check_guards("dx added");
        expect_close(at + "y", own(got_y), y, 0, 1e-30);
        expect_close(at + "dx", own(written), dx, 0, 1e-30);
        for (double& d : dx) d += 8;
        expect_close(at + "dx added", own(added), dx, 1e-6 + storage_rtol<T>(), 0);
        expect_bitwise(at + "dx skipped", backward(s, dy, GradMode::skip, start(8), offset), start(8));
        if (offset) CHECK((written[0] == 8 && added[0] == 8));
      }
  });
}

TEST_CASE("patchify does not depend on the order of the work") {
  const Sizes s{3, 9, 12, 5, 2};
  const auto x = Buffer<float>::random(s.image(), 1), dy = Buffer<float>::random(s.patches(), 2);
  expect_order_free([&] {
    return std::tuple{forward(s, x), backward(s, dy, GradMode::add, Buffer<float>(s.image(), 1))};
  });
}

TEST_CASE("linear on patches is the convolution of a [out, C, k, k] weight") {
  Context ctx;  // on the CPU: the matrix product has no kernels of its own
  const std::int64_t C = 3, k = 4, out = 5, H = 9, W = 8;
  const Tensor x = random_leaf(ctx, {2, H, W, C}, 1), w = random_leaf(ctx, {out, C, k, k}, 2),
               b = random_leaf(ctx, {out}, 3);
  const Tensor y = fn::linear(fn::patchify(x, int(k)), w, b);
  CHECK(y.shape() == Shape{2, H / k, W / k, out});
  const auto xs = x.to_host(), ws = w.to_host(), bs = b.to_host();
  std::vector<double> want;
  for (std::int64_t n = 0; n < 2; ++n)
    for (std::int64_t i = 0; i < H / k; ++i)
      for (std::int64_t j = 0; j < W / k; ++j)
        for (std::int64_t o = 0; o < out; ++o) {
          double sum = double(bs[std::size_t(o)]);
          for (std::int64_t c = 0; c < C; ++c)
            for (std::int64_t u = 0; u < k; ++u)
              for (std::int64_t v = 0; v < k; ++v)
                sum += double(ws[std::size_t(((o * C + c) * k + u) * k + v)]) *
                       double(xs[std::size_t(((n * H + i * k + u) * W + j * k + v) * C + c)]);
          want.push_back(sum);
        }
  expect_close("y", y.to_host(), want, 1e-5, 1e-5);
  check_gradients({x, w, b}, [&] { return fn::linear(fn::patchify(x, int(k)), w, b); });
}

TEST_CASE("patchify gradient check, a leaf used twice") {
  Context ctx(device());
  const Tensor x = random_leaf(ctx, {2, 5, 6, 3}, 1);
  check_gradients({x}, [&] { return fn::patchify(fn::patchify(x, 2), 2); });
}

TEST_CASE("patchify explains wrong arguments") {
  Buffer<float> x(3), y(12);
  expect_throw("image of 3 elements, expected [1, 2, 2, 3]", [&] {
    backend::patchify_fwd<float>({.x = x.cspan(), .y = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .k = 2});
  });
  expect_throw("patches of 3 elements, expected [1, 1, 1, 12]", [&] {
    backend::patchify_bwd<float>({.dy = x.cspan(), .dx = y.span(), .N = 1, .H = 2, .W = 2, .C = 3, .k = 2});
  });
  Context ctx(device());
  expect_throw("expected [N, H, W, C], got [2, 3]", [&] { fn::patchify(Tensor::zeros(ctx, {2, 3}), 2); });
}

TEST_CASE("patchify on CUDA refuses images whose elements 32 bits cannot number") {
  if constexpr (!kCuda) return;
  Buffer<float> some(1);  // refused before anything is read
  constexpr std::int64_t kSide = 1 << 16, kAll = kSide * kSide * 3;
  expect_throw("patchify: [65536, 65536, 3] on CUDA", [&] {
    backend::patchify_fwd<float>({.x = {some.span().ptr, kAll}, .y = {some.span().ptr, kAll}, .N = 1, .H = kSide, .W = kSide, .C = 3, .k = 4});
  });
}
