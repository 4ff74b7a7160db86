// kernels/emulator/gemm.cpp — matrix products of the emulated GPU: plain loops, each element summed in f32 from k = 0
// on. They are no kernel of ours: accesses are not watched, but bounds are checked and calls are counted.
#include <vector>

#include "kernels/emulator/launch.h"
#include "kernels/matmul/cublaslt_gemm.h"

namespace bonafide::kernels::cuda {

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
      b[std::size_t(l * g.n + j)] = to_f32(g.b.ptr[g.b_transposed ? j * g.b_stride() + l : l * g.b_stride() + j]);
  for (std::int64_t i = 0; i < g.m; ++i) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (std::int64_t l = 0; l < g.k; ++l) {
      const float a = to_f32(g.a.ptr[g.a_transposed ? l * g.a_stride() + i : i * g.a_stride() + l]);
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
