#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__x86_64__)
// Saves what a function must preserve on the old stack, and takes it from the new one.
extern "C" void tamis_emulation_switch(void** from, void* to);
asm(R"(
  .text
  .type tamis_emulation_switch, @function
  .hidden tamis_emulation_switch
  .globl tamis_emulation_switch
tamis_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size tamis_emulation_switch, .-tamis_emulation_switch

  .type tamis_emulation_enter, @function
  .hidden tamis_emulation_enter
  .globl tamis_emulation_enter
tamis_emulation_enter:
  movq %r12, %rdi
  callq *%r13
  ud2
  .size tamis_emulation_enter, .-tamis_emulation_enter
)");
extern "C" void tamis_emulation_enter();
#endif

namespace tamis::emulation {

#if defined(__x86_64__)

void Fiber::start(void* stack, size_t stack_bytes, void (*entry)(void*), void* argument) {
  auto top = reinterpret_cast<uintptr_t>(stack) + stack_bytes;
  top &= ~static_cast<uintptr_t>(15);
  auto* words = reinterpret_cast<void**>(top) - 9;
  words[0] = nullptr;                         // r15
  words[1] = nullptr;                         // r14
  words[2] = reinterpret_cast<void*>(entry);  // r13
  words[3] = argument;                        // r12
  words[4] = nullptr;                         // rbx
  words[5] = nullptr;                         // rbp
  words[6] = reinterpret_cast<void*>(&tamis_emulation_enter);
  words[7] = words[8] = nullptr;  // where the stack is at the call: 16-byte aligned
  stack_pointer_ = words;
}

void Fiber::switch_to(Fiber& to) { tamis_emulation_switch(&stack_pointer_, to.stack_pointer_); }

#else

namespace {

void enter(unsigned entry_high, unsigned entry_low, unsigned high, unsigned low) {
  const auto entry = static_cast<uintptr_t>(entry_high) << 32 | entry_low;
  const auto argument = static_cast<uintptr_t>(high) << 32 | low;
  reinterpret_cast<void (*)(void*)>(entry)(reinterpret_cast<void*>(argument));
  std::abort();
}

}  // namespace

void Fiber::start(void* stack, size_t stack_bytes, void (*entry)(void*), void* argument) {
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack;
  context_.uc_stack.ss_size = stack_bytes;
  context_.uc_link = nullptr;
  const uint64_t function = reinterpret_cast<uintptr_t>(entry);
  const uint64_t value = reinterpret_cast<uintptr_t>(argument);
  makecontext(&context_, reinterpret_cast<void (*)()>(enter), 4,
              static_cast<unsigned>(function >> 32), static_cast<unsigned>(function),
              static_cast<unsigned>(value >> 32), static_cast<unsigned>(value));
}

void Fiber::switch_to(Fiber& to) { swapcontext(&context_, &to.context_); }

#endif

Stacks::Stacks(int count) : count_(count) {
  const size_t bytes = static_cast<size_t>(count) * kStride;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  for (int i = 0; i < count; ++i) {
    mprotect(memory_ + static_cast<size_t>(i) * kStride, kGuard, PROT_NONE);
  }
}

Stacks::~Stacks() { munmap(memory_, static_cast<size_t>(count_) * kStride); }

}  // namespace tamis::emulation
