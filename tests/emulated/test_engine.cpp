// tests/emulated/test_engine.cpp — tensors, copies, autograd and memory on a GPU, the emulated one.
#include <algorithm>
#include <limits>

#include "engine/autograd.h"
#include "engine/cuda_runtime.h"
#include "engine/host_values.h"
#include "engine/staging.h"
#include "kernels/emulator/launch.h"
#include "kernels/gelu/gelu.h"
#include "layers/functional/gelu.h"
#include "layers/functional/layer_norm.h"
#include "layers/optimizer.h"
#include "layers/weights.h"
#include "tests/support/backend.h"
#include "tests/support/gradcheck.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

// The emulated GPU's settings, put back at the end.
struct Settings {
  simt::EmulatedGpu before = simt::emulated_gpu();
  ~Settings() {
    simt::emulated_gpu().capacity_bytes = before.capacity_bytes;
    simt::emulated_gpu().order = before.order, simt::emulated_gpu().seed = before.seed;
  }
};

// Calls f while streams run as late as they may, as soon, and in random orders.
void for_each_stream_order(const std::function<void()>& f) {
  using Order = simt::EmulatedGpu::Order;
  const Settings restore;
  simt::EmulatedGpu& gpu = simt::emulated_gpu();
  for (const Order order : {Order::late, Order::soon}) gpu.order = order, f();
  gpu.order = Order::random;
  for (unsigned seed = 1; seed <= 3; ++seed) gpu.seed = seed, f();
}

std::vector<float> counted(std::int64_t n, float first) {
  std::vector<float> v(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = first + float(i % 4096);
  return v;
}

}  // namespace

TEST_CASE("cuda engine: values of every type go to the device and come back") {
  for_each_stream_order([] {
    Context ctx(device());
    CHECK(ctx.target().kind == Device::cuda);
    const std::vector<float> v{1, -2.5f, 3e30f, 1.00390625f};
    CHECK(Tensor::from_host(ctx, {4}, v).to_host() == v);
    CHECK(Tensor::from_host(ctx, {4}, v, DType::bf16).to_host()[3] == 1.0f);  // rounded, ties to even
    const std::int32_t ints[] = {7, -8};
    const std::uint8_t bytes[] = {0, 255, 3};
    CHECK(Tensor::from_host(ctx, {2}, std::span<const std::int32_t>(ints)).to_host() == std::vector<float>{7, -8});
    CHECK(Tensor::from_host(ctx, {3}, std::span<const std::uint8_t>(bytes)).to_host() == std::vector<float>{0, 255, 3});
    CHECK(Tensor::full(ctx, {1}, 5).item() == 5);
    CHECK(Tensor::zeros(ctx, {3}).to_host() == std::vector<float>(3, 0.0f));
    CHECK(Tensor::zeros(ctx, {0}).to_host().empty());
    for (const float x : Tensor::empty(ctx, {5}).to_host()) CHECK(std::isnan(x));
    Tensor t = Tensor::from_host(ctx, {2, 2}, v), copy = Tensor::empty(ctx, {2, 2});
    copy.copy_from(t);
    t.set_to_zero();
    CHECK(copy.to_host() == v);
    CHECK(Tensor::view(copy, 1, {2}).to_host() == std::vector<float>{-2.5f, 3e30f});
    CHECK(copy.as(DType::bf16).to_host()[1] == -2.5f);
    expect_throw("[4] f32 into [2, 2] f32", [&] { copy.copy_from(copy.reshape({4})); });
    Context cpu;
    expect_throw("between contexts", [&] { copy.copy_from(Tensor::zeros(cpu, {2, 2})); });
  });
}

TEST_CASE("cuda engine: HostValues, write_values and stored_tensor work on a copy") {
  Context ctx(device());
  const Tensor t = Tensor::full(ctx, {2, 3}, 4);
  write_values(t, [](Span<float> values) {
    for (std::int64_t i = 0; i < values.len; ++i) values[i] = float(i);
  });
  CHECK(HostValues(t).span()[5] == 5);
  const StoredArray a = stored_tensor("name", Tensor::view(t, 2, {2, 2}));
  CHECK(a.shape == std::vector<std::int64_t>{2, 2});
  CHECK(reinterpret_cast<const float*>(a.bytes.data())[3] == 5);
}

