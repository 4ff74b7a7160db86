// kernels/emulator/fiber.h — stacks that take turns on one thread (Boost.Context): resume() runs one until it pauses.
#pragma once
#include <boost/context/detail/fcontext.hpp>
#include <functional>
#include <memory>

namespace bonafide::simt {

// The job must end or be resumed until it ends before the fiber is destroyed or started again, and may not let an
// exception out: a fiber has no caller. (Boost's own fiber class unwinds abandoned stacks with an exception through the
// job; here the jumps are bare, so that AddressSanitizer can be told of each.)
class Fiber {
 public:
  Fiber();
  void start(std::function<void()> job);
  void resume();  // from outside: returns when the job pauses or ends
  void pause();   // from within the job
  bool done() const { return done_; }

 private:
  static void enter(boost::context::detail::transfer_t from);

  std::unique_ptr<char[]> stack_;
  std::function<void()> job_;
  boost::context::detail::fcontext_t inside_ = nullptr, outside_ = nullptr;
  bool done_ = true;
  const void* outer_stack_ = nullptr;  // what AddressSanitizer wants to know
  std::size_t outer_stack_bytes_ = 0;
};

}  // namespace bonafide::simt
