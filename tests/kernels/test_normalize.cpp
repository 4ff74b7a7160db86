// tests/kernels/test_normalize.cpp — bytes to network input against the definition in double.
#include "kernels/normalize/normalize.h"
#include "tests/support/backend.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::Normalize;

TEST_CASE_TEMPLATE("normalize: equals the definition", T, float, bf16) {
  for_each_variant([] {
    for (const std::int64_t pixels : {0, 1, 15, 16, 17, 33, 1009, kEmulated ? 2003 : 20011})
      for (const std::int64_t offset : {0, 1}) {  // shifted: the arrays begin where no vector may
        const std::int64_t n = 3 * pixels;
        const Bytes x = Bytes::random(n + offset, 1);
        Buffer<T> y(n + offset, 5);
        const Normalize<T> a{
            x.cspan().slice(offset, n), y.span().slice(offset, n), {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
        backend::normalize(a);
        std::vector<double> want(std::size_t(offset), 5);
        for (std::int64_t i = 0; i < n; ++i)
          want.push_back((x[i + offset] / 255.0 - double(a.mean[std::size_t(i % 3)])) /
                         double(a.std[std::size_t(i % 3)]));
        expect_close("y", y, want, sizeof(T) == 2 ? 1.0 / 256 : 5e-7, 5e-7);
      }
  });
}

TEST_CASE("normalize: with mean 0 and std 1 it is exactly byte / 255, for every byte") {
  Bytes x(768);
  for (int v = 0; v < 768; ++v) x.span()[v] = std::uint8_t(v / 3);
  Buffer<> y(768);
  backend::normalize(Normalize<float>{x.cspan(), y.span()});
  for (int v = 0; v < 768; ++v) REQUIRE(y.cspan()[v] == float(v / 3) / 255.0f);
  Buffer<bf16> z(768);
  backend::normalize(Normalize<bf16>{x.cspan(), z.span()});
  for (int v = 0; v < 768; ++v) REQUIRE(z.cspan()[v] == bf16(float(v / 3) / 255.0f));
}

TEST_CASE("normalize does not depend on the order of the work") {
  const Bytes x = Bytes::random(3 * (kEmulated ? 1021 : 50021), 2);
  expect_order_free([&] {
    Buffer<> y(x.size());
    backend::normalize(Normalize<float>{x.cspan(), y.span(), {0.5f, 0.4f, 0.3f}, {0.2f, 0.3f, 0.4f}});
    return std::tuple{y};
  });
}

TEST_CASE_TEMPLATE("normalize has the bits of its definition in f32", T, float,
                   bf16) {  // everywhere: each step is rounded
  const Bytes x = Bytes::random(3 * 501, 3);
  Buffer<T> y(x.size()), want(x.size());
  const Normalize<T> a{x.cspan(), y.span(), {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
  backend::normalize(a);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::size_t c = std::size_t(i % 3);
    const volatile float share = float(x[i]) / 255.0f, centred = share - a.mean[c];
    want[i] = from_f32<T>(centred / a.std[c]);
  }
  expect_bitwise("y", y, want);
}

TEST_CASE("normalize: wrong arguments are explained") {
  Bytes x(6), odd(4);
  Buffer<> y(6), four(4);
  expect_throw("6 bytes of RGB for 4 values", [&] { backend::normalize(Normalize<float>{x.cspan(), four.span()}); });
  expect_throw("4 bytes of RGB", [&] { backend::normalize(Normalize<float>{odd.cspan(), four.span()}); });
  expect_throw("channel 1 has mean 0 and std 0", [&] {
    backend::normalize(Normalize<float>{x.cspan(), y.span(), {0, 0, 0}, {1, 0, 1}});
  });
}
