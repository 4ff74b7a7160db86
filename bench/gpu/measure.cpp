// bench/gpu/measure.cpp
#include "bench/gpu/measure.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/cuda_runtime.h"
#include "kernels/matmul/matmul.h"

namespace bonafide::bench {
namespace {

void must(cudaError_t e) {
  if (e != cudaSuccess) throw Error(str("CUDA: ", cudaGetErrorString(e)));
}

class Timer {
 public:
  Timer() { must(cudaEventCreate(&start_)), must(cudaEventCreate(&stop_)); }
  ~Timer() { cudaEventDestroy(start_), cudaEventDestroy(stop_); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  void start(Stream s) const { must(cudaEventRecord(start_, static_cast<cudaStream_t>(s.handle))); }
  void stop(Stream s) const { must(cudaEventRecord(stop_, static_cast<cudaStream_t>(s.handle))); }
  double microseconds() const {  // waits
    float ms = 0;
    must(cudaEventSynchronize(stop_)), must(cudaEventElapsedTime(&ms, start_, stop_));
    return 1e3 * double(ms);
  }

 private:
  cudaEvent_t start_ = nullptr, stop_ = nullptr;
};

}  // namespace

double Measure::median_us(const std::function<void()>& f) {
  const Stream stream = ctx_.target().stream;
  const Timer timer;
  f(), f();
  std::vector<double> us;
  for (double total = 0; us.size() < 50 && (total < 2e5 || us.size() < 5);) {
    timer.start(stream);
    f();
    timer.stop(stream);
    us.push_back(timer.microseconds());
    total += us.back();
  }
  std::nth_element(us.begin(), us.begin() + std::ptrdiff_t(us.size() / 2), us.end());
  return us[us.size() / 2];
}

void Measure::operator()(Row row, const std::function<void()>& f) {
  row.us = median_us(f);
  rows_.push_back(row);
  print(row);
}

void Measure::print(const Row& r) const {
  std::printf("%-34s %-26s %10.1f us", r.name.c_str(), r.shape.c_str(), r.us);
  const double seconds = r.us * 1e-6;
  if (r.images > 0) std::printf("  %9.0f images/s", r.images / seconds);
  if (const double bytes = r.cost.bytes(); bytes > 0) {
    std::printf("  %6.2f TB/s", bytes / seconds * 1e-12);
    if (bytes_per_s_ > 0) std::printf(" (%3.0f %% of copy)", 100 * bytes / seconds / bytes_per_s_);
  }
  if (r.cost.flops > 0) {
    std::printf("  %6.1f TFLOP/s", r.cost.flops / seconds * 1e-12);
    if (flops_ > 0) std::printf(" (%2.0f %% of matrix)", 100 * r.cost.flops / seconds / flops_);
  }
  std::printf("\n");
  std::fflush(stdout);
}

void Measure::ceilings() {
  constexpr std::int64_t kBytes = std::int64_t(2) << 30, kSide = 8192;
  {
    const Tensor from = random_tensor(ctx_, {kBytes / 4}, DType::f32), to = Tensor::empty(ctx_, {kBytes / 4});
    (*this)({.name = "copy", .shape = "2 GiB", .cost = {double(kBytes), double(kBytes), 0}}, [&] {
      cuda::copy_on_device(to.span().ptr, from.span().ptr, std::size_t(kBytes), ctx_.target().stream);
    });
    bytes_per_s_ = 2.0 * kBytes / (rows_.back().us * 1e-6);
  }
  const Tensor a = random_tensor(ctx_, {kSide, kSide}, DType::bf16), b = random_tensor(ctx_, {kSide, kSide}, DType::bf16),
               c = Tensor::empty(ctx_, {kSide, kSide}, DType::bf16);
  (*this)({.name = "matrix product, bf16", .shape = "8192^3", .cost = {0, 0, 2.0 * kSide * kSide * kSide}}, [&] {
    kernels::linear_fwd<bf16>(ctx_.target(), {.x = a.cspan<bf16>(), .w = b.cspan<bf16>(), .y = c.span<bf16>(),
                                              .rows = kSide, .in = kSide, .out = kSide});
  });
  flops_ = rows_.back().cost.flops / (rows_.back().us * 1e-6);
}

std::string Measure::json() const {
  const cuda::Properties gpu = cuda::properties(ctx_.device().index);
  nlohmann::ordered_json j{{"gpu", gpu.name}, {"multiprocessors", gpu.multiprocessors},
                           {"copy_bytes_per_s", bytes_per_s_}, {"bf16_matrix_flops", flops_}};
  for (const Row& r : rows_)
    j["rows"].push_back({{"name", r.name}, {"shape", r.shape}, {"us", r.us}, {"bytes", r.cost.bytes()},
                         {"flops", r.cost.flops}, {"images", r.images}});
  return j.dump(1) + "\n";
}

Tensor random_tensor(Context& ctx, Shape shape, DType t) {
  static const std::vector<float> draws = [] {
    std::vector<float> v(std::size_t(1) << 22);
    std::mt19937 g(1);
    std::normal_distribution<float> d;
    for (float& f : v) f = d(g);
    return v;
  }();
  const std::int64_t n = shape.numel(), piece = std::int64_t(draws.size());
  const Tensor all = Tensor::empty(ctx, shape, t), first = Tensor::from_host(ctx, {piece}, draws, t);
  const auto bytes = [&](std::int64_t elements) { return std::size_t(elements * size_of(t)); };
  char* to = static_cast<char*>(t == DType::f32 ? static_cast<void*>(all.span<float>().ptr) : all.span<bf16>().ptr);
  const void* from = t == DType::f32 ? static_cast<const void*>(first.span<float>().ptr) : first.span<bf16>().ptr;
  for (std::int64_t at = 0; at < n; at += piece)
    cuda::copy_on_device(to + bytes(at), from, bytes(std::min(piece, n - at)), ctx.target().stream);
  return all;
}

}  // namespace bonafide::bench