// Memory handed from one tensor to the next, uploads of all sizes between kernels, the ring going round and growing: what
// is read must be what was written, whatever runs first.
TEST_CASE("cuda engine: uploads neither overtake nor fall behind") {
  for_each_stream_order([] {
    Context ctx(device());
    std::vector<std::pair<Tensor, std::vector<float>>> kept;
    for (int i = 0; i < 60; ++i) {
      const std::int64_t n = i == 20 ? 150000 : i % 7 == 3 ? 100000 + i : 10 + 37 * i;
      auto v = counted(n, float(i));
      const Tensor t = Tensor::from_host(ctx, {n}, v);
      std::fill(v.begin(), v.end(), -1.0f);  // the caller's memory is its own again
      Tensor twin = Tensor::empty(ctx, {n});
      twin.copy_from(t);
      if (i % 5 == 0) kept.emplace_back(twin, counted(n, float(i)));
      if (i % 11 == 0) CHECK(fn::gelu(Tensor::from_host(ctx, {1}, std::vector<float>{100})).item() == 100);
    }
    for (const auto& [t, want] : kept) CHECK(t.to_host() == want);
  });
}

TEST_CASE("cuda engine: an upload larger than a piece of the ring is cut, a long download too") {
  Stream compute = cuda::make_stream();
  CachingAllocator allocator(device_memory(0));
  {
    Staging staging(compute, allocator, 300000);
    const auto v = counted(1100000, 1);
    const std::size_t bytes = v.size() * sizeof(float);  // of 15 pieces and of a download's two
    std::vector<float> back(v.size());
    void* p = allocator.allocate(bytes, "images");
    staging.upload(p, v.data(), bytes);
    staging.download(back.data(), p, bytes);
    CHECK(back == v);
    CHECK(staging.ring_bytes() < std::size_t(2) << 20);
    allocator.release(p, bytes, "images");
  }
  cuda::destroy(compute);
}

// The ring takes what the allocator has, which may have been a tensor's a moment ago: the device may still have to write it.
TEST_CASE("cuda engine: a ring that grows waits for who had its memory before") {
  for_each_stream_order([] {
    Stream compute = cuda::make_stream();
    CachingAllocator allocator(device_memory(0));
    {
      Staging staging(compute, allocator);
      const std::size_t most = 640000;
      void* p = allocator.allocate(most, "images");
      for (std::size_t bytes = 102400; bytes <= most; bytes += 102400) {
        const std::size_t ring = 2 * bytes + (std::size_t(1) << 20);
        void* tensor = allocator.allocate(ring, "activation");
        cuda::set_bytes(tensor, 0x11, ring, compute);
        allocator.release(tensor, ring, "activation");
        const auto v = counted(std::int64_t(bytes / sizeof(float)), float(bytes));
        staging.upload(p, v.data(), bytes);
        REQUIRE(staging.ring_bytes() == ring);
        std::vector<float> back(v.size());
        staging.download(back.data(), p, bytes);
        CHECK(back == v);
      }
      allocator.release(p, most, "images");
    }
    cuda::destroy(compute);
  });
}

TEST_CASE("cuda engine: a long upload waits for all the short ones in its way") {
  for_each_stream_order([] {
    Stream compute = cuda::make_stream();
    CachingAllocator allocator(device_memory(0));
    {
      Staging staging(compute, allocator);
      const std::int64_t small = 5120, large = 51200, uploads = 64;  // elements; the ring has room for 55 of the small ones
      char* p = static_cast<char*>(allocator.allocate(std::size_t(4 * (large + uploads * small)), "images"));
      std::vector<float> want = counted(large, 7);
      staging.upload(p, want.data(), std::size_t(4 * large));
      for (std::int64_t i = 0; i < uploads; ++i) {
        const auto v = counted(small, float(i));
        staging.upload(p + 4 * (large + i * small), v.data(), std::size_t(4 * small));
        want.insert(want.end(), v.begin(), v.end());
        if (i % 20 == 15) staging.upload(p, want.data(), std::size_t(4 * large));
      }
      std::vector<float> back(want.size());
      staging.download(back.data(), p, back.size() * 4);
      CHECK(back == want);
      allocator.release(p, std::size_t(4 * (large + uploads * small)), "images");
    }
    cuda::destroy(compute);
  });
}

