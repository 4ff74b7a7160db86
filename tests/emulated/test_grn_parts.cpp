// tests/emulated/test_grn_parts.cpp — GRN's kernels launched one by one, on sums that another kernel left in its own
// pieces.
#include "kernels/emulator/emulator.h"
#include "kernels/grn/grn.simt.h"
#include "tests/support/backend.h"

using namespace bonafide;
using namespace bonafide::test;
using namespace bonafide::kernels;

TEST_CASE("grn goes on from sums in any pieces") {
  const std::int64_t samples = 2, HW = 12, pieces = 3, rows = HW / pieces, n = samples * HW;
  const int C = 300;  // more than the threads of the block that makes the factors
  const auto x = Buffer<float>::integers(n * C, 1), dy = Buffer<float>::integers(n * C, 2);
  const auto gamma = Buffer<float>::random(C, 3), beta = Buffer<float>::random(C, 4);
  Buffer<float> squares(samples * pieces * C, 0),
      sums(samples * pieces * 2 * C, 0);  // of integers: exact in any pieces
  for (std::int64_t r = 0; r < n; ++r)
    for (int c = 0; c < C; ++c) {
      const std::int64_t piece = r / HW * pieces + r % HW / rows;
      squares[piece * C + c] += float(x[r * C + c] * x[r * C + c]);
      sums[piece * 2 * C + c] += float(dy[r * C + c] * x[r * C + c]);
      sums[(piece * 2 + 1) * C + c] += float(dy[r * C + c]);
    }

  Buffer<float> y(n * C), dx(n * C), G(samples * C), dgamma(C), dbeta(C);
  Buffer<float> work(grn_fwd_workspace(samples, HW, C)), bwd_work(grn_bwd_workspace(samples, HW, C));
  cuda::grn_fwd<float>({.x = x.cspan(),
                        .gamma = gamma.cspan(),
                        .beta = beta.cspan(),
                        .y = y.span(),
                        .G = G.span(),
                        .workspace = work.span(),
                        .samples = samples,
                        .HW = HW,
                        .C = C});
  cuda::grn_bwd<float>({.dy = dy.cspan(),
                        .x = x.cspan(),
                        .gamma = gamma.cspan(),
                        .G = G.cspan(),
                        .dx = dx.span(),
                        .dgamma = dgamma.span(),
                        .dbeta = dbeta.span(),
                        .workspace = bwd_work.span(),
                        .samples = samples,
                        .HW = HW,
                        .C = C});

  for (const simt::Schedule& schedule : simt::kSchedules) {
    const simt::Emulator launch(schedule);
    Buffer<float> got_G(samples * C), scale(samples * C), got_y(n * C);
    launch(simt_bodies::GrnFactorsKernel(),
           GrnFactors{squares.cspan(), gamma.cspan(), got_G.span(), scale.span(), samples, pieces, C});
    launch(simt_bodies::GrnApplyKernel<4>(),
           GrnApply<float>{x.cspan(), scale.cspan(), beta.cspan(), got_y.span(), samples, HW, C});
    expect_bitwise("G", got_G, G), expect_bitwise("y", got_y, y);

    Buffer<float> factors(samples * 2 * C), ends(samples * 2 * C), got_dx(n * C), got_dgamma(C), got_dbeta(C);
    launch(simt_bodies::GrnBwdFactorsKernel(),
           GrnBwdFactors{sums.cspan(), gamma.cspan(), G.cspan(), factors.span(), ends.span(), samples, pieces, C});
    launch(simt_bodies::GrnBwdApplyKernel<4>(), GrnBwdApply<float>{.dy = dy.cspan(),
                                                                   .x = x.cspan(),
                                                                   .factors = factors.cspan(),
                                                                   .dx = got_dx.span(),
                                                                   .samples = samples,
                                                                   .HW = HW,
                                                                   .C = C});
    launch(
        simt_bodies::GrnParametersKernel(),
        GrnParameters{
            .sums = ends.cspan(), .dgamma = got_dgamma.span(), .dbeta = got_dbeta.span(), .samples = samples, .C = C});
    expect_bitwise("dx", got_dx, dx);
    expect_bitwise("dgamma", got_dgamma, dgamma), expect_bitwise("dbeta", got_dbeta, dbeta);
  }
}

TEST_CASE("grn: gradients that nobody wants cost no kernel") {
  const std::int64_t samples = 2, HW = 3;
  const int C = 5;
  const Buffer<float> values(samples * HW * C, 1), vector(samples * C, 1);
  Buffer<float> workspace(grn_bwd_workspace(samples, HW, C));
  const auto launches = [] {
    std::int64_t n = 0;
    for (const auto& [name, count] : simt::launch_counts()) n += count.launches;
    return n;
  };
  const std::int64_t before = launches();
  cuda::grn_bwd<float>({.dy = values.cspan(),
                        .x = values.cspan(),
                        .gamma = vector.cspan().slice(0, C),
                        .G = vector.cspan(),
                        .dx_mode = GradMode::skip,
                        .dgamma_mode = GradMode::skip,
                        .dbeta_mode = GradMode::skip,
                        .workspace = workspace.span(),
                        .samples = samples,
                        .HW = HW,
                        .C = C});
  CHECK(launches() == before);
}
