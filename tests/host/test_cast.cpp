// tests/host/test_cast.cpp — f32 to bf16 and back.
#include "engine/context.h"
#include "kernels/cast/cast.h"
#include "layers/functional/cast.h"
#include "tests/support/gradcheck.h"
#include "tests/support/threads.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

template <class From, class To>
Buffer<To> convert(const Buffer<From>& x, Buffer<To> y, GradMode mode = GradMode::write) {
  kernels::cpu::cast<From, To>({.x = x.cspan(), .y = y.span(), .mode = mode});
  return y;
}

}  // namespace

TEST_CASE("cast: values, modes, threads") {
  for (const std::int64_t n : {0, 1, 17, 33, 16385}) {
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
    const auto [one, two] = with_one_and_two_threads([&] { return convert(x, Buffer<bf16>(n)); });
    expect_bitwise("threads", one, two);
  }
  Buffer<float> a(4);
  Buffer<bf16> b(5);
  kernels::cpu::cast<float, bf16>({.x = a.cspan(), .mode = GradMode::skip});  // nothing to write to
  expect_throw("y has 5 elements, x has 4", [&] { kernels::cpu::cast<float, bf16>({.x = a.cspan(), .y = b.span()}); });
}

TEST_CASE("cast on tensors: the gradient comes back in the input's type, and adds up") {
  Context ctx;
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
