// engine/context.h — everything an operation needs besides its arguments. Passed explicitly; there are no globals.
#pragma once
#include <cstdint>
#include <memory>

#include "engine/allocator.h"
#include "engine/base.h"
#include "engine/device.h"

namespace bonafide {

// One device, its memory, and the state of the autograd tape. Must outlive every Tensor made with it. One thread at a
// time may record operations on a Context.
class Context {
 public:
  explicit Context(Device device = {}, std::shared_ptr<CachingAllocator> allocator = std::make_shared<CachingAllocator>())
      : device_(device), allocator_(std::move(allocator)) {
    BF_CHECK(device_.kind == Device::cpu, "this build has no CUDA backend");
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Device device() const { return device_; }
  Target target() const { return {device_.kind}; }
  CachingAllocator& allocator() { return *allocator_; }

  bool grad_enabled() const { return grad_enabled_; }
  std::uint64_t next_sequence() { return ++sequence_; }  // creation order of nodes is a topological order

 private:
  friend class NoGrad;
  friend class EnableGrad;
  Device device_;
  std::shared_ptr<CachingAllocator> allocator_;
  bool grad_enabled_ = true;
  std::uint64_t sequence_ = 0;
};

// While it lives, operations record nothing (evaluation, EMA, initialisation).
class NoGrad {
 public:
  explicit NoGrad(Context& ctx) : ctx_(ctx), before_(ctx.grad_enabled_) { ctx.grad_enabled_ = false; }
  ~NoGrad() { ctx_.grad_enabled_ = before_; }
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;

 private:
  Context& ctx_;
  bool before_;
};

// The opposite: recording is on again (a node that replays part of its forward during backward).
class EnableGrad {
 public:
  explicit EnableGrad(Context& ctx) : ctx_(ctx), before_(ctx.grad_enabled_) { ctx.grad_enabled_ = true; }
  ~EnableGrad() { ctx_.grad_enabled_ = before_; }
  EnableGrad(const EnableGrad&) = delete;
  EnableGrad& operator=(const EnableGrad&) = delete;

 private:
  Context& ctx_;
  bool before_;
};

}  // namespace bonafide
