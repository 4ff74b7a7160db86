// tests/host/test_tensor.cpp — handles, views, the allocator, and the backward walk.
#include "engine/autograd.h"
#include "engine/cuda_runtime.h"
#include "engine/philox.h"
#include "tests/support/gradcheck.h"
#include "tests/support/support.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// y = a * b, element by element: the smallest operation with two inputs.
struct MulNode final : Node {
  const char* name() const override { return "mul"; }
  void backward(const Tensor& dy) override {
    for (int k = 0; k < 2; ++k) {
      const auto slot = inputs[std::size_t(k)].grad_slot();
      if (slot.mode == GradMode::skip) continue;
      const auto d = slot.span<float>();
      const auto other = inputs[std::size_t(1 - k)].cspan(), g = dy.cspan();
      for (std::int64_t i = 0; i < d.len; ++i) d[i] = (slot.mode == GradMode::add ? d[i] : 0) + g[i] * other[i];
    }
  }
};
Tensor mul(const Tensor& a, const Tensor& b) {
  Context& ctx = a.context();
  Tensor y = Tensor::empty(ctx, a.shape());
  for (std::int64_t i = 0; i < y.numel(); ++i) y.span()[i] = a.cspan()[i] * b.cspan()[i];
  if (needs_grad(ctx, a, b)) {
    auto n = std::make_shared<MulNode>();
    n->inputs = {a, b};
    y.set_node(std::move(n));
  }
  return y;
}
Tensor scalar(Context& ctx, float v) { return Tensor::full(ctx, {1}, v); }

}  // namespace

TEST_CASE("tensor: shapes, dtypes and views say what is wrong") {
  Context ctx;
  const Tensor t = Tensor::zeros(ctx, {2, 3, 4});
  CHECK(t.shape()[-1] == 4);
  CHECK(t.shape().rows() == 6);
  CHECK(t.shape().with_last(7).str() == "[2, 3, 7]");
  expect_throw("axis 3 of [2, 3, 4]", [&] { t.shape()[3]; });
  expect_throw("tensor of f32 read as bf16", [&] { t.span<bf16>(); });
  expect_throw("5 values for shape [2, 3]", [&] { Tensor::from_host(ctx, {2, 3}, std::vector<float>(5)); });
  expect_throw("at most 5", [&] { Tensor::zeros(ctx, {1, 1, 1, 1, 1, 1}); });
  expect_throw("view [4] at 21 of [2, 3, 4]", [&] { Tensor::view(t, 21, {4}); });
  Tensor v = Tensor::view(t, 20, {4});
  v.span()[0] = 5;
  CHECK(t.to_host()[20] == 5);
}

TEST_CASE("tensor: bf16 rounds to nearest even and keeps NaN") {
  CHECK(float(bf16(1.0f)) == 1.0f);
  CHECK(float(bf16(1.0f + 0x1p-8f)) == 1.0f);                // a tie goes to even
  CHECK(float(bf16(1.0f + 3 * 0x1p-8f)) == 1.0f + 0x1p-6f);  // and here even is up
  CHECK(std::isnan(float(bf16(std::nanf("")))));
  CHECK(std::isinf(float(bf16(3.4e38f))));
}

TEST_CASE("autograd: a tensor used twice collects both gradients, and a second backward is refused") {
  Context ctx;
  Tensor x = scalar(ctx, 3).require_grad(), w = scalar(ctx, 2).require_grad();
  Tensor y = mul(mul(x, w), x);  // w x^2
  y.backward();
  CHECK(x.grad().item() == 12);  // 2 w x
  CHECK(w.grad().item() == 9);
  expect_throw("no recorded operation", [&] { y.backward(); });
}

TEST_CASE("autograd: gradients add up over backwards until zero_grad, and a fixed buffer is reused") {
  Context ctx;
  Tensor x = scalar(ctx, 3).require_grad(), w = scalar(ctx, 2), buffer = scalar(ctx, 77);
  x.set_grad_buffer(buffer);
  mul(x, w).backward();
  CHECK(buffer.item() == 2);  // written, not added to the 77
  mul(x, w).backward();
  CHECK(buffer.item() == 4);
  x.zero_grad();
  CHECK_FALSE(x.grad());
  mul(x, w).backward();
  CHECK(buffer.item() == 2);
}

