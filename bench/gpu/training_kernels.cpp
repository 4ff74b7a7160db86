// bench/gpu/training_kernels.cpp — what a training step runs beside the network: images to tensors, losses, optimisers.
#include "bench/gpu/measure.h"
#include "kernels/adamw/adamw.h"
#include "kernels/bce/bce.h"
#include "kernels/brightness_contrast/brightness_contrast.h"
#include "kernels/cast/cast.h"
#include "kernels/crop_resize/crop_resize.h"
#include "kernels/cutmix/cutmix.h"
#include "kernels/ema/ema.h"
#include "kernels/flip/flip.h"
#include "kernels/focal/focal.h"
#include "kernels/grad_norm/grad_norm.h"
#include "kernels/hue_saturation_value/hue_saturation_value.h"
#include "kernels/jpeg_round_trip/jpeg_round_trip.h"
#include "kernels/l2_normalize/l2_normalize.h"
#include "kernels/normalize/normalize.h"
#include "kernels/relu/relu.h"
#include "kernels/sgd/sgd.h"
#include "kernels/supcon/supcon.h"

namespace bonafide::bench {
namespace {

using T = bf16;
constexpr int kSide = 224;

Tensor bytes(Context& ctx, std::int64_t n) {  // a ramp: every value as often
  std::vector<std::uint8_t> ramp(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = std::uint8_t(i * 37);
  return Tensor::from_host(ctx, {n}, std::span<const std::uint8_t>(ramp));
}

// From the loader's bytes to the network's input.
void batches(Measure& m, std::int64_t batch) {
  Context& ctx = m.context();
  const std::int64_t pixels = batch * kSide * kSide;
  const std::string shape = str(batch, " x ", kSide, "^2 x 3");
  const Tensor x = bytes(ctx, 3 * pixels), y = Tensor::empty(ctx, {batch, kSide, kSide, 3}, DType::bf16),
               out = Tensor::empty(ctx, {batch, kSide, kSide, 3}, DType::bf16);
  m({.name = "normalize", .shape = shape, .cost = kernels::normalize_cost<T>(pixels)},
    [&] { kernels::normalize<T>(ctx.target(), {.x = x.cspan<std::uint8_t>(), .y = y.span<T>(), .std = {1, 1, 1}}); });
  std::vector<std::int32_t> other(static_cast<std::size_t>(batch));
  for (std::size_t i = 0; i < other.size(); ++i) other[i] = std::int32_t(other.size() - 1 - i);
  const Tensor partner = Tensor::from_host(ctx, {batch}, std::span<const std::int32_t>(other));
  m({.name = "cutmix", .shape = shape, .cost = kernels::cutmix_cost<T>(batch, kSide, kSide, 3)}, [&] {
    kernels::cutmix<T>(ctx.target(), {.image = y.cspan<T>(), .partner = partner.cspan<std::int32_t>(), .out = out.span<T>(),
                                      .M = batch, .H = kSide, .W = kSide, .C = 3, .x1 = 50, .y1 = 50, .x2 = 150, .y2 = 150});
  });
}

// One photograph at a time, as the loader would: too small to fill a GPU, which is what these rows are to show.
void augmentation(Measure& m) {
  Context& ctx = m.context();
  constexpr int kHeight = 500, kWidth = 375;
  constexpr std::int64_t kPixels = std::int64_t(kHeight) * kWidth;
  const Target t = ctx.target();
  const std::string shape = str(kHeight, " x ", kWidth);
  const Tensor photo = bytes(ctx, 3 * kPixels), small = bytes(ctx, 3 * kSide * kSide),
               work = bytes(ctx, kernels::jpeg_round_trip_workspace(kHeight, kWidth));
  const auto image = photo.span<std::uint8_t>();
  m({.name = "flip", .shape = shape, .cost = kernels::flip_cost(kHeight, kWidth)},
    [&] { kernels::flip(t, {.image = image, .height = kHeight, .width = kWidth}); });
  m({.name = "brightness_contrast", .shape = shape, .cost = kernels::brightness_contrast_cost(3 * kPixels)},
    [&] { kernels::brightness_contrast(t, {.image = image, .alpha = 1.05f, .beta = 0.03f}); });
  m({.name = "hue_saturation_value", .shape = shape, .cost = kernels::hue_saturation_value_cost(kPixels)},
    [&] { kernels::hue_saturation_value(t, {.image = image, .hue = 5, .saturation = -3, .value = 4}); });
  m({.name = "jpeg_round_trip", .shape = shape, .cost = kernels::jpeg_round_trip_cost(kHeight, kWidth)}, [&] {
    kernels::jpeg_round_trip(t, {.image = image, .height = kHeight, .width = kWidth, .quality = 50, .workspace = work.span<std::uint8_t>()});
  });
  const kernels::Rect crop{40, 60, 340, 440};
  m({.name = "crop_resize", .shape = shape + " -> 224^2", .cost = kernels::crop_resize_cost(crop, kSide, kSide)}, [&] {
    kernels::crop_resize(t, {.image = photo.cspan<std::uint8_t>(), .height = kHeight, .width = kWidth, .crop = crop,
                             .out = small.span<std::uint8_t>(), .out_height = kSide, .out_width = kSide});
  });
}

void losses(Measure& m, std::int64_t n) {
  Context& ctx = m.context();
  const Target t = ctx.target();
  constexpr std::int64_t kDim = 128, kHidden = 384;
  const std::string shape = str("batch ", n);
  std::vector<float> half(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < half.size(); ++i) half[i] = float(i % 2);
  const Tensor z = random_tensor(ctx, {n}, DType::f32), y = Tensor::from_host(ctx, {n}, half), loss = Tensor::full(ctx, {1}, 1),
               dz = Tensor::empty(ctx, {n}), x = random_tensor(ctx, {n, kDim}, DType::f32), f = Tensor::empty(ctx, {n, kDim}),
               df = Tensor::empty(ctx, {n, kDim}), norm = Tensor::empty(ctx, {n}), stats = Tensor::empty(ctx, {n, 3}),
               wide = random_tensor(ctx, {n, kHidden}, DType::f32), out = Tensor::empty(ctx, {n, kHidden});
  m({.name = "bce_fwd", .shape = shape, .cost = kernels::bce_fwd_cost(n)},
    [&] { kernels::bce_fwd(t, {.z = z.cspan(), .y = y.cspan(), .loss = loss.span()}); });
  m({.name = "bce_bwd", .shape = shape, .cost = kernels::bce_bwd_cost(n)},
    [&] { kernels::bce_bwd(t, {.dloss = loss.cspan(), .z = z.cspan(), .y = y.cspan(), .dz = dz.span()}); });
  m({.name = "focal_fwd", .shape = shape, .cost = kernels::focal_fwd_cost(n)},
    [&] { kernels::focal_fwd(t, {.z = z.cspan(), .y = y.cspan(), .loss = loss.span()}); });
  m({.name = "focal_bwd", .shape = shape, .cost = kernels::focal_bwd_cost(n)},
    [&] { kernels::focal_bwd(t, {.dloss = loss.cspan(), .z = z.cspan(), .y = y.cspan(), .dz = dz.span()}); });
  m({.name = "l2_normalize_fwd", .shape = shape, .cost = kernels::l2_normalize_fwd_cost(n, kDim)},
    [&] { kernels::l2_normalize_fwd(t, {.x = x.cspan(), .y = f.span(), .norm = norm.span(), .N = n, .D = kDim}); });
  m({.name = "l2_normalize_bwd", .shape = shape, .cost = kernels::l2_normalize_bwd_cost(n, kDim)}, [&] {
    kernels::l2_normalize_bwd(t, {.dy = f.cspan(), .x = x.cspan(), .norm = norm.cspan(), .dx = df.span(), .N = n, .D = kDim});
  });
  m({.name = "supcon_fwd", .shape = shape, .cost = kernels::supcon_fwd_cost(n, kDim)}, [&] {
    kernels::supcon_fwd(t, {.f = f.cspan(), .labels = y.cspan(), .stats = stats.span(), .N = n, .D = kDim});
  });
  m({.name = "supcon_mean", .shape = shape, .cost = kernels::supcon_mean_cost(n)},
    [&] { kernels::supcon_mean(t, {.stats = stats.cspan(), .loss = loss.span(), .N = n}); });
  m({.name = "supcon_bwd", .shape = shape, .cost = kernels::supcon_bwd_cost(n, kDim)}, [&] {
    kernels::supcon_bwd(t, {.dloss = loss.cspan(), .f = f.cspan(), .labels = y.cspan(), .stats = stats.cspan(), .df = df.span(), .N = n, .D = kDim});
  });
  m({.name = "relu_fwd", .shape = shape, .cost = kernels::relu_fwd_cost<float>(n * kHidden)},
    [&] { kernels::relu_fwd<float>(t, {.x = wide.cspan(), .y = out.span()}); });
  m({.name = "relu_bwd", .shape = shape, .cost = kernels::relu_bwd_cost<float>(n * kHidden)},
    [&] { kernels::relu_bwd<float>(t, {.dy = wide.cspan(), .x = wide.cspan(), .dx = out.span()}); });
}

void optimizers(Measure& m) {
  Context& ctx = m.context();
  const Target t = ctx.target();
  const std::int64_t n = 28'600'000;
  const std::string shape = "28.6 M";
  const Tensor p = random_tensor(ctx, {n}, DType::f32), g = random_tensor(ctx, {n}, DType::f32), first = Tensor::zeros(ctx, {n}),
               second = Tensor::full(ctx, {n}, 1), copy = Tensor::empty(ctx, {n}, DType::bf16),
               doubles = Tensor::empty(ctx, {(1 + kernels::grad_norm_workspace(n)) * std::int64_t(sizeof(double))}, DType::u8);
  const Span<double> norm{reinterpret_cast<double*>(doubles.span<std::uint8_t>().ptr), 1};
  m({.name = "grad_norm", .shape = shape, .cost = kernels::grad_norm_cost(n)}, [&] {
    kernels::grad_norm(t, {.g = g.cspan(), .norm = norm, .workspace = {norm.ptr + 1, kernels::grad_norm_workspace(n)}});
  });
  m({.name = "adamw", .shape = shape + ", bf16 copy", .cost = kernels::adamw_cost(n, true)}, [&] {
    kernels::adamw(t, {.p = p.span(), .m = first.span(), .v = second.span(), .g = g.cspan(), .copy = copy.span<T>(), .lr = 1e-4});
  });
  m({.name = "sgd", .shape = shape + ", bf16 copy", .cost = kernels::sgd_cost(n, true)}, [&] {
    kernels::sgd(t, {.p = p.span(), .buffer = first.span(), .g = g.cspan(), .copy = copy.span<T>(), .lr = 1e-4, .momentum = 0.9});
  });
  m({.name = "ema", .shape = shape, .cost = kernels::ema_cost(n)},
    [&] { kernels::ema(t, {.e = first.span(), .p = p.cspan(), .decay = 0.9998}); });
  m({.name = "cast to bf16", .shape = shape, .cost = kernels::cast_cost<float, T>(n)},
    [&] { kernels::cast<float, T>(t, {.x = p.cspan(), .y = copy.span<T>()}); });
}

}  // namespace

void measure_training_kernels(Measure& m, std::int64_t batch) {
  batches(m, batch);
  augmentation(m);
  losses(m, batch);
  optimizers(m);
}

}  // namespace bonafide::bench