// While kernels of the compute stream have not even begun, a batch is already on the device. In the emulator: an upload
// makes the copy stream run without the compute stream.
TEST_CASE("cuda engine: an upload does not wait for what the device computes") {
  const Settings restore;
  Stream compute = cuda::make_stream();
  CachingAllocator allocator(device_memory(0));
  {
    Staging staging(compute, allocator);
    const std::size_t bytes = 1 << 16;
    void* p = allocator.allocate(bytes, "images");
    const std::vector<std::uint8_t> v(bytes, 7);
    staging.upload(p, v.data(), bytes);
    cuda::synchronize(compute);
    // The compute stream is now asked for much, and waits for something that never comes by itself.
    Stream other = cuda::make_stream();
    const cuda::Event gate = cuda::make_event();
    void* pinned = cuda::allocate_pinned(bytes);
    cuda::copy_to_host(pinned, p, bytes, other);
    cuda::record(gate, other);
    cuda::wait(compute, gate);
    auto& copies = simt::launch_counts()["copy_to_device"];
    const auto before = copies.launches;
    simt::emulated_gpu().order = simt::EmulatedGpu::Order::late;
    for (int i = 0; i < 4; ++i) staging.upload(p, v.data(), bytes);  // does not hang, does not wait
    CHECK(copies.launches == before + 4);
    CHECK(static_cast<unsigned char*>(pinned)[0] == 0xff);  // the gate is still closed
    cuda::synchronize(compute);
    CHECK(static_cast<unsigned char*>(pinned)[0] == 7);
    cuda::release_pinned(pinned), cuda::destroy(gate), cuda::destroy(other);
    allocator.release(p, bytes, "images");
  }
  cuda::destroy(compute);
}

TEST_CASE("cuda engine: what a GPU would not survive is an error of the emulated one") {
  const Settings restore;
  Stream s = cuda::make_stream();
  char* p = static_cast<char*>(cuda::allocate(1000));
  char* q = static_cast<char*>(cuda::allocate_pinned(1000));
  std::vector<char> pageable(1000);
  expect_throw("copy_to_device: 1001 bytes that do not lie within one allocation", [&] { cuda::copy_to_device(p, q, 1001, s); });
  expect_throw("that do not lie within", [&] { cuda::copy_to_host(q, p + 1, 1000, s); });
  expect_throw("not pinned", [&] { cuda::copy_to_device(p, pageable.data(), 10, s); });
  expect_throw("set_bytes", [&] { cuda::set_bytes(q, 0, 10, s); });
  cuda::release(p);
  expect_throw("within one allocation", [&] { cuda::copy_on_device(p, p, 10, s); });
  Context ctx(device());
  std::vector<float> host(4);
  const Tensor t = Tensor::zeros(ctx, {4});
  expect_throw("gelu_fwd: the array y is not memory of the device",
               [&] { kernels::gelu_fwd<float>(ctx.target(), {.x = t.cspan(), .y = host}); });
  p = static_cast<char*>(cuda::allocate(1000));
  cuda::copy_to_device(p, q, 1000, s);
  cuda::release_pinned(q);
  expect_throw("copy_to_device: 1000 bytes of the host that are not pinned memory", [&] { cuda::synchronize(s); });
  cuda::release(p);
  cuda::destroy(s);
  expect_throw("there is no GPU 1: 1 is usable", [] { Context other({Device::cuda, 1}); });
  expect_throw("there is no GPU -1: 1 is usable", [] { Context other({Device::cuda, -1}); });
}

TEST_CASE("cuda engine: autograd over ported operations") {
  for_each_stream_order([] {
    Context ctx(device());
    const Tensor x = random_leaf(ctx, {5, 24}, 1), gamma = random_leaf(ctx, {24}, 2, 1, 0.2f), beta = random_leaf(ctx, {24}, 3);
    check_gradients({x, gamma, beta}, [&] { return fn::gelu(fn::layer_norm(fn::gelu(x), gamma, beta)); });
  });
  Context ctx(device());  // reshape: written, and added to what another use has left there
  for (const DType t : {DType::f32, DType::bf16}) {
    const Tensor x = Tensor::from_host(ctx, {2, 2}, counted(4, 1), t).require_grad();
    weighted_sum(x.reshape({4}), {1, 2, 3, 4}).backward();
    CHECK(x.grad().to_host() == std::vector<float>{1, 2, 3, 4});
    weighted_sum(x.reshape({4}), {1, 2, 3, 4}).backward();
    CHECK(x.grad().to_host() == std::vector<float>{2, 4, 6, 8});
  }
}

