// Threads of a block as fibers: many stacks on one host thread, switched by hand.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace tamis::emulation {

class Fiber {
 public:
  // The next switch to the fiber calls entry(argument), which never returns.
  void start(void* stack, size_t stack_bytes, void (*entry)(void*), void* argument);
  // Goes on in `to`, until something switches back to this fiber.
  void switch_to(Fiber& to);

 private:
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_;
#endif
};

// Stacks of one size, each above a page that must not be touched.
class Stacks {
 public:
  static constexpr size_t kBytes = 256 << 10;

  explicit Stacks(int count);
  ~Stacks();
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  void* stack(int i) const { return memory_ + static_cast<size_t>(i) * kStride + kGuard; }
  int count() const { return count_; }

 private:
  static constexpr size_t kGuard = 64 << 10;  // a page, however large
  static constexpr size_t kStride = kGuard + kBytes;

  int count_;
  char* memory_;
};

}  // namespace tamis::emulation
