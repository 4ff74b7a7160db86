// tests/kernels/test_cast.cpp — f32 to bf16 and back.
#include "kernels/cast/cast.h"
#include "layers/functional/cast.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// Shifts: elements left out in front, so that an array does not begin where a vector may.
template <class From, class To>
Buffer<To> convert(const Buffer<From>& x, Buffer<To> y, GradMode mode = GradMode::write, std::int64_t shift_x = 0, std::int64_t shift_y = 0) {
  const std::int64_t n = x.size() - shift_x;
  backend::cast<From, To>({.x = x.cspan().slice(shift_x, n), .y = y.span().slice(shift_y, n), .mode = mode});
  return y;
}

}  // namespace

TEST_CASE("cast: values and modes") {
  for_each_variant([] {
    for (const std::int64_t n : {0, 1, 3, 4, 17, 33, 1027, 16385}) {
      const auto x = Buffer<float>::random(n, 1);
      const auto narrow = convert(x, Buffer<bf16>(n));
      std::vector<double> rounded, exact, sum;
      for (std::int64_t i = 0; i < n; ++i) {
        rounded.push_back(float(bf16(float(x[i])))), exact.push_back(x[i]);
        sum.push_back(rounded.back() + 8);
      }
      expect_close("to bf16", narrow, rounded, 0, 1e-30);
      expect_close("to bf16, error", narrow, exact, 1.0 / 256, 1e-30);
      expect_close("to f32", convert(narrow, Buffer<float>(n)), rounded, 0, 1e-30);
      expect_close("added", convert(narrow, Buffer<float>(n, 8), GradMode::add), sum, 1e-7, 0);
      expect_bitwise("skipped", convert(narrow, Buffer<float>(n, 8), GradMode::skip), Buffer<float>(n, 8));
    }
  });
}

TEST_CASE("cast: arrays that begin between vectors") {
  const std::int64_t n = 1027;
  const auto x = Buffer<float>::random(n, 1);
  const auto narrow_x = convert(x, Buffer<bf16>(n));
  for (const std::int64_t shift_x : {0, 1})
    for (const std::int64_t shift_y : {0, 1}) {
      const std::int64_t length = n - shift_x;
      Buffer<bf16> narrow(n + 1, 5);
      Buffer<float> wide(n + 1, 5), sum(n + 1, 5);
      for (std::int64_t i = 0; i < length; ++i) {
        narrow[shift_y + i] = bf16(float(narrow_x[shift_x + i]));
        wide[shift_y + i] = float(narrow_x[shift_x + i]), sum[shift_y + i] = 5 + wide[shift_y + i];
      }
      expect_bitwise("to bf16", convert(x, Buffer<bf16>(n + 1, 5), GradMode::write, shift_x, shift_y), narrow);
      expect_bitwise("to f32", convert(narrow_x, Buffer<float>(n + 1, 5), GradMode::write, shift_x, shift_y), wide);
      expect_bitwise("added", convert(narrow_x, Buffer<float>(n + 1, 5), GradMode::add, shift_x, shift_y), sum);
    }
}

TEST_CASE("cast does not depend on the order of the work, and explains wrong arguments") {
  const auto x = Buffer<float>::random(kEmulated ? 4099 : 40000, 1);
  expect_order_free([&] { return std::tuple{convert(x, Buffer<bf16>(x.size()))}; });
  Buffer<float> a(4);
  Buffer<bf16> b(5);
  backend::cast<float, bf16>({.x = a.cspan(), .mode = GradMode::skip});  // nothing to write to
  expect_throw("y has 5 elements, x has 4", [&] { backend::cast<float, bf16>({.x = a.cspan(), .y = b.span()}); });
}

TEST_CASE("cast on tensors: the gradient comes back in the input's type, and adds up") {
  Context ctx(device());
  Tensor x = random_leaf(ctx, {3, 5}, 1);
  CHECK(fn::cast(x, DType::f32).shares_memory_with(x));
  for (int uses = 1; uses <= 2; ++uses) {
    const Tensor y = fn::cast(x, DType::bf16);
    CHECK(y.dtype() == DType::bf16);
    Tensor z = fn::cast(y, DType::f32);
    z.backward(Tensor::full(ctx, {3, 5}, 3));
    CHECK(x.grad().dtype() == DType::f32);
    CHECK(x.grad().to_host() == std::vector<float>(15, 3.0f * float(uses)));
  }
  expect_throw("cast: from f32 to u8", [&] { fn::cast(x, DType::u8); });
}
