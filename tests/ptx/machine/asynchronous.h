// What asynchronous instructions share: addresses of shared memory, and mbarriers.
#pragma once

#include "machine.h"

namespace ptx {

Execute find_mbarrier(Instruction&);
Execute find_copy(Instruction&);         // cp.async
Execute find_bulk_copy(Instruction&);    // cp.async.bulk
Execute find_tensor_copy(Instruction&);  // cp.async.bulk.tensor, prefetch.tensormap

// The address of shared memory that an operand names, by a generic one where the instruction names
// no space.
uint32_t shared_address(const Warp& warp, const Instruction& instruction, const Operand& operand,
                        int lane);
// Whose shared memory that is.
Block& owner(Block& block, const Instruction& instruction, uint32_t address);
// Error where it is not that of the block itself.
void check_own(const Block& block, const Instruction& instruction, uint32_t address);

inline uint32_t offset_of(uint32_t address) { return address & 0xffffff; }

// An mbarrier that exists.
class Mbarrier {
 public:
  Mbarrier(Block& block, const Instruction& instruction, uint32_t address);

  static void init(Block& block, const Instruction& instruction, uint32_t address, uint32_t count);
  void inval();
  void arrive(uint32_t count, bool drops);
  void expect(uint32_t bytes);
  void complete(uint32_t bytes);
  const Block::Mbarrier& state() const { return state_; }

 private:
  void set_bytes(int64_t bytes);
  void end_phase();
  void write();

  const Instruction& instruction_;
  uint32_t offset_;
  Block& owner_;
  Block::Mbarrier& state_;
};

// What a copy into shared memory leaves there until it has come: what was there and what comes are
// both wrong to expect.
inline void spoil(uint8_t* memory, size_t bytes) { std::memset(memory, kUnwritten, bytes); }

// Brings bytes into the memory of some blocks, later. They are complete for the mbarriers there.
struct Delivery {
  uint32_t to, mbarrier;  // addresses
  uint32_t bytes;         // of to, as many as are complete
  size_t alignment;       // of to
  bool is_multicast;      // to all blocks of mask, at the same offsets
  uint32_t mask;
  std::function<void(uint8_t*)> write;  // what is copied, when it is
};
void deliver(Block& block, const Instruction& instruction, const Delivery& delivery);

// Moves what was asked for into a group of its own; does those groups that are too many.
void close_group(CopyGroups& copies);
void finish_groups(CopyGroups& copies, size_t most_left);

}  // namespace ptx
