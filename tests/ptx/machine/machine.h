// A machine that executes PTX: clusters one after another, the warps of a cluster in turn, the
// lanes of a warp together where they are at the same instruction, but for some that are held back
// now and then. One host thread; what is asynchronous is done at the latest when somebody waits for
// it.
//
// Addresses: global memory is the host's. Shared memory has 32-bit addresses, its dynamic part
// begins at kSharedBase; bits 24 and up hold the rank of the block in its cluster, plus one where
// an address was made by mapa (those of a block for itself have zero there).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "program.h"

namespace ptx {

inline constexpr int kLanes = 32;
inline constexpr Lanes kAll = 0xffffffffu;
inline constexpr uint32_t kSharedBase = 1024;  // what is below is the hardware's
inline constexpr uint8_t kUnwritten = 0x7e;    // of shared memory: large in every float format

struct Size {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

struct Launch {
  const Kernel* kernel = nullptr;
  Size grid, block, cluster;
  size_t shared_bytes = 0;
  const uint8_t* parameters = nullptr;  // [kernel->parameter_bytes]
  uint64_t seed = 0;                    // of the order of clusters and of warps
};

// 64 bytes of a launch's parameters: tensor maps among them are aligned so.
struct alignas(64) ParameterBytes {
  uint8_t bytes[64];
};

class Block;
class Cluster;
struct Products;

class Warp {
 public:
  Warp(Block& block, int index, Lanes lanes);

  Block& block;
  const int index;     // in its block
  Lanes alive;         // have not ended
  bool waits = false;  // for collective instructions that answer kAgain: has arrived
  uint64_t phase = 0;  // of what it waits for, theirs too
  Lanes carry = 0;     // the condition code of add.cc and the like
  // Of barrier.cluster: the lanes that arrived in this phase, those that have yet to wait.
  Lanes has_arrived = 0, owes_wait = 0;
  uint32_t n_registers = 0;            // of a lane, by setmaxnreg
  std::shared_ptr<Products> products;  // of wgmma: what has been issued and not been waited for

  uint64_t since_poll = ~uint64_t{0} >> 1;  // instructions since a wait that others must end

  // The 64 bits of a register; what it does not have are any bits.
  uint64_t& at(int32_t slot, int lane) { return registers_[size_t(slot) * kLanes + lane]; }
  // Of a register, constant, special register, the offset of a parameter, a shared name's address.
  // A negated predicate is negated. Predicates are 0 or 1.
  uint64_t value(const Operand& operand, int lane) const;
  // value(parts[0]) + bits of an address; in 32 bits where it is one of shared memory.
  uint64_t address(const Operand& operand, int lane) const;
  // Of destinations; nothing happens for _. Writes all 64 bits.
  void set(const Operand& operand, int lane, uint64_t bits) {
    if (operand.kind == Operand::kRegister) at(operand.slot, lane) = bits;
  }

  // Executes one instruction for some lanes. kAgain where all lanes wait.
  Outcome step();
  // These lanes do nothing for so many steps, unless the others wait for them: nobody promises that
  // lanes without a barrier between them are at the same instruction.
  void hold_back(Lanes lanes, uint64_t steps);

 private:
  uint64_t special(Operand::Special which, int lane) const;
  // Of the lanes at an instruction, those that may execute it now; 0 where none may.
  Lanes gathered(const Instruction& instruction, Lanes lanes) const;
  Lanes guarded_by(const Instruction& instruction, Lanes lanes) const;
  Outcome step_of(Lanes lanes);
  bool meet_apart();
  Outcome execute(const Instruction& instruction, uint32_t pc, Lanes lanes);
  void go_on(const Instruction& instruction, uint32_t pc, Lanes lanes, Lanes guarded);

  uint32_t pc_[kLanes] = {};  // indices of Kernel::code; where all are together, only common_ is
  uint32_t common_ = 0;
  bool together_ = true;
  Lanes held_ = 0;
  uint64_t held_for_ = 0;  // steps
  std::vector<uint64_t> registers_;
};

// Of cp.async: what a lane asked for, done when its group is waited for.
struct CopyGroups {
  std::vector<std::function<void()>> open;
  std::deque<std::vector<std::function<void()>>> closed;
};

class Block {
 public:
  Block(Cluster& cluster, Size index, uint32_t rank, const Launch& launch);

  Cluster& cluster;
  const Launch& launch;
  const Size index;
  const uint32_t rank;  // in its cluster
  std::vector<std::unique_ptr<Warp>> warps;
  std::vector<CopyGroups> copies;  // [threads]

  // Of cp.async.bulk with bulk groups, by thread.
  std::map<int, CopyGroups> bulk_copies;

  // bar.sync and bar.red of one barrier: warps that arrived, and how often all had.
  struct Barrier {
    int arrived = 0;
    uint64_t phase = 0;
    uint32_t count = 0;         // threads that are expected, 0 for all; of the first to arrive
    bool is_reduction = false;  // of the first to arrive
    int votes = 0, last_votes = 0;
    bool any = false, all = true;            // of the predicates so far
    bool last_any = false, last_all = true;  // of the phase that ended
  } barriers[16];

  // An mbarrier, by its address. Its 8 bytes of shared memory are an image of this.
  struct Mbarrier {
    uint32_t expected = 0, pending = 0;  // arrivals
    int64_t bytes = 0;                   // expected and not yet copied
    uint64_t phase = 0;                  // how many have ended
  };
  std::map<uint32_t, Mbarrier> mbarriers;

  // bytes of shared memory of this block, or of the one of the cluster that the address names.
  // Error where they are outside, or not aligned to alignment.
  uint8_t* shared(uint32_t address, size_t bytes, size_t alignment);
  // The address of memory that lies in the shared memory of this block, or of one of the cluster.
  // Error where it lies in none.
  uint32_t shared_address(const uint8_t* memory) const;
  int n_alive() const;  // warps

 private:
  struct Free {
    void operator()(uint8_t* memory) const;
  };
  std::unique_ptr<uint8_t, Free> memory_;  // 1024-byte aligned, from kSharedBase on
  size_t shared_bytes_;
  bool has_ended_ = false;
  friend class Warp;
};

class Cluster {
 public:
  Cluster(const Launch& launch, Size first_block, std::mt19937_64& random);

  const Launch& launch;
  std::vector<std::unique_ptr<Block>> blocks;
  uint64_t now =
      1;  // nanoseconds: one for each step of a warp, so that time passes alike in every run
  // What the hardware does later, such as copies by TMA: one is done now and then, in any order.
  std::vector<std::function<void()>> later;

  // Until all have ended. Error for a deadlock.
  void run();
  uint64_t draw() { return random_(); }

 private:
  void run_later();
  bool take_turn(Warp& warp);

  std::mt19937_64& random_;
};

// The parameters of a launch from a pointer to each.
std::vector<ParameterBytes> packed(const Kernel& kernel, const void* const* arguments);

// Executes a kernel. Error, with the kernel, the line and its text, where that fails.
void run(const Launch& launch);

}  // namespace ptx
