// tests/host/test_normalize.cpp — bytes to network input against the definition in double.
#include <omp.h>

#include "kernels/normalize/normalize.h"
#include "tests/support/bytes.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::Normalize;

TEST_CASE_TEMPLATE("normalize: equals the definition", T, float, bf16) {
  for (std::int64_t pixels : {0, 1, 15, 16, 17, 33, 1009, 20011}) {
    const Bytes x = Bytes::random(3 * pixels, 1);
    Buffer<T> y(3 * pixels);
    const Normalize<T> a{x.cspan(), y.span(), {0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}};
    kernels::cpu::normalize(a);
    std::vector<double> want;
    for (std::int64_t i = 0; i < 3 * pixels; ++i)
      want.push_back((x[i] / 255.0 - double(a.mean[std::size_t(i % 3)])) / double(a.std[std::size_t(i % 3)]));
    expect_close("y", y, want, sizeof(T) == 2 ? 1.0 / 256 : 5e-7, 5e-7);
  }
}

TEST_CASE("normalize: with mean 0 and std 1 it is exactly byte / 255, for every byte") {
  Bytes x(768);
  for (int v = 0; v < 768; ++v) x.span()[v] = std::uint8_t(v / 3);
  Buffer<> y(768);
  kernels::cpu::normalize(Normalize<float>{x.cspan(), y.span()});
  for (int v = 0; v < 768; ++v) REQUIRE(y.cspan()[v] == float(v / 3) / 255.0f);
  Buffer<bf16> z(768);
  kernels::cpu::normalize(Normalize<bf16>{x.cspan(), z.span()});
  for (int v = 0; v < 768; ++v) REQUIRE(z.cspan()[v] == bf16(float(v / 3) / 255.0f));
}

TEST_CASE("normalize: one and two threads agree bitwise") {
  const Bytes x = Bytes::random(3 * 50021, 2);
  Buffer<> a(x.size()), b(x.size());
  const int before = omp_get_max_threads();
  omp_set_num_threads(1);
  kernels::cpu::normalize(Normalize<float>{x.cspan(), a.span(), {0.5f, 0.4f, 0.3f}, {0.2f, 0.3f, 0.4f}});
  omp_set_num_threads(2);
  kernels::cpu::normalize(Normalize<float>{x.cspan(), b.span(), {0.5f, 0.4f, 0.3f}, {0.2f, 0.3f, 0.4f}});
  omp_set_num_threads(before);
  expect_bitwise("y", a, b);
}

TEST_CASE("normalize: wrong arguments are explained") {
  Bytes x(6), odd(4);
  Buffer<> y(6), four(4);
  expect_throw("6 bytes of RGB for 4 values", [&] {
    kernels::cpu::normalize(Normalize<float>{x.cspan(), four.span()});
  });
  expect_throw("4 bytes of RGB", [&] { kernels::cpu::normalize(Normalize<float>{odd.cspan(), four.span()}); });
  expect_throw("channel 1 has mean 0 and std 0", [&] {
    kernels::cpu::normalize(Normalize<float>{x.cspan(), y.span(), {0, 0, 0}, {1, 0, 1}});
  });
}
