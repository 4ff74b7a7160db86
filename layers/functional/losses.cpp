// layers/functional/losses.cpp — the kernels recorded for autograd.
#include "layers/functional/losses.h"

#include "engine/autograd.h"
#include "kernels/bce/bce.h"
#include "layers/functional/all_gather.h"

namespace bonafide::fn {
namespace {

struct BceNode final : Node {
  Tensor y;
  float smoothing = 0;
  const char* name() const override { return "bce"; }
  void backward(const Tensor& dloss) override {
    const auto dz = inputs[0].grad_slot();
    kernels::bce_bwd(inputs[0].context().target(), {.dloss = dloss.cspan(),
                                                    .z = inputs[0].cspan(),
                                                    .y = y.cspan(),
                                                    .dz = dz.span(),
                                                    .dz_mode = dz.mode,
                                                    .smoothing = smoothing});
  }
};

struct FocalNode final : Node {
  Tensor y;
  FocalForm form{};
  double alpha = 0, gamma = 0;
  const char* name() const override { return "focal"; }
  void backward(const Tensor& dloss) override {
    const auto dz = inputs[0].grad_slot();
    kernels::focal_bwd(inputs[0].context().target(), {.dloss = dloss.cspan(),
                                                      .z = inputs[0].cspan(),
                                                      .y = y.cspan(),
                                                      .dz = dz.span(),
                                                      .dz_mode = dz.mode,
                                                      .form = form,
                                                      .alpha = alpha,
                                                      .gamma = gamma});
  }
};

struct SupConNode final : Node {
  Tensor labels, stats;
  SupConForm form{};
  float temperature = 1;
  std::int64_t begin = 0, end = 0;
  const char* name() const override { return "supcon"; }
  void backward(const Tensor& dloss) override {
    const Tensor& f = inputs[0];
    const auto df = f.grad_slot();
    kernels::supcon_bwd(f.context().target(), {.dloss = dloss.cspan(),
                                               .f = f.cspan(),
                                               .labels = labels.cspan(),
                                               .stats = stats.cspan(),
                                               .df = df.span(),
                                               .df_mode = df.mode,
                                               .form = form,
                                               .N = f.shape()[0],
                                               .D = f.shape()[1],
                                               .temperature = temperature,
                                               .begin = begin,
                                               .end = end});
  }
};

}  // namespace

FocalForm focal_form(std::string_view name) {
  if (name == "detached_one_sided") return FocalForm::detached_one_sided;
  if (name == "canonical") return FocalForm::canonical;
  throw Error(str("unknown focal form '", name, "', expected detached_one_sided or canonical"));
}
SupConForm supcon_form(std::string_view name) {
  if (name == "log_outside") return SupConForm::log_outside;
  if (name == "l_out") return SupConForm::l_out;
  if (name == "soft") return SupConForm::soft;
  throw Error(str("unknown supcon form '", name, "', expected log_outside, l_out or soft"));
}

Tensor bce(const Tensor& z, const Tensor& y, float smoothing) {
  Tensor loss = Tensor::empty(z.context(), {1});
  kernels::bce_fwd(z.context().target(), {.z = z.cspan(), .y = y.cspan(), .loss = loss.span(), .smoothing = smoothing});
  if (needs_grad(z.context(), z)) {
    auto n = std::make_shared<BceNode>();
    n->inputs = {z}, n->y = y, n->smoothing = smoothing;
    loss.set_node(std::move(n));
  }
  return loss;
}

Tensor focal(const Tensor& z, const Tensor& y, FocalForm form, double alpha, double gamma) {
  Tensor loss = Tensor::empty(z.context(), {1});
  kernels::focal_fwd(
      z.context().target(),
      {.z = z.cspan(), .y = y.cspan(), .loss = loss.span(), .form = form, .alpha = alpha, .gamma = gamma});
  if (needs_grad(z.context(), z)) {
    auto n = std::make_shared<FocalNode>();
    n->inputs = {z}, n->y = y, n->form = form, n->alpha = alpha, n->gamma = gamma;
    loss.set_node(std::move(n));
  }
  return loss;
}

Tensor supcon(const Tensor& f, const Tensor& labels, SupConForm form, float temperature, const AnchorShares& shares) {
  BF_CHECK(f.shape().rank() == 2, "supcon: expected features [N, D], got ", f.shape().str());
  const std::int64_t N = f.shape()[0], D = f.shape()[1];
  std::int64_t begin = 0, end = N;
  if (shares.comm) {
    const auto rank = std::size_t(shares.comm->rank());
    BF_CHECK(shares.first.size() == std::size_t(shares.comm->world()) + 1 && shares.first.back() == N, "supcon: ", shares.first.size(),
             " bounds of the shares of ", shares.comm->world(), " processes in ", N, " rows");
    begin = shares.first[rank], end = shares.first[rank + 1];
  }
  Tensor stats = Tensor::empty(f.context(), {end - begin, 3});
  kernels::supcon_fwd(f.context().target(), {.f = f.cspan(),
                                             .labels = labels.cspan(),
                                             .stats = stats.span(),
                                             .form = form,
                                             .N = N,
                                             .D = D,
                                             .temperature = temperature,
                                             .begin = begin,
                                             .end = end});
  if (shares.comm) stats = all_gather_rows(*shares.comm, stats, shares.first);
  Tensor loss = Tensor::empty(f.context(), {1});
  kernels::supcon_mean(f.context().target(), {.stats = stats.cspan(), .loss = loss.span(), .N = N});
  if (needs_grad(f.context(), f)) {
    auto n = std::make_shared<SupConNode>();
    n->inputs = {f}, n->labels = labels, n->stats = stats, n->form = form, n->temperature = temperature, n->begin = begin, n->end = end;
    loss.set_node(std::move(n));
  }
  return loss;
}

}  // namespace bonafide::fn
