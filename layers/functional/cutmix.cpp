// layers/functional/cutmix.cpp — see cutmix.h.
#include "layers/functional/cutmix.h"

#include "engine/context.h"
#include "kernels/cutmix/cutmix.h"
#include "layers/functional/dispatch.h"

namespace bonafide::fn {

Tensor cutmix(const Tensor& images, const Tensor& partner, CutMixBox box) {
  const Shape& s = images.shape();
  BF_CHECK(s.rank() == 4, "cutmix: expected [M, H, W, C], got ", s.str());
  BF_CHECK(!images.requires_grad(), "cutmix: images are data and get no gradient");
  Tensor out = Tensor::empty(images.context(), {partner.numel(), s[1], s[2], s[3]}, images.dtype(), "images");
  const auto run = [&]<class T>(T) {
    kernels::cutmix<T>(images.context().target(), {.image = images.cspan<T>(),
                                                   .partner = partner.cspan<std::int32_t>(),
                                                   .out = out.span<T>(),
                                                   .M = s[0],
                                                   .H = s[1],
                                                   .W = s[2],
                                                   .C = s[3],
                                                   .x1 = box.x1,
                                                   .y1 = box.y1,
                                                   .x2 = box.x2,
                                                   .y2 = box.y2});
  };
  if (images.dtype() == DType::u8)
    run(std::uint8_t{});
  else
    for_storage("cutmix", images.dtype(), run);
  return out;
}

Tensor cutmix_labels(const Tensor& labels, const Tensor& partner, float keep) {
  Tensor mixed = Tensor::empty(labels.context(), {partner.numel()}, DType::f32, "labels");
  kernels::cutmix_labels(
      labels.context().target(),
      {.labels = labels.cspan(), .partner = partner.cspan<std::int32_t>(), .mixed = mixed.span(), .keep = keep});
  return mixed;
}

}  // namespace bonafide::fn
