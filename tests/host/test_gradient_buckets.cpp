// tests/host/test_gradient_buckets.cpp — gradients are summed over the processes, in a fixed order, as soon as they are there.
#include "layers/gradient_buckets.h"

#include <algorithm>

#include "layers/functional/all_gather.h"
#include "layers/functional/gelu.h"
#include "layers/functional/linear.h"
#include "layers/functional/losses.h"
#include "tests/support/gradcheck.h"
#include "tests/support/ranks.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

constexpr int kLayers = 5;
constexpr std::int64_t kWidth = 24, kRows = 10;

// linear, gelu, linear, … and a parameter that no backward reaches.
std::vector<ParameterSpec> specs() {
  std::vector<ParameterSpec> s;
  for (int i = 0; i < kLayers; ++i) {
    s.push_back({str("layer", i, ".weight"), {i + 1 < kLayers ? kWidth : 1, kWidth}, Init::truncated_normal});
    s.push_back({str("layer", i, ".bias"), {i + 1 < kLayers ? kWidth : 1}, Init::ones});
    if (i == 2) s.push_back({"unused", {7}, Init::ones});
  }
  return s;
}
struct Net {
  Context ctx;
  ParameterSet parameters{ctx, specs()};
  Net() { parameters.initialise(1); }
  // Of rows [first, first + n) of a batch of kRows.
  Tensor operator()(std::int64_t first, std::int64_t n) {
    const auto x = Buffer<float>::random(kRows * kWidth, 3);
    Tensor t = Tensor::from_host(ctx, {n, kWidth}, std::span(x.cspan().ptr + first * kWidth, std::size_t(n * kWidth)));
    for (int i = 0; i < kLayers; ++i) {
      t = fn::linear(t, parameters[str("layer", i, ".weight")], parameters[str("layer", i, ".bias")]);
      if (i + 1 < kLayers) t = fn::gelu(t);
    }
    return t.reshape({n});
  }
  Tensor labels() {
    std::vector<float> y(kRows);
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = float(i % 3 == 0);
    return Tensor::from_host(ctx, {kRows}, y);
  }
};

// The gradients of one process.
std::vector<float> whole() {
  Net net;
  fn::bce(net(0, kRows), net.labels(), 0).backward();
  net.parameters.complete_gradients();
  return net.parameters.gradients().to_host();
}

std::vector<std::int64_t> bounds(int world) {
  std::vector<std::int64_t> b;
  for (int r = 0; r <= world; ++r) b.push_back(kRows * r / world);
  return b;
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double d = 0, n = 0;
  for (std::size_t i = 0; i < a.size(); ++i) d += std::pow(double(a[i]) - b[i], 2), n += std::pow(double(b[i]), 2);
  return std::sqrt(d / n);
}

}  // namespace

TEST_CASE("gradient_buckets: shares of a batch give the gradients of the whole batch, whatever the buckets") {
  const auto want = whole();
  for (const int world : {1, 2, 3})
    for (const std::int64_t bytes : {1, 5000, 1 << 20}) {
      std::mutex mutex;
      std::vector<std::vector<float>> all;
      on_ranks(world, [&](Communicator& comm) {
        Net net;
        GradientBuckets buckets(net.parameters, comm, {.bytes = bytes});
        const auto first = bounds(world);
        for (int round = 0; round < 2; ++round) {  // nothing is left of the first
          net.parameters.zero_grad();
          const std::int64_t at = first[std::size_t(comm.rank())], n = first[std::size_t(comm.rank()) + 1] - at;
          buckets.begin();
          fn::bce(fn::all_gather_rows(comm, net(at, n), first), net.labels(), 0).backward();
          buckets.finish();
        }
        const std::lock_guard lock(mutex);
        all.push_back(net.parameters.gradients().to_host());
      });
      CAPTURE(world);
      CAPTURE(bytes);
      for (const auto& got : all) {
        CHECK(got == all[0]);  // to the last bit
        CHECK(distance(got, want) < 1e-6);
      }
    }
}

TEST_CASE("gradient_buckets: they cover the arena from its end, a parameter is never cut") {
  Net net;
  const auto comm = single_process();
  for (const std::int64_t bytes : {1, 3000, 1 << 20}) {
    const GradientBuckets buckets(net.parameters, *comm, {.bytes = bytes});
    std::int64_t end = net.parameters.arena_size();
    std::size_t seen = 0;
    for (const auto& b : buckets.buckets()) {
      CHECK(b.end == end);
      end = b.begin;
      CHECK(!b.parameters.empty());
      for (const std::size_t i : b.parameters) {
        const auto& p = net.parameters.all()[i];
        CHECK(p.offset >= b.begin);
        CHECK(p.offset + p.spec.shape.numel() <= b.end);
        ++seen;
      }
      if (&b != &buckets.buckets().back()) CHECK((b.end - b.begin) * 4 >= bytes);
    }
    CHECK(end == 0);
    CHECK(seen == net.parameters.all().size());
    if (bytes == 1) CHECK(buckets.buckets().size() == seen);
    if (bytes == 1 << 20) CHECK(buckets.buckets().size() == 1);
  }
  CHECK(GradientBuckets(net.parameters, *comm, {.bytes = 3000, .type = DType::bf16}).buckets().size() < GradientBuckets(net.parameters, *comm, {.bytes = 3000}).buckets().size());
  expect_throw("buckets of 0 bytes", [&] { GradientBuckets(net.parameters, *comm, {.bytes = 0}); });
  expect_throw("sums of gradients in i32", [&] { GradientBuckets(net.parameters, *comm, {.type = DType::i32}); });
}