TEST_CASE("cuda engine: a steady loop asks the system for nothing") {
  Context ctx(device());
  Tensor gamma = random_leaf(ctx, {32}, 2), beta = random_leaf(ctx, {32}, 3);
  const auto step = [&] {
    const Tensor x = Tensor::from_host(ctx, {16, 32}, counted(16 * 32, 1));
    Tensor loss = weighted_sum(fn::gelu(fn::layer_norm(x, gamma, beta)), std::vector<float>(16 * 32, 0.5f));
    gamma.zero_grad(), beta.zero_grad();
    loss.backward();
    return loss.item();
  };
  const float first = step();
  step();
  const auto before = simt::emulated_gpu().allocations;
  const auto asked = ctx.allocator().stats().system_allocations;
  for (int i = 0; i < 5; ++i) CHECK(step() == first);
  CHECK(simt::emulated_gpu().allocations == before);
  CHECK(ctx.allocator().stats().system_allocations == asked);
}

TEST_CASE("cuda engine: parameters, averages and files") {
  const std::vector<ParameterSpec> specs{{"a.weight", {3, 5}, Init::truncated_normal}, {"a.bias", {3}, Init::ones}};
  Context ctx(device()), cpu;
  ParameterSet p(ctx, specs, DType::bf16), want(cpu, specs, DType::bf16);
  p.initialise(7), want.initialise(7);
  CHECK(p.values().to_host() == want.values().to_host());
  CHECK(p.compute_copies().to_host() == want.compute_copies().to_host());
  p["a.weight"].grad_slot(), p["a.bias"].grad_slot();
  Tensor(p.gradients()).copy_from_host(std::vector<float>(std::size_t(p.arena_size()), 3));
  p.complete_gradients();  // written: they stay
  CHECK(p["a.bias"].grad().to_host() == std::vector<float>(3, 3));
  p.zero_grad();
  p.complete_gradients();
  CHECK(p["a.weight"].grad().to_host() == std::vector<float>(15, 0));
  CHECK(p["a.bias"].grad().to_host() == std::vector<float>(3, 0));

  const auto arrays = stored_parameters(p), expected = stored_parameters(want);
  REQUIRE(arrays.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(arrays[i].name == expected[i].name);
    CHECK(arrays[i].shape == expected[i].shape);
    CHECK(std::equal(arrays[i].bytes.begin(), arrays[i].bytes.end(), expected[i].bytes.begin(), expected[i].bytes.end()));
  }
  Ema ema(p, 0.5);
  const auto before = p.values().to_host();
  Tensor bias = p["a.bias"];
  bias.copy_from_host(std::vector<float>(3, 9));
  p.refresh_compute_copies();
  const auto changed = p.values().to_host();
  ema.swap();
  CHECK(p.values().to_host() == before);
  CHECK(p["a.bias"].as(DType::bf16).to_host() == std::vector<float>(3, 1));
  CHECK(ema.average().to_host() == changed);
  ema.swap();
  CHECK(p.values().to_host() == changed);
}

TEST_CASE("cuda engine: out of memory releases the cache, then says what would fit") {
  const Settings restore;
  simt::EmulatedGpu& gpu = simt::emulated_gpu();
  Context ctx(device());
  const Tensor weights = Tensor::zeros(ctx, {400000}, DType::f32, "parameter");
  const auto batch = [&](std::int64_t images) {
    ctx.allocator().begin_batch(images);
    std::vector<Tensor> activations;
    for (int i = 0; i < 6; ++i) activations.push_back(Tensor::empty(ctx, {images, 1000 + 300 * i}));
    ctx.synchronize();
  };
  batch(8);
  gpu.capacity_bytes = gpu.live_bytes + 300000;
  { const Tensor t = Tensor::empty(ctx, {100000}); }  // of another size class: fits only where the cache was
  gpu.capacity_bytes = std::size_t(4) << 20;
  batch(8);
  std::string message;
  try {
    batch(256);
  } catch (const Error& e) {
    message = e.what();
  }
  CHECK(message.find("out of memory: asked for ") == 0);
  CHECK(message.find("for 'activation'") != message.npos);
  CHECK(message.find("parameter") != message.npos);
  const auto at = message.find("a batch size of ");
  REQUIRE_MESSAGE(at != message.npos, message);
  CHECK(message.find("at most") == message.npos);  // a batch that ended has told
  const std::int64_t fits = std::stoll(message.substr(at + 16));
  CHECK(fits > 40);
  batch(fits);
  CHECK_THROWS_AS(batch(fits * 3 / 2), Error);
}
