// kernels/emulator/gemm.cpp — matrix products of the emulated GPU: plain loops, each element summed in f32 from k = 0
// on. They are no kernel of ours: accesses are not watched, but bounds are checked and calls are counted.
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/emulator/launch.h"
#include "kernels/matmul/cublaslt_gemm.h"

namespace bonafide::kernels::cuda {
namespace {

// An operand as the product reads it: tf32 keeps 10 of the 23 bits behind the point, to the nearest.
template <class T>
float operand(T v, F32Products products) {
  const float f = to_f32(v);
  if (sizeof(T) < 4 || products == F32Products::full || !std::isfinite(f)) return f;
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(f) + 0x1000u) & ~0x1fffu);
}

}  // namespace

template <class TA, class TC>
void gemm(const Gemm<TA, TC>& g, Stream stream) {
  check(g);
  if (g.m == 0 || g.n == 0) return;
  simt::LaunchCount& count = simt::launch_counts()["gemm"];
  ++count.launches;
  const auto name = [&](const char* array, auto span, int passes) {
    const std::size_t bytes = std::size_t(span.len) * sizeof(*span.ptr);
    count.bytes += double(bytes) * passes;
    if (stream.handle) simt::check_on_device("gemm", array, span.ptr, bytes);
  };
  name("a", g.a, 1), name("b", g.b, 1), name("c", g.c, g.beta == 0 ? 1 : 2);
  simt::catch_up(stream);
  if (simt::emulation().mode == simt::Emulation::Mode::count) return;
  ++count.runs;
  const simt::DeviceAccess access;

  // A copy of b as f32 [k, n]: the inner loop then runs along rows.
  std::vector<float> b(std::size_t(g.k * g.n)), sum(std::size_t(g.n));
  for (std::int64_t l = 0; l < g.k; ++l)
    for (std::int64_t j = 0; j < g.n; ++j)
      b[std::size_t(l * g.n + j)] = operand(g.b.ptr[g.b_transposed ? j * g.b_stride() + l : l * g.b_stride() + j], g.products);
  for (std::int64_t i = 0; i < g.m; ++i) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (std::int64_t l = 0; l < g.k; ++l) {
      const float a = operand(g.a.ptr[g.a_transposed ? l * g.a_stride() + i : i * g.a_stride() + l], g.products);
      const float* row = b.data() + l * g.n;
      for (std::int64_t j = 0; j < g.n; ++j) sum[std::size_t(j)] += a * row[j];
    }
    TC* c = g.c.ptr + i * g.c_stride();
    for (std::int64_t j = 0; j < g.n; ++j)
      c[j] = from_f32<TC>(g.alpha * sum[std::size_t(j)] + (g.beta == 0 ? 0.0f : g.beta * to_f32(c[j])));
  }
}

template void gemm(const Gemm<float, float>&, Stream);
template void gemm(const Gemm<bf16, bf16>&, Stream);
template void gemm(const Gemm<bf16, float>&, Stream);

}  // namespace bonafide::kernels::cuda