TEST_CASE("gradient_buckets: a sum begins before backward reaches the layers in front, in the same order on every rank") {
  std::mutex mutex;
  std::vector<std::vector<std::string>> events;
  on_ranks(2, [&](Communicator& comm) {
    Net net;
    std::vector<std::string> mine;
    GradientBuckets buckets(net.parameters, comm, {.bytes = 1});
    buckets.on_begin([&](std::size_t b) { mine.push_back("sum " + net.parameters.all()[buckets.buckets()[b].parameters[0]].spec.name); });
    // The buckets own the parameters' hooks: the input of the first layer tells when backward has come there.
    const auto first = bounds(2);
    const std::int64_t at = first[std::size_t(comm.rank())], n = first[std::size_t(comm.rank()) + 1] - at;
    const auto x = Buffer<float>::random(n * kWidth, 3);
    Tensor input = Tensor::from_host(net.ctx, {n, kWidth}, std::span(x.cspan().ptr, std::size_t(x.cspan().len)));
    input.require_grad();
    input.set_grad_hook([&](Tensor&) { mine.push_back("backward is at the input"); });
    Tensor t = input;
    for (int i = 0; i < kLayers; ++i) t = fn::linear(t, net.parameters[str("layer", i, ".weight")], net.parameters[str("layer", i, ".bias")]);
    buckets.begin();
    fn::bce(fn::all_gather_rows(comm, t.reshape({n}), first), net.labels(), 0).backward();
    mine.push_back("backward has ended");
    buckets.finish();
    const std::lock_guard lock(mutex);
    events.push_back(mine);
  });
  REQUIRE(events.size() == 2);
  const auto at = [](const std::vector<std::string>& e, const std::string& what) { return std::find(e.begin(), e.end(), what) - e.begin(); };
  for (const auto& e : events) {
    CHECK(e == events[0]);
    CHECK(e.size() == specs().size() + 2);
    CHECK(at(e, "sum layer4.bias") == 0);
    CHECK(at(e, "sum layer3.weight") < at(e, "backward is at the input"));
    // What backward never reaches holds up those behind it until the end: their order is fixed.
    CHECK(at(e, "sum unused") > at(e, "backward has ended"));
    CHECK(at(e, "sum layer2.bias") == at(e, "sum unused") + 1);
  }
}

TEST_CASE("gradient_buckets: bf16 on the way, a process without rows, a backward of somebody else's") {
  const auto want = whole();
  std::mutex mutex;
  std::vector<std::vector<float>> all, rounded;
  on_ranks(3, [&](Communicator& comm) {
    Net net;
    const std::vector<std::int64_t> first{0, 4, 4, kRows};
    const std::int64_t at = first[std::size_t(comm.rank())], n = first[std::size_t(comm.rank()) + 1] - at;
    for (const DType type : {DType::f32, DType::bf16}) {
      net.parameters.zero_grad();
      GradientBuckets buckets(net.parameters, comm, {.bytes = 3000, .type = type});
      fn::bce(net(0, kRows), net.labels(), 0).backward();  // not between begin() and finish(): nothing is sent
      net.parameters.zero_grad();
      buckets.begin();
      const Tensor mine = n > 0 ? net(at, n) : Tensor::empty(net.ctx, {0});
      Tensor loss = fn::bce(fn::all_gather_rows(comm, mine, first), net.labels(), 0);
      if (n > 0) loss.backward();
      buckets.finish();
      const std::lock_guard lock(mutex);
      (type == DType::f32 ? all : rounded).push_back(net.parameters.gradients().to_host());
    }
  });
  REQUIRE(all.size() == 3);
  for (const auto& got : all) CHECK(distance(got, want) < 1e-6);
  for (const auto& got : rounded) {
    CHECK(got == rounded[0]);
    CHECK(distance(got, want) > 1e-5);  // it is rounded …
    CHECK(distance(got, want) < 1e-2);  // … to eight bits
  }
}

