// tests/kernels/test_adamw.cpp — AdamW against its definition in double, over several steps.
#include "kernels/adamw/adamw.h"
#include "tests/support/backend.h"

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
  for (std::int64_t n : {0, 1, 17, 33, kEmulated ? 300 : 1009, kEmulated ? 1031 : 70001})
    for (int kind = 0; kind < 4; ++kind) for_each_variant([&] {
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
        backend::adamw(s);
        reference(p, m, v, g, s, no_decay);
      }
      expect_close("p", a.p, p, 1e-6, 1e-6);
      expect_close("m", a.m, m, 1e-6, 1e-7);
      expect_close("v", a.v, v, 2e-6, 1e-9);
      a.copy.check_guards("copy");
      for (std::int64_t i = 0; with_copy && i < n; ++i) REQUIRE(a.copy.cspan()[i] == bf16(a.p.cspan()[i]));
    });
}

TEST_CASE("adamw: the first step moves every element by lr against its gradient's sign, whatever its size") {
  Buffer<> p(4, 1.0f), m(4, 0.0f), v(4, 0.0f), g(4);
  g[0] = 1e-3f, g[1] = -1e3f, g[2] = 1e8f, g[3] = 0;
  backend::adamw({.p = p.span(), .m = m.span(), .v = v.span(), .g = g.cspan(), .lr = 0.25});
  expect_close("p", p, {0.75, 1.25, 0.75, 1.0}, 1e-4, 0);
}

TEST_CASE("adamw: a decay too small for one float product is not lost next to the step") {
  // p (1 - 1e-9) is p in f32; here decay and step are added before they are rounded to p.
  Buffer<> p(1, 1.0f), m(1, 0.0f), v(1, 0.0f), g(1, 1.0f);
  const double lr =
      0.3 * 0x1p-24;  // below 1 floats are 2^-24 apart: neither 0.3 of that for the decay nor for the step
  backend::adamw(
      {.p = p.span(), .m = m.span(), .v = v.span(), .g = g.cspan(), .lr = lr, .eps = 0, .weight_decay = 1});
  CHECK(p.cspan()[0] == 1.0f - 0x1p-24f);
}

// Two steps on arrays that begin `shift` elements into their memory.
namespace {
Arena stepped(std::int64_t n, std::int64_t shift, double grad_scale, std::vector<double> norm = {}, double max_norm = 0) {
  const std::vector<ElementRange> no_decay = {{3, n / 4}, {n / 2, n / 2 + 1}, {n / 2 + 2, n / 2 + 3}, {n - 100, n}};
  Arena whole(n + shift);
  const auto p = Buffer<>::random(n, 1), g = Buffer<>::random(n, 3);
  Buffer<> shifted_g(n + shift, 0);
  for (std::int64_t i = 0; i < n; ++i) whole.p[i + shift] = float(p[i]), shifted_g[i + shift] = float(g[i]);
  for (int step = 1; step <= 2; ++step)
    backend::adamw({.p = whole.p.span().slice(shift, n),
                    .m = whole.m.span().slice(shift, n),
                    .v = whole.v.span().slice(shift, n),
                    .g = shifted_g.cspan().slice(shift, n),
                    .copy = whole.copy.span().slice(shift, n),
                    .no_decay = no_decay,
                    .norm = norm,
                    .step = step,
                    .lr = 1e-3,
                    .weight_decay = 0.1,
                    .grad_scale = grad_scale,
                    .max_norm = max_norm});
  Arena r(n);
  for (std::int64_t i = 0; i < n; ++i)
    r.p[i] = whole.p[i + shift], r.m[i] = whole.m[i + shift], r.v[i] = whole.v[i + shift],
    r.copy[i] = whole.copy[i + shift];
  return r;
}
void expect_same(const Arena& a, const Arena& b) {
  expect_bitwise("p", a.p, b.p);
  expect_bitwise("m", a.m, b.m);
  expect_bitwise("v", a.v, b.v);
  expect_bitwise("copy", a.copy, b.copy);
}
}  // namespace

TEST_CASE("adamw: bits depend neither on the order of the work nor on where arrays begin") {
  const std::int64_t n = kEmulated ? 1501 : 200003;
  expect_order_free([&] {
    const Arena a = stepped(n, 0, 1);
    return std::tuple{a.p, a.m, a.v, a.copy};
  });
  if constexpr (kCuda) expect_same(stepped(n, 1, 1), stepped(n, 0, 1));  // the CPU's compiler may fuse differently
}

TEST_CASE("adamw: the norm clips gradients above the maximum") {
  const std::int64_t n = 300;
  expect_same(stepped(n, 0, 0.5, {4}, 1), stepped(n, 0, 0.5 * kernels::clip_factor(4, 1)));
  expect_same(stepped(n, 0, 0.5, {4}, 5), stepped(n, 0, 0.5));
  expect_same(stepped(n, 0, 0.5, {4}, 0), stepped(n, 0, 0.5));
}

TEST_CASE("adamw: nothing changes when the norm is not finite") {
  for (const double norm : {std::nan(""), HUGE_VAL})
    for (const double max_norm : {0.0, 1.0}) {
      const std::int64_t n = 300;
      const auto g = Buffer<>::random(n, 3);
      Arena a(n), before(n);
      a.copy = before.copy = Buffer<bf16>(n, 7);
      const std::vector<double> norms = {norm};
      backend::adamw({.p = a.p.span(), .m = a.m.span(), .v = a.v.span(), .g = g.cspan(), .copy = a.copy.span(),
                      .norm = norms, .lr = 0.1, .max_norm = max_norm});
      expect_same(a, before);
    }
}

TEST_CASE("adamw: wrong arguments are explained") {
  Arena a(8);
  Buffer<> g(8, 1.0f), short_g(7, 1.0f);
  const auto run = [&](auto change) {
    AdamWStep s{.p = a.p.span(), .m = a.m.span(), .v = a.v.span(), .g = g.cspan(), .lr = 1e-3};
    change(s);
    backend::adamw(s);
  };
  const std::vector<double> two = {1, 1};
  const std::vector<ElementRange> crossing = {{2, 5}, {4, 6}}, outside = {{6, 9}}, backwards = {{4, 2}};
  expect_throw("g 7", [&] { run([&](AdamWStep& s) { s.g = short_g.cspan(); }); });
  expect_throw("its copy 3", [&] { run([&](AdamWStep& s) { s.copy = a.copy.span().slice(0, 3); }); });
  expect_throw("count from 1, got 0", [&] { run([&](AdamWStep& s) { s.step = 0; }); });
  expect_throw("betas 1 and 0.999", [&] { run([&](AdamWStep& s) { s.beta1 = 1; }); });
  expect_throw("weight decay -1", [&] { run([&](AdamWStep& s) { s.weight_decay = -1; }); });
  expect_throw("norm has 2", [&] { run([&](AdamWStep& s) { s.norm = two; }); });
  if constexpr (kCuda) return;  // the ranges are in the device's memory: nobody looks at them first
  expect_throw("[4, 6) is not after 5", [&] { run([&](AdamWStep& s) { s.no_decay = crossing; }); });
  expect_throw("within 8 elements", [&] { run([&](AdamWStep& s) { s.no_decay = outside; }); });
  expect_throw("[4, 2)", [&] { run([&](AdamWStep& s) { s.no_decay = backwards; }); });
}