TEST_CASE("autograd: no-grad records nothing, detach and reshape keep the data") {
  Context ctx;
  Tensor x = scalar(ctx, 3).require_grad();
  {
    NoGrad guard(ctx);
    CHECK_FALSE(mul(x, x).requires_grad());
  }
  CHECK_FALSE(x.detach().requires_grad());
  CHECK(x.detach().shares_memory_with(x));
  Tensor y = mul(x.reshape({1, 1}), Tensor::full(ctx, {1, 1}, 4)).reshape({1});
  y.backward();
  CHECK(x.grad().item() == 4);
}

TEST_CASE("autograd: a leaf that changed its mind since forward gets no gradient") {
  Context ctx;
  Tensor x = Tensor::full(ctx, {2}, 3).require_grad();
  const Tensor y = x.reshape({1, 2});
  x.require_grad(false);
  Tensor(y).backward(Tensor::full(ctx, {1, 2}, 1));
  CHECK(!x.grad());
}

TEST_CASE("autograd: a hook runs once per backward, after the last use of its parameter") {
  Context ctx;
  Tensor x = scalar(ctx, 3).require_grad(), w = scalar(ctx, 2).require_grad();
  std::vector<float> seen;
  w.set_grad_hook([&](Tensor& p) { seen.push_back(p.grad().item()); });
  mul(mul(w, x), w).backward();
  CHECK(seen == std::vector<float>{12});
  w.zero_grad();
  mul(w, x).backward();
  CHECK(seen == std::vector<float>{12, 3});
}

TEST_CASE("autograd: an input that is not there hides none behind it") {
  struct SecondNode final : Node {
    const char* name() const override { return "second"; }
    void backward(const Tensor& dy) override { inputs[1].grad_slot().span<float>()[0] = dy.item(); }
  };
  Context ctx;
  Tensor x = scalar(ctx, 3).require_grad(), w = scalar(ctx, 2).require_grad(), y = scalar(ctx, 1);
  int called = 0;
  w.set_grad_hook([&](Tensor&) { ++called; });
  const auto n = std::make_shared<SecondNode>();
  n->inputs = {Tensor(), mul(x, w)};
  y.set_node(n).backward();
  CHECK(called == 1);
  CHECK(x.grad().item() == 2);
}

TEST_CASE("autograd: a long chain does not recurse") {
  Context ctx;
  Tensor one = scalar(ctx, 1), x = scalar(ctx, 1).require_grad(), y = mul(x, one);
  for (int i = 0; i < 100000; ++i) y = mul(y, one);
  y.backward();
  CHECK(x.grad().item() == 1);
}

TEST_CASE("gradcheck: accepts a right gradient, refuses a wrong one") {
  Context ctx;
  Tensor a = random_leaf(ctx, {2, 3}, 1), b = random_leaf(ctx, {2, 3}, 2);
  check_gradients({a, b}, [&] { return mul(mul(a, b), a); });
  expect_throw("leaf 1", [&] { check_gradients({a, b}, [&] { return mul(mul(a, b), b.detach()); }); });
}

