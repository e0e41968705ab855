#include <algorithm>
#include <string>

#include "lanes.h"

namespace ptx {

namespace {

inline constexpr uint64_t kStepsAfterPoll = 32;

}  // namespace

Warp::Warp(Block& block, int index, Lanes lanes)
    : block(block),
      index(index),
      alive(lanes),
      registers_(static_cast<size_t>(block.launch.kernel->n_slots) * kLanes,
                 0x7e7e7e7e7e7e7e7eull) {}

uint64_t Warp::special(Operand::Special which, int lane) const {
  const Launch& launch = block.launch;
  const auto thread = static_cast<uint32_t>(index * kLanes + lane);
  const Size& size = launch.block;
  switch (which) {
    case Operand::kTidX:
      return thread % size.x;
    case Operand::kTidY:
      return thread / size.x % size.y;
    case Operand::kTidZ:
      return thread / size.x / size.y;
    case Operand::kNtidX:
      return size.x;
    case Operand::kNtidY:
      return size.y;
    case Operand::kNtidZ:
      return size.z;
    case Operand::kCtaidX:
      return block.index.x;
    case Operand::kCtaidY:
      return block.index.y;
    case Operand::kCtaidZ:
      return block.index.z;
    case Operand::kNctaidX:
      return launch.grid.x;
    case Operand::kNctaidY:
      return launch.grid.y;
    case Operand::kNctaidZ:
      return launch.grid.z;
    case Operand::kLaneid:
      return static_cast<uint64_t>(lane);
    case Operand::kWarpid:
      return static_cast<uint64_t>(index);
    case Operand::kClusterCtarank:
      return block.rank;
    case Operand::kClusterNctarank:
      return launch.cluster.count();
    case Operand::kClusterCtaidX:
      return block.rank % launch.cluster.x;
    case Operand::kClusterCtaidY:
      return block.rank / launch.cluster.x % launch.cluster.y;
    case Operand::kClusterCtaidZ:
      return block.rank / launch.cluster.x / launch.cluster.y;
    case Operand::kClusterNctaidX:
      return launch.cluster.x;
    case Operand::kClusterNctaidY:
      return launch.cluster.y;
    case Operand::kClusterNctaidZ:
      return launch.cluster.z;
    case Operand::kGlobaltimer:
    case Operand::kClock64:
      return block.cluster.now;
    case Operand::kLanemaskLt:
      return lane_bit(lane) - 1;
    case Operand::kLanemaskLe:
      return lane_bit(lane) | (lane_bit(lane) - 1);
    case Operand::kLanemaskGt:
      return kAll & ~(lane_bit(lane) | (lane_bit(lane) - 1));
    case Operand::kLanemaskGe:
      return kAll & ~(lane_bit(lane) - 1);
    case Operand::kLanemaskEq:
      return lane_bit(lane);
    case Operand::kDynamicSmemSize:
      return launch.shared_bytes;
  }
  return 0;
}

uint64_t Warp::value(const Operand& operand, int lane) const {
  switch (operand.kind) {
    case Operand::kRegister: {
      const uint64_t bits = registers_[static_cast<size_t>(operand.slot) * kLanes + lane];
      return operand.negated ? bits ^ 1 : bits;
    }
    case Operand::kConstant:
      return operand.negated ? operand.bits ^ 1 : operand.bits;
    case Operand::kParameter:
    case Operand::kShared:
      return operand.bits;
    case Operand::kSpecial:
      return special(operand.special, lane);
    default:
      throw Error("an operand without a value was read");
  }
}

uint64_t Warp::address(const Operand& operand, int lane) const {
  if (operand.kind != Operand::kAddress) throw Error("an operand is no address");
  return value(operand.parts[0], lane) + operand.bits;
}

Lanes Warp::gathered(const Instruction& instruction, Lanes lanes) const {
  if (instruction.gather == Instruction::kNobody) return lanes;
  if (instruction.gather == Instruction::kWarp) return lanes == alive ? lanes : 0;
  const Lanes guarded = guarded_by(instruction, lanes), others = lanes & ~guarded;
  for (Lanes left = guarded; left != 0;) {
    const int lane = std::countr_zero(left);
    const auto mask = static_cast<Lanes>(value(instruction.operands.back(), lane));
    if ((mask & lane_bit(lane)) == 0) instruction.refuse("a lane is not in its own membermask");
    if ((mask & alive & ~guarded) == 0) return (mask & alive) | others;
    left &= ~mask;
  }
  return others;  // they wait for nobody
}

// Those whose guard holds.
Lanes Warp::guarded_by(const Instruction& instruction, Lanes lanes) const {
  if (instruction.guard < 0) return lanes;
  const uint64_t* holds = &registers_[static_cast<size_t>(instruction.guard) * kLanes];
  const uint64_t wanted = instruction.guard_negated ? 0 : 1;
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((holds[lane] & 1) != wanted) lanes &= ~lane_bit(lane);
  }
  return lanes;
}

