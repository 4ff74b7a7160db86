// layers/functional/losses.h — losses over a batch: scalars [1] f32, differentiable in the logits or features.
#pragma once
#include <string_view>

#include "engine/communicator.h"
#include "engine/tensor.h"
#include "kernels/focal/focal.h"
#include "kernels/supcon/supcon.h"

namespace bonafide::fn {

using kernels::FocalForm;
using kernels::SupConForm;

// By the names of the configuration (loss.focal_form, loss.supcon_form); another name is an Error that lists them.
FocalForm focal_form(std::string_view name);    // detached_one_sided, canonical
SupConForm supcon_form(std::string_view name);  // log_outside, l_out, soft

// Logits z and labels y (1 = attack; soft labels in between): f32, as many of one as of the other, any shape.
Tensor bce(const Tensor& z, const Tensor& y, float smoothing = 0);                           // kernels/bce/bce.h
Tensor focal(const Tensor& z, const Tensor& y, FocalForm form, double alpha, double gamma);  // kernels/focal/focal.h

// Features f [N, D] f32 of unit length (fn::l2_normalize), labels [N] f32: mixed labels may be passed as they are, the
// hard forms take their integer part. kernels/supcon/supcon.h.
//
// With `shares` every process computes the anchors of its own rows and gathers what the others found: the loss has the same
// bits as without, and so has the gradient of the own rows; that of others' rows is zero, because their owners have it.
struct AnchorShares {
  Communicator* comm = nullptr;      // nullptr: this process computes all anchors
  std::vector<std::int64_t> first{};  // rank r has rows [first[r], first[r + 1])
};
Tensor supcon(const Tensor& f, const Tensor& labels, SupConForm form, float temperature, const AnchorShares& shares = {});

}  // namespace bonafide::fn