TEST_CASE("allocator: a steady loop stops asking the system, names are kept apart, exhaustion is explained") {
  auto allocator = std::make_shared<CachingAllocator>();
  Context ctx({}, allocator);
  const auto step = [&] {
    Tensor a = Tensor::empty(ctx, {100, 7}, DType::f32, "alpha"), b = Tensor::empty(ctx, {33}, DType::bf16, "beta");
    return mul(a, a);
  };
  step();
  const auto before = allocator->stats();
  step();
  step();
  const auto after = allocator->stats();
  CHECK(after.system_allocations == before.system_allocations);
  CHECK(after.live_bytes == 0);
  CHECK(after.by_name.at("alpha").allocations == 3);
  CHECK(after.by_name.at("beta").peak_bytes == 256);
  {
    const Tensor one = Tensor::empty(ctx, {64}, DType::f32, "gamma"), two = Tensor::empty(ctx, {64}, DType::f32, "gamma");
    CHECK(allocator->stats().by_name.at("gamma").live_bytes == 512);
    CHECK(allocator->stats().by_name.at("gamma").live_blocks == 2);
  }
  CHECK(allocator->stats().by_name.at("gamma").live_bytes == 0);
  CHECK(allocator->stats().by_name.at("gamma").peak_bytes == 512);

  struct Failing : MemorySource {
    std::unique_ptr<MemorySource> real = host_memory();
    int left = 1, refused = 0;
    void* allocate(std::size_t n) override { return left-- > 0 ? real->allocate(n) : (++refused, nullptr); }
    void release(void* p, std::size_t n) noexcept override { real->release(p, n); }
  };
  auto failing = std::make_unique<Failing>();
  Failing* source = failing.get();
  CachingAllocator small(std::move(failing));
  void* p = small.allocate(1000, "weights");
  expect_throw("weights", [&] { small.allocate(5000, "activation"); });
  CHECK(source->refused == 2);  // once, then again after the cache was released
  small.release(p, 1000, "weights");
}

