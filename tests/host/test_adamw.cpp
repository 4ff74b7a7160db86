// tests/host/test_adamw.cpp — AdamW against its definition in double, over several steps.
#include <omp.h>

#include "kernels/adamw/adamw.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::AdamWStep;
using kernels::ElementRange;

namespace {

struct Arena {
  Buffer<> p, m, v;
  Buffer<bf16> copy;
  explicit Arena(std::int64_t n) : p(Buffer<>::random(n, 1)), m(n, 0), v(n, 0), copy(n) {}
};

bool inside(const std::vector<ElementRange>& ranges, std::int64_t i) {
  for (const auto& r : ranges)
    if (i >= r.begin && i < r.end) return true;
  return false;
}

// The definition, one element at a time, nothing shared with the kernel.
void reference(std::vector<double>& p, std::vector<double>& m, std::vector<double>& v, const Buffer<>& g,
               const AdamWStep& a, const std::vector<ElementRange>& no_decay) {
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double gi = a.grad_scale * g[std::int64_t(i)];
    p[i] -= a.lr * (inside(no_decay, std::int64_t(i)) ? 0 : a.weight_decay) * p[i];
    m[i] = a.beta1 * m[i] + (1 - a.beta1) * gi;
    v[i] = a.beta2 * v[i] + (1 - a.beta2) * gi * gi;
    const double mhat = m[i] / (1 - std::pow(a.beta1, double(a.step))),
                 vhat = v[i] / (1 - std::pow(a.beta2, double(a.step)));
    p[i] -= a.lr * mhat / (std::sqrt(vhat) + a.eps);
  }
}

std::vector<double> doubles(const Buffer<>& b) {
  std::vector<double> v;
  for (std::int64_t i = 0; i < b.size(); ++i) v.push_back(b[i]);
  return v;
}

}  // namespace

TEST_CASE("adamw: five steps equal the definition, with and without copy and exempt ranges") {
  for (std::int64_t n : {0, 1, 17, 33, 1009, 70001})
    for (int kind = 0; kind < 4; ++kind) {
      const bool with_copy = kind & 1, with_ranges = kind & 2;
      std::vector<ElementRange> no_decay;
      if (with_ranges && n >= 17) no_decay = {{0, 3}, {3, 3}, {5, 8}, {n / 2, n / 2 + 1}, {n - 2, n}};
      Arena a(n);
      auto p = doubles(a.p), m = doubles(a.m), v = doubles(a.v);
      for (int step = 1; step <= 5; ++step) {
        const auto g = Buffer<>::random(n, 10u + unsigned(step), 0, step == 3 ? 1e-4f : 1.0f);
        AdamWStep s{
            .p = a.p.span(), .m = a.m.span(), .v = a.v.span(), .g = g.cspan(), .no_decay = no_decay, .step = step};
        s.lr = 0.02, s.beta1 = 0.8, s.beta2 = 0.95, s.eps = 1e-3, s.weight_decay = 0.3, s.grad_scale = 0.7;
        if (with_copy) s.copy = a.copy.span();
        kernels::cpu::adamw(s);
        reference(p, m, v, g, s, no_decay);
      }
      expect_close("p", a.p, p, 1e-6, 1e-6);
      expect_close("m", a.m, m, 1e-6, 1e-7);
      expect_close("v", a.v, v, 2e-6, 1e-9);
      a.copy.check_guards("copy");
      for (std::int64_t i = 0; with_copy && i < n; ++i) REQUIRE(a.copy.cspan()[i] == bf16(a.p.cspan()[i]));
    }
}

TEST_CASE("adamw: the first step moves every element by lr against its gradient's sign, whatever its size") {
  Buffer<> p(4, 1.0f), m(4, 0.0f), v(4, 0.0f), g(4);
  g[0] = 1e-3f, g[1] = -1e3f, g[2] = 1e8f, g[3] = 0;
  kernels::cpu::adamw({.p = p.span(), .m = m.span(), .v = v.span(), .g = g.cspan(), .lr = 0.25});
  expect_close("p", p, {0.75, 1.25, 0.75, 1.0}, 1e-4, 0);
}

TEST_CASE("adamw: a decay too small for one float product is not lost next to the step") {
  // p (1 - 1e-9) is p in f32; here decay and step are added before they are rounded to p.
  Buffer<> p(1, 1.0f), m(1, 0.0f), v(1, 0.0f), g(1, 1.0f);
  const double lr =
      0.3 * 0x1p-24;  // below 1 floats are 2^-24 apart: neither 0.3 of that for the decay nor for the step
  kernels::cpu::adamw(
      {.p = p.span(), .m = m.span(), .v = v.span(), .g = g.cspan(), .lr = lr, .eps = 0, .weight_decay = 1});
  CHECK(p.cspan()[0] == 1.0f - 0x1p-24f);
}

TEST_CASE("adamw: one and two threads agree bitwise") {
  const std::int64_t n = 200003;
  const std::vector<ElementRange> no_decay = {{32760, 32780}, {65536, 98304}, {100000, 200000}};
  Arena a(n), b(n);
  const auto g = Buffer<>::random(n, 3);
  for (Arena* arena : {&a, &b}) {
    const int before = omp_get_max_threads();
    omp_set_num_threads(arena == &a ? 1 : 2);
    for (int step = 1; step <= 2; ++step)
      kernels::cpu::adamw({.p = arena->p.span(),
                           .m = arena->m.span(),
                           .v = arena->v.span(),
                           .g = g.cspan(),
                           .copy = arena->copy.span(),
                           .no_decay = no_decay,
                           .step = step,
                           .lr = 1e-3,
                           .weight_decay = 0.1});
    omp_set_num_threads(before);
  }
  expect_bitwise("p", a.p, b.p);
  expect_bitwise("m", a.m, b.m);
  expect_bitwise("v", a.v, b.v);
  expect_bitwise("copy", a.copy, b.copy);
}

TEST_CASE("adamw: wrong arguments are explained") {
  Arena a(8);
  Buffer<> g(8, 1.0f), short_g(7, 1.0f);
  const auto run = [&](auto change) {
    AdamWStep s{.p = a.p.span(), .m = a.m.span(), .v = a.v.span(), .g = g.cspan(), .lr = 1e-3};
    change(s);
    kernels::cpu::adamw(s);
  };
  const std::vector<ElementRange> crossing = {{2, 5}, {4, 6}}, outside = {{6, 9}}, backwards = {{4, 2}};
  expect_throw("g 7", [&] { run([&](AdamWStep& s) { s.g = short_g.cspan(); }); });
  expect_throw("its copy 3", [&] { run([&](AdamWStep& s) { s.copy = a.copy.span().slice(0, 3); }); });
  expect_throw("count from 1, got 0", [&] { run([&](AdamWStep& s) { s.step = 0; }); });
  expect_throw("betas 1 and 0.999", [&] { run([&](AdamWStep& s) { s.beta1 = 1; }); });
  expect_throw("weight decay -1", [&] { run([&](AdamWStep& s) { s.weight_decay = -1; }); });
  expect_throw("[4, 6) is not after 5", [&] { run([&](AdamWStep& s) { s.no_decay = crossing; }); });
  expect_throw("within 8 elements", [&] { run([&](AdamWStep& s) { s.no_decay = outside; }); });
  expect_throw("[4, 2)", [&] { run([&](AdamWStep& s) { s.no_decay = backwards; }); });
}
