// Barriers of the warps of a block, and of the threads of a cluster.
#include "collective.h"
#include "lanes.h"

namespace ptx {

namespace {

enum class Kind { kSync, kArrive, kCount, kAnd, kOr };

bool reduces(Kind kind) { return kind != Kind::kSync && kind != Kind::kArrive; }

uint32_t counted(const Block& block, uint32_t count) {
  return count == 0 ? static_cast<uint32_t>(block.warps.size()) * kLanes : count;
}

// count: threads, 0 for all of the block.
void arrive(Warp& warp, const Instruction& instruction, Block::Barrier& barrier, uint32_t count,
            bool is_reduction) {
  if (barrier.arrived == 0) {
    barrier.count = count;
    barrier.is_reduction = is_reduction;
  }
  if (counted(warp.block, barrier.count) != counted(warp.block, count)) {
    instruction.refuse("others arrived at this barrier with another number of threads");
  }
  if (barrier.is_reduction != is_reduction) {
    instruction.refuse("bar.red meets bar.sync or bar.arrive at one barrier");
  }
  ++barrier.arrived;
}

// A new phase where all have arrived: without a count, all warps that have not ended.
void end_phase(const Block& block, Block::Barrier& barrier) {
  const int expected =
      barrier.count == 0 ? block.n_alive() : static_cast<int>(barrier.count) / kLanes;
  if (barrier.arrived < expected) return;
  Block::Barrier next;
  next.phase = barrier.phase + 1;
  next.last_any = barrier.any;
  next.last_all = barrier.all;
  next.last_votes = barrier.votes;
  barrier = next;
}

uint64_t result(Kind kind, const Block::Barrier& barrier) {
  if (kind == Kind::kCount) return static_cast<uint64_t>(barrier.last_votes);
  return kind == Kind::kAnd ? barrier.last_all : barrier.last_any;
}

// [result,] barrier [, threads] [, predicate]
template <Kind kKind>
Outcome meet(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  const size_t first = reduces(kKind) ? 1 : 0, last = operands.size() - first;
  const auto number = same<uint32_t>(warp, instruction, operands[first], lanes);
  if (number > 15) instruction.refuse("barriers have the numbers 0 to 15");
  Block::Barrier& barrier = warp.block.barriers[number];
  if (!warp.waits) {
    if (lanes != warp.alive) instruction.refuse("not all lanes of the warp execute it");
    uint32_t count = 0;
    if (last - first == 2) {
      count = same<uint32_t>(warp, instruction, operands[first + 1], lanes);
      if (count == 0 || count % kLanes != 0) {
        instruction.refuse("the number of threads is not a multiple of 32 above zero");
      }
    }
    arrive(warp, instruction, barrier, count, reduces(kKind));
    if (reduces(kKind)) {
      const Lanes yes = votes(warp, operands.back(), lanes);
      barrier.votes += std::popcount(yes);
      barrier.any = barrier.any || yes != 0;
      barrier.all = barrier.all && yes == lanes;
    }
    warp.waits = true;
    warp.phase = barrier.phase;
  }
  if (barrier.phase == warp.phase) end_phase(warp.block, barrier);
  if (barrier.phase == warp.phase && kKind != Kind::kArrive) return Outcome::kAgain;
  warp.waits = false;
  if (reduces(kKind)) {
    if (barrier.phase != warp.phase + 1) instruction.refuse("its result is overwritten already");
    for_lanes(lanes, [&](int lane) { warp.set(operands[0], lane, result(kKind, barrier)); });
  }
  return Outcome::kDone;
}

// A thread that arrived waits before it arrives again.
Outcome arrive_in_cluster(Warp& warp, const Instruction& instruction, Lanes lanes) {
  if ((warp.owes_wait & lanes) != 0) instruction.refuse("it arrived already and did not wait");
  warp.owes_wait |= lanes;
  warp.has_arrived |= lanes;
  return Outcome::kTold;
}

Outcome wait_in_cluster(Warp& warp, const Instruction& instruction, Lanes lanes) {
  if ((lanes & ~warp.owes_wait) != 0) instruction.refuse("it waits and did not arrive");
  Cluster& cluster = warp.block.cluster;
  if ((warp.has_arrived & lanes) != 0) {  // in a phase that has not ended
    for (const auto& block : cluster.blocks) {
      for (const auto& other : block->warps) {
        if ((other->alive & ~other->has_arrived) != 0) return Outcome::kAgain;
      }
    }
    for (const auto& block : cluster.blocks) {
      for (const auto& other : block->warps) other->has_arrived = 0;
    }
  }
  warp.owes_wait &= ~lanes;
  return Outcome::kDone;
}

Execute find_kind(const Instruction& instruction) {
  const size_t n = instruction.operands.size();
  if (instruction.has("sync") && (n == 1 || n == 2)) return meet<Kind::kSync>;
  if (instruction.has("arrive") && n == 2) return meet<Kind::kArrive>;
  if (!instruction.has("red") || (n != 3 && n != 4)) return nullptr;
  if (instruction.has("popc")) return meet<Kind::kCount>;
  if (instruction.has("and")) return meet<Kind::kAnd>;
  if (instruction.has("or")) return meet<Kind::kOr>;
  return nullptr;
}

}  // namespace

Execute find_barrier(Instruction& instruction) {
  if (!instruction.has("cluster")) {
    // With or without .aligned a warp arrives when all of its lanes have come.
    instruction.gather = Instruction::kWarp;
    return find_kind(instruction);
  }
  if (instruction.has("aligned")) instruction.gather = Instruction::kWarp;
  if (instruction.has("arrive")) return arrive_in_cluster;
  if (instruction.has("wait")) return wait_in_cluster;
  return nullptr;
}

}  // namespace ptx
