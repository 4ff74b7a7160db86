// tests/kernels/test_sgd.cpp — SGD with momentum against its definition in double, over several steps.
#include "kernels/sgd/sgd.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;
using kernels::ElementRange;
using kernels::SgdStep;

TEST_CASE("sgd: four steps equal the definition; the first step ignores what the buffer held") {
  for (std::int64_t n : {0, 1, 17, 33, kEmulated ? 300 : 1009, kEmulated ? 1031 : 40009})
    for (int kind = 0; kind < 4; ++kind) for_each_variant([&] {
      const bool with_copy = kind & 1, with_ranges = kind & 2;
      std::vector<ElementRange> no_decay;
      if (with_ranges && n >= 17) no_decay = {{1, 4}, {n - 3, n}};
      auto p = Buffer<>::random(n, 1);
      Buffer<> buffer(n);  // NaN
      Buffer<bf16> copy(n);
      std::vector<double> rp, rb(std::size_t(n), 0.0);
      for (std::int64_t i = 0; i < n; ++i) rp.push_back(p[i]);
      for (int step = 0; step < 4; ++step) {
        const auto g = Buffer<>::random(n, 20u + unsigned(step));
        SgdStep s{.p = p.span(), .buffer = buffer.span(), .g = g.cspan(), .no_decay = no_decay, .first = step == 0};
        s.lr = 0.1, s.momentum = 0.9, s.weight_decay = 0.2, s.grad_scale = 1.5;
        if (with_copy) s.copy = copy.span();
        backend::sgd(s);
        for (std::int64_t i = 0; i < n; ++i) {
          const bool exempt = with_ranges && n >= 17 && ((i >= 1 && i < 4) || i >= n - 3);
          double& b = rb[std::size_t(i)];
          const double gi = 1.5 * g[i] + (exempt ? 0 : 0.2) * rp[std::size_t(i)];
          b = step == 0 ? gi : 0.9 * b + gi;
          rp[std::size_t(i)] -= 0.1 * b;
        }
      }
      expect_close("p", p, rp, 1e-6, 2e-6);
      expect_close("buffer", buffer, rb, 1e-6, 2e-6);
      copy.check_guards("copy");
      for (std::int64_t i = 0; with_copy && i < n; ++i) REQUIRE(copy.cspan()[i] == bf16(p.cspan()[i]));
    });
}

namespace {
struct State {
  Buffer<> p, buffer;
  Buffer<bf16> copy;
};
// A step on arrays that begin `shift` elements into their memory.
State stepped(std::int64_t n, std::int64_t shift, double grad_scale, std::vector<double> norm = {}, double max_norm = 0) {
  const std::vector<ElementRange> no_decay = {{n / 3, n / 2}};
  const auto p = Buffer<>::random(n, 1), buffer = Buffer<>::random(n, 2), g = Buffer<>::random(n, 3);
  State whole{Buffer<>(n + shift), Buffer<>(n + shift), Buffer<bf16>(n + shift, 7)}, r{p, buffer, Buffer<bf16>(n)};
  Buffer<> shifted_g(n + shift);
  for (std::int64_t i = 0; i < n; ++i)
    whole.p[i + shift] = float(p[i]), whole.buffer[i + shift] = float(buffer[i]), shifted_g[i + shift] = float(g[i]);
  backend::sgd({.p = whole.p.span().slice(shift, n),
                .buffer = whole.buffer.span().slice(shift, n),
                .g = shifted_g.cspan().slice(shift, n),
                .copy = whole.copy.span().slice(shift, n),
                .no_decay = no_decay,
                .norm = norm,
                .lr = 0.1,
                .momentum = 0.9,
                .weight_decay = 0.1,
                .grad_scale = grad_scale,
                .max_norm = max_norm});
  for (std::int64_t i = 0; i < n; ++i)
    r.p[i] = whole.p[i + shift], r.buffer[i] = whole.buffer[i + shift], r.copy[i] = whole.copy[i + shift];
  return r;
}
void expect_same(const State& a, const State& b) {
  expect_bitwise("p", a.p, b.p);
  expect_bitwise("buffer", a.buffer, b.buffer);
  expect_bitwise("copy", a.copy, b.copy);
}
}  // namespace

TEST_CASE("sgd: bits depend neither on the order of the work nor on where arrays begin") {
  const std::int64_t n = kEmulated ? 1501 : 100003;
  expect_order_free([&] {
    const State s = stepped(n, 0, 1);
    return std::tuple{s.p, s.buffer, s.copy};
  });
  if constexpr (kCuda) expect_same(stepped(n, 1, 1), stepped(n, 0, 1));  // the CPU's compiler may fuse differently
}

TEST_CASE("sgd: the norm clips, and stops the step when it is not finite") {
  const std::int64_t n = 300;
  expect_same(stepped(n, 0, 0.5, {4}, 1), stepped(n, 0, 0.5 * kernels::clip_factor(4, 1)));
  expect_same(stepped(n, 0, 0.5, {4}, 5), stepped(n, 0, 0.5));
  expect_same(stepped(n, 0, 0.5, {4}, 0), stepped(n, 0, 0.5));
  for (const double norm : {std::nan(""), HUGE_VAL})
    for (const double max_norm : {0.0, 1.0})
      expect_same(stepped(n, 0, 1, {norm}, max_norm), {Buffer<>::random(n, 1), Buffer<>::random(n, 2), Buffer<bf16>(n, 7)});
}

TEST_CASE("sgd: wrong arguments are explained") {
  Buffer<> p(5, 1.0f), b(5, 1.0f), g(5, 1.0f), four(4, 1.0f);
  Buffer<bf16> copy(6);
  const std::vector<ElementRange> outside = {{0, 6}};
  expect_throw("buffer 4", [&] { backend::sgd({.p = p.span(), .buffer = four.span(), .g = g.cspan()}); });
  expect_throw("g 4", [&] { backend::sgd({.p = p.span(), .buffer = b.span(), .g = four.cspan()}); });
  expect_throw("its copy 6",
               [&] { backend::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .copy = copy.span()}); });
  expect_throw("momentum -1",
               [&] { backend::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .momentum = -1}); });
  const std::vector<double> two = {1, 1};
  expect_throw("norm has 2", [&] { backend::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .norm = two}); });
  if constexpr (kCuda) return;  // the ranges are in the device's memory: nobody looks at them first
  expect_throw("within 5",
               [&] { backend::sgd({.p = p.span(), .buffer = b.span(), .g = g.cspan(), .no_decay = outside}); });
}
