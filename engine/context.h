// engine/context.h — everything an operation needs besides its arguments. Passed explicitly; there are no globals.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/allocator.h"
#include "engine/base.h"
#include "engine/device.h"

namespace bonafide {

class Staging;

// One device, its memory, and the state of the autograd tape. Must outlive every Tensor made with it. One thread at a
// time may record operations on a Context.
//
// On a GPU everything that computes goes to one stream, in the order in which it was asked for, and the host does not wait
// for it: only to_host(), item() and synchronize() do. A thread other than the one that made the Context calls
// use_in_this_thread() before it works with it.
class Context {
 public:
  // Without an allocator: one over the memory of the device. Throws, saying why, where a GPU cannot be used.
  explicit Context(Device device = {}, std::shared_ptr<CachingAllocator> allocator = nullptr);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  Device device() const { return device_; }
  bool on_gpu() const { return device_.kind == Device::cuda; }
  Target target() const { return {device_.kind, stream_}; }
  CachingAllocator& allocator() { return *allocator_; }
  // How a GPU multiplies f32 tensors; the CPU does it in full.
  F32Products f32_products() const { return f32_products_; }
  void set_f32_products(F32Products p) { f32_products_ = p; }
  void use_in_this_thread();
  void synchronize();  // waits for the device; an error in a kernel is reported here at the latest

  // Bytes between the host and memory of the device. Uploads return at once and overlap with kernels.
  void upload(void* to, const void* from, std::size_t bytes);
  void download(void* to, const void* from, std::size_t bytes);
  void copy(void* to, const void* from, std::size_t bytes);  // within the device
  void set_bytes(void* p, unsigned char value, std::size_t bytes);

  bool grad_enabled() const { return grad_enabled_; }
  std::uint64_t next_sequence() { return ++sequence_; }  // creation order of nodes is a topological order

 private:
  friend class NoGrad;
  friend class EnableGrad;
  Device device_;
  Stream stream_;
  std::shared_ptr<CachingAllocator> allocator_;
  std::unique_ptr<Staging> staging_;  // on a GPU
  F32Products f32_products_ = F32Products::full;
  bool grad_enabled_ = true;
  std::uint64_t sequence_ = 0;
};

// A named bar in a profiler's timeline while it lives; on the CPU nothing.
class ProfilerRange {
 public:
  ProfilerRange(const Context& ctx, const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;

 private:
  bool on_;
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
