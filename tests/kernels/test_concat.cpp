// tests/kernels/test_concat.cpp — concatenation along the channels against the index formula.
#include "kernels/concat/concat.h"

#include "engine/autograd.h"
#include "layers/functional/concat.h"
#include "tests/support/arrays.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

struct Sizes {
  std::int64_t rows, C, total, at;
};
// No row, no channel, one of each, primes, whole vectors that begin at one and that do not, more rows than a block has
// threads; the last part, the only part.
const std::vector<Sizes> kSizes = {
    {0, 3, 5, 1},   {4, 0, 5, 2},       {1, 1, 1, 0},   {3, 17, 33, 5}, {5, 8, 24, 16},
    {5, 8, 24, 8},  {7, 8, 24, 4},      {7, 16, 17, 1}, {7, 9, 24, 8},  {300, 8, 16, 8},
    {2, 33, 33, 0}, {1, 2050, 2056, 3}, {3, 16, 36, 4}, {6, 8, 20, 8},  {kEmulated ? 35 : 3500, 40, 43, 2}};

template <class T>
struct Case {
  Sizes s;
  Buffer<T> x, dy;
  explicit Case(const Sizes& z)
      : s(z), x(Buffer<T>::random(z.rows * z.C, 1)), dy(Buffer<T>::random(z.rows * z.total, 2)) {}
  Buffer<T> forward(std::int64_t from = 0, std::int64_t to = 0) const {
    const auto in = moved(x, from);
    auto y = moved(Buffer<T>(s.rows * s.total, 5), to);
    backend::concat_fwd<T>({.x = moved(in.cspan(), from),
                            .y = moved(y.span(), to),
                            .rows = s.rows,
                            .C = s.C,
                            .total = s.total,
                            .at = s.at});
    return moved_back(y, to);
  }
  Buffer<T> backward(GradMode mode, const Buffer<T>& before, std::int64_t from = 0, std::int64_t to = 0) const {
    const auto in = moved(dy, from);
    auto dx = moved(before, to);
    backend::concat_bwd<T>({.dy = moved(in.cspan(), from),
                            .dx = moved(dx.span(), to),
                            .dx_mode = mode,
                            .rows = s.rows,
                            .C = s.C,
                            .total = s.total,
                            .at = s.at});
    return moved_back(dx, to);
  }
};

}  // namespace

TEST_CASE_TEMPLATE("concat: both passes by the index formula", T, float, bf16) {
  for_each_variant([] {
    for (const Sizes& s : kSizes)
      for (const auto& [from, to] : {std::pair{0, 0}, {1, 0}, {0, 1}, {1, 1}}) {
        const Case<T> c(s);
        std::vector<double> y(std::size_t(s.rows * s.total), 5.0), dx(std::size_t(s.rows * s.C));
        for (std::int64_t r = 0; r < s.rows; ++r)
          for (std::int64_t k = 0; k < s.C; ++k) {
            y[std::size_t(r * s.total + s.at + k)] = c.x[r * s.C + k];
            dx[std::size_t(r * s.C + k)] = c.dy[r * s.total + s.at + k];
          }
        const std::string at = str("[", s.rows, ", ", s.C, "] at ", s.at, " of ", s.total, " ");
        expect_close(at + "y", c.forward(from, to), y, 0, 1e-30);
        expect_close(at + "dx", c.backward(GradMode::write, Buffer<T>(s.rows * s.C), from, to), dx, 0, 1e-30);
        for (double& d : dx) d += 8;
        const Buffer<T> eights(s.rows * s.C, 8);
        expect_close(at + "dx added", c.backward(GradMode::add, eights, from, to), dx, 1e-6 + storage_rtol<T>(), 0);
        expect_bitwise(at + "dx skipped", c.backward(GradMode::skip, eights, from, to), eights);
      }
  });
}

TEST_CASE("concat keeps every bit, NaNs included") {
  Case<bf16> c({2, 8, 16, 8});
  c.x[3].bits = 0x7fc1;
  CHECK(c.forward().cspan()[11].bits == 0x7fc1);
}

TEST_CASE("concat does not depend on the order of the work") {
  const Case<float> c({kEmulated ? 90 : 5000, 40, 90, 7});
  expect_order_free([&] { return std::tuple{c.forward(), c.backward(GradMode::add, c.x)}; });
}

TEST_CASE("concat explains wrong arguments") {
  Buffer<float> x(12), y(30);
  const auto call = [&](std::int64_t rows, std::int64_t C, std::int64_t total, std::int64_t at) {
    backend::concat_fwd<float>({.x = x.cspan(), .y = y.span(), .rows = rows, .C = C, .total = total, .at = at});
  };
  expect_throw("channels [3, 6) of 5, 4 rows", [&] { call(4, 3, 5, 3); });
  expect_throw("part of 12 elements, expected [5, 3]", [&] { call(5, 3, 6, 3); });
  expect_throw("whole of 30 elements, expected [4, 6]", [&] { call(4, 3, 6, 3); });
  Context ctx(device());
  const Tensor a = Tensor::zeros(ctx, {2, 3, 4});
  expect_throw("of no tensors", [] { fn::concat({}); });
  expect_throw("concat: [3, 2, 4] f32 beside [2, 3, 4] f32", [&] { fn::concat({a, Tensor::zeros(ctx, {3, 2, 4})}); });
  expect_throw("concat: [2, 3, 4] bf16 beside [2, 3, 4] f32", [&] {
    fn::concat({a, Tensor::zeros(ctx, {2, 3, 4}, DType::bf16)});
  });
}

TEST_CASE("concat of tensors: order, gradients, one of them twice, one frozen") {
  Context ctx(device());
  const Tensor a = random_leaf(ctx, {2, 3, 4}, 1), b = random_leaf(ctx, {2, 3, 1}, 2),
               c = random_leaf(ctx, {2, 3, 7}, 3);
  const Tensor y = fn::concat({a, b, a, c});
  CHECK(y.shape() == Shape{2, 3, 16});
  const auto got = y.to_host(), as = a.to_host(), bs = b.to_host(), cs = c.to_host();
  for (std::size_t r = 0; r < 6; ++r) {
    CHECK(got[r * 16 + 3] == as[r * 4 + 3]);
    CHECK(got[r * 16 + 4] == bs[r]);
    CHECK(got[r * 16 + 5] == as[r * 4]);
    CHECK(got[r * 16 + 15] == cs[r * 7 + 6]);
  }
  check_gradients({a, b, c}, [&] { return fn::concat({a, b, a, c}); });
  CHECK(fn::concat({c}).to_host() == cs);
  Tensor frozen = random_leaf(ctx, {2, 3, 2}, 4);
  frozen.require_grad(false);
  Tensor z = fn::concat({frozen, b});
  z.backward(Tensor::full(ctx, z.shape(), 3));
  CHECK(!frozen.grad());
  CHECK(b.grad().to_host().back() != 0);
  CHECK(!fn::concat({frozen, frozen}).requires_grad());
}
