// Every access of a kernel to memory, seen: beside an array of device memory, beside shared memory,
// and in a race with another thread.
//
// Shared memory: two accesses to a byte, one of them a write, with neither a __syncthreads nor,
// inside a warp, a __syncwarp of all lanes between them. Device memory: a read or a write of what
// another thread of the launch wrote, without such a barrier; what another block wrote may be read
// where it called __threadfence since, and the reader did, too. (That a block reads what another
// one writes later is seen when the blocks run in another order.) Atomics do not race with each
// other.
//
// Kernels are compiled with -fsanitize=thread, which calls a function before each access;
// access.cpp has these functions, not the sanitizer's library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tamis::emulation {

enum class Access : uint8_t { read, write, atomic };

// Checks an access of the running thread; nothing outside of a kernel.
void touch(const void* at, size_t bytes, Access access);

// Device memory [begin, begin + bytes), with kZone bytes on either side that nobody may touch.
inline constexpr size_t kZone = 256;
void add_memory(const void* begin, size_t bytes);
void forget_memory();

// Accesses of an earlier launch are ordered before those of this one.
void begin_launch(size_t blocks);
void pass_fence();

// Who last accessed a byte of shared memory in some way, and when.
struct Mark {
  uint32_t epoch = 0;       // of the block: barriers so far
  uint16_t warp_epoch = 0;  // of the warp: __syncwarps so far
  int16_t who = 0;          // a thread; -2 - w: several threads of warp w; -1: of several warps
};

class Later;

class SharedAccesses {
 public:
  // A block starts. zone: how much around shared memory is the emulation's own.
  void begin(unsigned char* shared, size_t bytes, size_t zone, int warps, size_t block);
  // From now on, and until the block ends, this one is told too.
  void watch(Later* later) { later_ = later; }
  void pass_barrier() { ++epoch_; }
  void pass_warp_barrier(int warp) { ++warp_epochs_[static_cast<size_t>(warp)]; }

  size_t block() const { return block_; }
  uint32_t epoch() const { return epoch_; }
  uint16_t warp_epoch(int warp) const { return warp_epochs_[static_cast<size_t>(warp)]; }

  // Whether it lies in shared memory or the zones around it.
  bool near(uintptr_t at) const { return at - start_ < whole_; }
  // Fails where it is outside, or in a race.
  void check(uintptr_t at, size_t bytes, Access access);

 private:
  struct Byte {
    Mark read, write, atomic;
  };
  bool races(const Mark& mark) const;
  void add(Mark& mark) const;

  Later* later_ = nullptr;
  uintptr_t start_ = 0;
  size_t whole_ = 0, zone_ = 0, bytes_ = 0;
  size_t block_ = 0;
  uint32_t epoch_ = 0;  // goes on from block to block, so that marks need no clearing
  std::vector<uint16_t> warp_epochs_;
  std::vector<Byte> marks_;
};

}  // namespace tamis::emulation
