// kernels/emulator/fiber.cpp — jumps between stacks; under AddressSanitizer each is announced.
#include "kernels/emulator/fiber.h"

#include <utility>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace bonafide::simt {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kStackBytes = 512 << 10;  // its stack frames are several times as large
void leave_for(void** keep, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(keep, stack, bytes);
}
void arrived(void* kept, const void** from, std::size_t* bytes) { __sanitizer_finish_switch_fiber(kept, from, bytes); }
#else
constexpr std::size_t kStackBytes = 64 << 10;
void leave_for(void**, const void*, std::size_t) {}
void arrived(void*, const void**, std::size_t*) {}
#endif

}  // namespace

namespace fc = boost::context::detail;

Fiber::Fiber() : stack_(new char[kStackBytes]) {}

void Fiber::start(std::function<void()> job) {
  job_ = std::move(job);
  done_ = false;
  inside_ = fc::make_fcontext(stack_.get() + kStackBytes, kStackBytes, &Fiber::enter);
}

void Fiber::resume() {
  void* kept = nullptr;
  leave_for(&kept, stack_.get(), kStackBytes);
  inside_ = fc::jump_fcontext(inside_, this).fctx;
  arrived(kept, nullptr, nullptr);
}

void Fiber::pause() {
  void* kept = nullptr;
  leave_for(&kept, outer_stack_, outer_stack_bytes_);
  outside_ = fc::jump_fcontext(outside_, nullptr).fctx;
  arrived(kept, &outer_stack_, &outer_stack_bytes_);
}

void Fiber::enter(fc::transfer_t from) {
  auto& self = *static_cast<Fiber*>(from.data);
  self.outside_ = from.fctx;
  arrived(nullptr, &self.outer_stack_, &self.outer_stack_bytes_);
  self.job_();
  self.done_ = true;
  leave_for(nullptr, self.outer_stack_, self.outer_stack_bytes_);  // this stack is done with
  fc::jump_fcontext(self.outside_, nullptr);
}

}  // namespace bonafide::simt