TEST_CASE("gradient_buckets: an error in backward gives up the sums that have begun: nobody writes to what is gone, nobody waits") {
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> said(2);
  on_ranks(2, [&](Communicator& comm) {
    const auto r = std::size_t(comm.rank());
    try {
      Net net;
      GradientBuckets buckets(net.parameters, comm, {.bytes = 1});
      buckets.on_begin([&](std::size_t b) {
        if (r == 1 && b == 3) throw Error("no such photograph");
      });
      buckets.begin();
      fn::bce(fn::all_gather_rows(comm, net(5 * comm.rank(), 5), {0, 5, kRows}), net.labels(), 0).backward();
      buckets.finish();
    } catch (const Error& e) {
      said[r] = e.what();
    }
    expect_throw("rank ", [&] { comm.finish(); });
  }, std::chrono::seconds(30), Leaving::each_on_its_own);
  CHECK(said[1] == "no such photograph");
  CHECK(said[0].find("rank 0 of 2: all_reduce_sum of ") == 0);
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
}

TEST_CASE("all_gather_rows: rows of every rank in order, and the gradient of the own ones") {
  for (const int world : {1, 2, 4})
    on_ranks(world, [&](Communicator& comm) {
      Context ctx;
      std::vector<std::int64_t> first{0};
      for (int r = 0; r < world; ++r) first.push_back(first.back() + (r == 1 ? 0 : r + 2));  // rank 1 has nothing
      const auto r = std::size_t(comm.rank());
      const std::int64_t mine = first[r + 1] - first[r], rows = first.back();
      const auto values = Buffer<float>::random(rows * 3, 5);
      Tensor x = Tensor::from_host(ctx, {mine, 3}, std::span(values.cspan().ptr + first[r] * 3, std::size_t(mine * 3)));
      x.require_grad();
      const Tensor y = fn::all_gather_rows(comm, x, first);
      CHECK(y.shape() == Shape{rows, 3});
      const auto got = y.to_host();
      CHECK(std::equal(got.begin(), got.end(), values.cspan().begin(), values.cspan().end()));
      const auto seed = Buffer<float>::random(rows * 3, 6);
      Tensor(y).backward(Tensor::from_host(ctx, {rows, 3}, std::span(seed.cspan().ptr, std::size_t(rows * 3))));
      if (mine == 0) return;
      const auto dx = x.grad().to_host();
      CHECK(std::equal(dx.begin(), dx.end(), seed.cspan().begin() + first[r] * 3));
    });
  Context ctx;
  const auto comm = single_process();
  const Tensor x = Tensor::zeros(ctx, {3, 2});
  expect_throw("3 bounds of the shares of 1 processes", [&] { fn::all_gather_rows(*comm, x, {0, 3, 3}); });
  expect_throw("[3, 2] f32 for 4 rows", [&] { fn::all_gather_rows(*comm, x, {0, 4}); });
}

TEST_CASE("supcon: with the anchors shared out, the loss and the own rows' gradient have the bits of one process's") {
  constexpr std::int64_t kWide = 6;
  for (const auto form : {fn::SupConForm::log_outside, fn::SupConForm::soft})
    on_ranks(3, [&](Communicator& comm) {
      Context ctx;
      const std::vector<std::int64_t> first{0, 7, 7, 12};  // rank 1 has nothing
      const auto r = std::size_t(comm.rank());
      const std::int64_t rows = first.back(), mine = first[r + 1] - first[r];
      const auto values = Buffer<float>::random(rows * kWide, 5, 0.3f);
      std::vector<float> labels;
      for (std::int64_t i = 0; i < rows; ++i) labels.push_back(form == fn::SupConForm::soft && i == 3 ? 0.3f : float(i % 2));
      const Tensor y = Tensor::from_host(ctx, {rows}, labels);
      Tensor whole = Tensor::from_host(ctx, {rows, kWide}, std::span(values.cspan().ptr, std::size_t(rows * kWide)));
      whole.require_grad();
      Tensor expected = fn::supcon(whole, y, form, 0.5f);
      expected.backward();
      Tensor x = Tensor::from_host(ctx, {mine, kWide}, std::span(values.cspan().ptr + first[r] * kWide, std::size_t(mine * kWide)));
      x.require_grad();
      Tensor loss = fn::supcon(fn::all_gather_rows(comm, x, first), y, form, 0.5f, {&comm, first});
      BF_CHECK(loss.item() == expected.item(), loss.item(), " instead of ", expected.item());
      loss.backward();
      if (mine == 0) return;
      const auto dx = x.grad().to_host(), all = whole.grad().to_host();
      BF_CHECK(std::equal(dx.begin(), dx.end(), all.begin() + first[r] * kWide), "rank ", r, ": another gradient");
    });
  Context ctx;
  const auto comm = single_process();
  expect_throw("3 bounds of the shares of 1 processes in 2 rows", [&] {
    fn::supcon(Tensor::zeros(ctx, {2, 3}), Tensor::zeros(ctx, {2}), fn::SupConForm::l_out, 1, {comm.get(), {0, 1, 2}});
  });
  expect_throw("2 bounds of the shares of 1 processes in 2 rows", [&] {
    fn::supcon(Tensor::zeros(ctx, {2, 3}), Tensor::zeros(ctx, {2}), fn::SupConForm::l_out, 1, {comm.get(), {0, 1}});
  });
}
