// Blocks of threads on one host thread, those of a cluster together: every thread is a fiber that
// runs until it has to wait for others. Where all must meet (barriers, shuffles, matrix
// instructions), a thread that does not arrive, or arrives at another line, ends the launch with a
// sentence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "access.h"
#include "fiber.h"

namespace tamis::emulation {

// Where a function was called from, as its last and default argument.
struct Place {
  const char* file = "";
  int line = 0;

  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

inline constexpr int kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

// What a test varies; no result may depend on any of it.
struct Settings {
  uint64_t seed = 0;     // not 0: blocks, and the threads that could go on, in random order
  int host_threads = 1;  // each runs blocks of its own
  int sms = 4;
  int sum_order = 0;      // of the products of an mma, see warp.h
  bool truncate = false;  // sums of an mma are rounded towards zero
  bool races = true;      // a race in shared memory is a fault
  int capability = 90;    // of the device: 10 * major + minor
};
Settings& settings();

// What a kernel did that it must not do.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

// 16 bytes on their way to shared memory.
struct Transfer {
  void* to = nullptr;
  const void* from = nullptr;
  int bytes = 0;
};

class Block;

struct Thread {
  Index index;
  Block* block = nullptr;
  Fiber fiber;
  int number = 0, lane = 0, warp = 0;
  uintptr_t stack = 0;
  SharedAccesses* accesses = nullptr;
  bool done = false;
  int64_t steps = 0;               // accesses to memory since it met others
  const char* waits_at = nullptr;  // what it waits for, null while it can go on
  std::string detail;              // of what it waits for
  Place place;
  std::vector<std::vector<Transfer>> groups{1};  // of cp.async; the last one is open
};

struct Launch {
  void (*body)(const void* kernel, void** arguments) = nullptr;
  const void* kernel = nullptr;
  void** arguments = nullptr;
  Index grid;
  int threads = 0;
  int cluster = 1;  // blocks in a row of x that run together
  size_t shared_bytes = 0;
};

// Runs all blocks; throws Fault. grid.x is a multiple of cluster.
void run(const Launch& launch);

// For code inside a kernel:

extern constinit thread_local Thread* running;
extern constinit thread_local Index block_index;

// Ends the launch; sentence: what the running thread did.
[[noreturn]] void fail(const std::string& sentence, const Place& place);
[[noreturn]] void fail_at_once(const std::string& sentence);  // the place is in the sentence

unsigned char* shared_memory();
// Fails unless [at, at + bytes) lies in the block's shared memory, aligned to its size.
void check_shared(const void* at, size_t bytes, const char* what, const Place& place);

// What a meeting does once everyone is there. operands: by lane or thread, null where not expected.
using Act = void (*)(void* const* operands, int count);

// Waits until all lanes in mask have called this with the same mask, name and place. The last one
// acts on all operands.
void meet_warp(const char* name, uint32_t mask, void* operand, Act act, const Place& place);
// The same for all threads of the block.
void meet_block(const char* name, void* operand, Act act, const Place& place);

}  // namespace tamis::emulation

// Not macros, as the names are those of members, too.
extern constinit thread_local tamis::emulation::Index gridDim;
extern constinit thread_local tamis::emulation::Index blockDim;
