// layers/functional/normalize.cpp
#include "layers/functional/normalize.h"

#include "engine/context.h"
#include "kernels/normalize/normalize.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {

Tensor normalize(const Tensor& images, const std::array<float, 3>& mean, const std::array<float, 3>& std, DType dtype) {
  BF_CHECK(images.shape().rank() == 4 && images.shape()[3] == 3, "expected [N, H, W, 3], got ", images.shape().str());
  Tensor y = Tensor::empty(images.context(), images.shape(), dtype);
  for_storage("normalize", dtype, [&](auto t) {
    using T = decltype(t);
    kernels::normalize<T>(images.context().target(),
                          {.x = images.cspan<std::uint8_t>(), .y = y.span<T>(), .mean = mean, .std = std});
  });
  return y;
}

}  // namespace bonafide::fn