TEST_CASE("allocator: exhaustion names the batch size that would fit") {
  struct Limited : MemorySource {  // 1 MiB
    std::unique_ptr<MemorySource> real = host_memory();
    std::size_t left = 1 << 20;
    void* allocate(std::size_t n) override { return n <= left ? (left -= n, real->allocate(n)) : nullptr; }
    void release(void* p, std::size_t n) noexcept override { real->release(p, n), left += n; }
    std::size_t free_bytes() override { return left; }
  };
  Context ctx({}, std::make_shared<CachingAllocator>(std::make_unique<Limited>()));
  const Tensor weights = Tensor::zeros(ctx, {50000}, DType::f32, "parameter");
  const auto batch = [&](std::int64_t images) {
    ctx.allocator().begin_batch(images);
    const Tensor a = Tensor::empty(ctx, {images, 700}), b = Tensor::empty(ctx, {images, 900}), c = Tensor::empty(ctx, {images, 400});
  };
  const auto message = [&](std::int64_t images) {
    try {
      batch(images);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  // Nothing is known but what this batch had taken: weights 0.19 MiB, then 100 images of 2800 and 3600 bytes, in size
  // classes, and 1600 bytes that were missing.
  const std::string first = message(200);
  CHECK(first.find("needs at least ") != first.npos);
  CHECK(first.find("at most a batch size of ") != first.npos);
  batch(10);
  const std::string then = message(200);
  const auto at = then.find(", a batch size of ");
  REQUIRE_MESSAGE(at != then.npos, then);
  const std::int64_t fits = std::stoll(then.substr(at + 18));
  CHECK(fits >= 80);  // (1 MiB - 0.2 MB) / 8000 bytes is 106; size classes may cost an eighth, twice
  CHECK(fits <= 106);
  CHECK(message(fits) == "");
  CHECK(message(120) != "");
  // Not even one, and nobody has spoken of batches.
  ctx.allocator().begin_batch(1);
  expect_throw("not one image would fit", [&] { Tensor::empty(ctx, {1 << 20}); });
  ctx.allocator().begin_batch(0);
  try {
    Tensor::empty(ctx, {1 << 20});
    CHECK(false);
  } catch (const Error& e) {
    CHECK(std::string(e.what()).find("batch") == std::string::npos);
  }
}

TEST_CASE("cuda runtime: in a build without CUDA, every call says so") {
  if (cuda::why_no_device() != "this build has no CUDA") return;  // another build
  int calls = 0;
  const auto refused = [&](const std::string& name, const std::function<void()>& f) {
    expect_throw("cuda::" + name + ": this build has no CUDA", f);
    ++calls;
  };
  refused("properties", [] { cuda::properties(0); });
  refused("free_bytes", [] { cuda::free_bytes(); });
  refused("set_device", [] { cuda::set_device(0); });
  refused("allocate", [] { cuda::allocate(1); });
  refused("allocate_pinned", [] { cuda::allocate_pinned(1); });
  refused("make_stream", [] { cuda::make_stream(); });
  refused("synchronize", [] { cuda::synchronize(Stream()); });
  refused("make_event", [] { cuda::make_event(); });
  refused("record", [] { cuda::record({}, {}); });
  refused("wait", [] { cuda::wait({}, {}); });
  refused("synchronize", [] { cuda::synchronize(cuda::Event()); });
  refused("copy_to_device", [] { cuda::copy_to_device(nullptr, nullptr, 1, {}); });
  refused("copy_to_host", [] { cuda::copy_to_host(nullptr, nullptr, 1, {}); });
  refused("copy_on_device", [] { cuda::copy_on_device(nullptr, nullptr, 1, {}); });
  refused("set_bytes", [] { cuda::set_bytes(nullptr, 0, 1, {}); });
  refused("set_device", [] { device_memory(0)->allocate(1); });
  CHECK(calls == 16);
}

TEST_CASE("context: a GPU that is not there is explained") {
  const int there = cuda::device_count();
  CHECK((there == 0) == !cuda::why_no_device().empty());
  expect_throw(there == 0 ? "no GPU can be used: " + cuda::why_no_device() : str("there is no GPU ", there),
               [&] { Context ctx({Device::cuda, there}); });
  Context ctx;
  CHECK(!ctx.on_gpu());
  ctx.synchronize(), ctx.use_in_this_thread();  // nothing to do
  Tensor a = Tensor::full(ctx, {3}, 2), b = Tensor::zeros(ctx, {3});
  b.copy_from(a);
  a.set_to_zero();
  CHECK(b.to_host() == std::vector<float>(3, 2.0f));
  CHECK(a.to_host() == std::vector<float>(3, 0.0f));
  expect_throw("[3] f32 into [2] f32", [&] { Tensor::zeros(ctx, {2}).copy_from(a); });
}

TEST_CASE("allocator: size classes waste at most an eighth") {
  for (std::size_t n : {1u, 256u, 257u, 4096u, 5000u, 1u << 20, (1u << 20) + 1, 123456789u}) {
    const std::size_t c = CachingAllocator::size_class(n);
    CHECK(c >= n);
    CHECK(c <= std::max<std::size_t>(n + n / 8 + 256, 256));
  }
}

TEST_CASE("philox: the published test vectors") {
  // Random123's kat_vectors for philox4x32-10.
  const Philox zero{}, ones{{0xffffffffu, 0xffffffffu}};
  CHECK(zero({0, 0, 0, 0}) == std::array<std::uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(ones({0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}) ==
        std::array<std::uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
}

TEST_CASE("philox: streams with different names differ, the same name repeats, moments are right") {
  Random a(1, "x", 2, 3), b(1, "x", 2, 3), c(1, "x", 3, 2), d(1, "y", 2, 3);
  const auto v = a.u64();
  CHECK(v == b.u64());
  CHECK(v != c.u64());
  CHECK(v != d.u64());
  Random r(7, "moments");
  double sum = 0, sq = 0, beta = 0, u = 0;
  const int n = 40000;
  for (int i = 0; i < n; ++i) {
    const double z = r.normal();
    sum += z, sq += z * z, beta += r.beta(0.592, 0.592), u += r.uniform();
  }
  CHECK(std::abs(sum / n) < 0.02);
  CHECK(std::abs(sq / n - 1) < 0.03);
  CHECK(std::abs(beta / n - 0.5) < 0.01);
  CHECK(std::abs(u / n - 0.5) < 0.01);
  auto p = r.permutation(100);
  std::sort(p.begin(), p.end());
  for (int i = 0; i < 100; ++i) CHECK(p[std::size_t(i)] == i);
  std::vector<int> seen(7);
  for (int i = 0; i < 7000; ++i) ++seen[std::size_t(r.below(7))];
  for (int k : seen) CHECK(std::abs(k - 1000) < 150);
}
