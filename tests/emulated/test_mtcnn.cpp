// tests/emulated/test_mtcnn.cpp — MTCNN's networks on the emulated GPU, beside the CPU.
#include "tests/support/backend.h"
#include "tests/support/formula_faces.h"

using namespace bonafide;
using namespace bonafide::test;

namespace {

template <class Net>
std::vector<float> answers(Device where, std::vector<ParameterSpec> specs, int n, int height, int width) {
  Context ctx(where);
  const NoGrad no_grad(ctx);
  ParameterSet set(ctx, std::move(specs));
  load_face_formula(set);
  std::vector<float> x;
  for (int i = 0; i < n; ++i)
    for (const std::uint8_t v : formula_image(str("gpu.", i), i % 2, height, width)) x.push_back((float(v) - 127.5f) / 128);
  return Net(set)(Tensor::from_host(ctx, {n, height, width, 3}, x)).to_host();
}

template <class Net>
void compare(const char* name, std::vector<ParameterSpec> specs, int n, int height, int width) {
  const auto cpu = answers<Net>({}, specs, n, height, width), gpu = answers<Net>(device(), specs, n, height, width);
  expect_close(name, gpu, std::vector<double>(cpu.begin(), cpu.end()), 1e-5, 1e-5);
}

}  // namespace

TEST_CASE("faces: MTCNN's networks on a GPU give what they give on the CPU") {
  compare<PNet>("pnet", pnet_parameters(), 1, 15, 18);
  compare<RNet>("rnet", rnet_parameters(), 1, 24, 24);
}