// Where the lanes go from here. guarded: those whose guard holds.
void Warp::go_on(const Instruction& instruction, uint32_t pc, Lanes lanes, Lanes guarded) {
  const uint32_t next = pc + 1;
  uint32_t target = next;
  if (instruction.flow == Instruction::kBranch) target = static_cast<uint32_t>(instruction.target);
  if (instruction.flow == Instruction::kEnd) {
    alive &= ~guarded;
    if (alive == 0) block.has_ended_ = block.n_alive() == 0;
  }
  lanes &= alive;
  guarded &= lanes;
  if (together_ && lanes == alive && (guarded == 0 || guarded == lanes)) {
    common_ = guarded == 0 ? next : target;
    return;
  }
  if (together_) std::fill(pc_, pc_ + kLanes, common_);
  together_ = true;
  common_ = alive == 0 ? 0 : ~uint32_t{0};
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((alive & lane_bit(lane)) == 0) continue;
    if ((lanes & lane_bit(lane)) != 0) pc_[lane] = (guarded & lane_bit(lane)) ? target : next;
    if (common_ == ~uint32_t{0}) common_ = pc_[lane];
    together_ = together_ && pc_[lane] == common_;
  }
}

Outcome Warp::execute(const Instruction& instruction, uint32_t pc, Lanes lanes) {
  const Lanes guarded = guarded_by(instruction, lanes);
  Outcome outcome = Outcome::kDone;
  if (instruction.flow == Instruction::kTrap && guarded != 0) instruction.refuse("a trap");
  if (instruction.flow == Instruction::kNext && guarded != 0) {
    try {
      try {
        outcome = instruction.execute(*this, instruction, guarded);
      } catch (const Refusal&) {
        throw;
      } catch (const Error& error) {
        instruction.refuse(error.what());
      }
    } catch (const Error& error) {
      if (std::string(error.what()).starts_with("line ")) throw;
      instruction.refuse(error.what());
    }
  }
  if (outcome != Outcome::kAgain) go_on(instruction, pc, lanes, guarded);
  return outcome;
}

void Warp::hold_back(Lanes lanes, uint64_t steps) {
  held_ = lanes;
  held_for_ = steps;
}

Outcome Warp::step() {
  if (held_ != 0) {
    const bool is_over = held_for_-- == 0;
    const Outcome outcome = is_over ? Outcome::kAgain : step_of(alive & ~held_);
    if (outcome != Outcome::kAgain) return outcome;
    held_ = 0;
  }
  return step_of(alive);
}

Outcome Warp::step_of(Lanes left) {
  const auto& code = block.launch.kernel->code;
  if (together_) {
    if (common_ >= code.size()) throw Error("a warp ran past the end of the kernel");
    const Instruction& instruction = code[common_];
    const Lanes lanes = gathered(instruction, left);
    return lanes == 0 ? Outcome::kAgain : execute(instruction, common_, lanes);
  }
  while (left != 0) {  // the lowest instruction first: lanes meet again there
    uint32_t least = ~uint32_t{0};
    Lanes lanes = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if ((left & lane_bit(lane)) == 0) continue;
      if (pc_[lane] < least) {
        least = pc_[lane];
        lanes = 0;
      }
      if (pc_[lane] == least) lanes |= lane_bit(lane);
    }
    left &= ~lanes;
    if (least >= code.size()) throw Error("a lane ran past the end of the kernel");
    lanes = gathered(code[least], lanes);
    if (lanes == 0) continue;
    const Outcome outcome = execute(code[least], least, lanes);
    // Others of the warp may do what these wait for in a loop.
    if (outcome == Outcome::kYield) hold_back(lanes, kStepsAfterPoll);
    if (outcome != Outcome::kAgain) return outcome;
  }
  return meet_apart() ? Outcome::kDone : Outcome::kAgain;
}

// bar.warp.sync waits for the lanes of its mask wherever they execute one with the same mask.
bool Warp::meet_apart() {
  const auto& code = block.launch.kernel->code;
  const auto mask_of = [&](int lane) {
    const Instruction& instruction = code[pc_[lane]];
    const bool waits =
        (alive & lane_bit(lane)) != 0 && instruction.words[0] == "bar" && instruction.has("warp");
    return waits ? static_cast<Lanes>(value(instruction.operands.back(), lane)) : 0;
  };
  for (int first = 0; first < kLanes; ++first) {
    const Lanes mask = mask_of(first);
    Lanes come = 0;
    for (int lane = first; mask != 0 && lane < kLanes; ++lane) {
      if (mask_of(lane) == mask) come |= lane_bit(lane);
    }
    if (mask == 0 || (mask & alive) != come) continue;
    for (Lanes left = come; left != 0; left &= left - 1) {
      const uint32_t pc = pc_[std::countr_zero(left)];
      go_on(code[pc], pc, left & -left, left & -left);
    }
    return true;
  }
  return false;
}

}  // namespace ptx
