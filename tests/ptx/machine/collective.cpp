// What the lanes of a warp do together.
#include "collective.h"

#include "lanes.h"

namespace ptx {

namespace {

// What a lane reads that asks for the register of one that does not take part: nothing defined.
inline constexpr uint32_t kNobodys = 0x7e7e7e7e;

// Those that take part are all of the membermask that have not ended, and agree about it.
void check_members(const Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto mask = same<Lanes>(warp, instruction, instruction.operands.back(), lanes);
  if ((mask & warp.alive) != lanes) {
    instruction.refuse("the lanes that execute it are not those of the membermask");
  }
}

enum class Way { kUp, kDown, kButterfly, kIndex };

// The lane whose register a lane reads, and whether that lies within its segment.
template <Way kWay>
bool find_source(int lane, int b, int c, int& source) {
  const int clamp = c & 31, segment = c >> 8 & 31;
  const int least = lane & segment, most = least | (clamp & ~segment);
  b &= 31;
  if (kWay == Way::kUp) source = lane - b;
  if (kWay == Way::kDown) source = lane + b;
  if (kWay == Way::kButterfly) source = lane ^ b;
  if (kWay == Way::kIndex) source = least | (b & ~segment);
  const bool inside = kWay == Way::kUp ? source >= most : source <= most;
  if (!inside) source = lane;
  return inside;
}

template <Way kWay>
Outcome shuffle(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  const auto& operands = instruction.operands;
  const bool is_pair = operands[0].kind == Operand::kPair;
  uint32_t own[kLanes], result[kLanes];
  bool inside[kLanes];
  for_lanes(lanes,
            [&](int lane) { own[lane] = static_cast<uint32_t>(warp.value(operands[1], lane)); });
  for_lanes(lanes, [&](int lane) {
    int source = lane;
    inside[lane] = find_source<kWay>(lane, static_cast<int>(warp.value(operands[2], lane)),
                                     static_cast<int>(warp.value(operands[3], lane)), source);
    result[lane] = (lanes & lane_bit(source)) != 0 ? own[source] : kNobodys;
  });
  for_lanes(lanes, [&](int lane) {
    warp.set(is_pair ? operands[0].parts[0] : operands[0], lane, result[lane]);
    if (is_pair) warp.set(operands[0].parts[1], lane, inside[lane]);
  });
  return Outcome::kDone;
}

enum class Vote { kAll, kAny, kUniform, kBallot };

template <Vote kVote>
Outcome vote(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  const Lanes yes = votes(warp, instruction.operands[1], lanes);
  uint64_t result = yes;
  if (kVote == Vote::kAll) result = yes == lanes;
  if (kVote == Vote::kAny) result = yes != 0;
  if (kVote == Vote::kUniform) result = yes == lanes || yes == 0;
  for_lanes(lanes, [&](int lane) { warp.set(instruction.operands[0], lane, result); });
  return Outcome::kDone;
}

template <class T, bool kOfAll>
Outcome match(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  const Operand& to = instruction.operands[0];
  T own[kLanes];
  for_lanes(lanes, [&](int lane) {
    own[lane] = static_cast<T>(warp.value(instruction.operands[1], lane));
  });
  for_lanes(lanes, [&](int lane) {
    Lanes equal = 0;
    for_lanes(lanes, [&](int other) { equal |= Lanes{own[other] == own[lane]} << other; });
    if (kOfAll && equal != lanes) equal = 0;
    warp.set(to.kind == Operand::kPair ? to.parts[0] : to, lane, equal);
    if (to.kind == Operand::kPair) warp.set(to.parts[1], lane, equal == lanes);
  });
  return Outcome::kDone;
}

enum class Reduction { kAdd, kMin, kMax, kAnd, kOr, kXor };

template <class T, Reduction kReduction>
Outcome reduce(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  const Operand& from = instruction.operands[1];
  T result = static_cast<T>(warp.value(from, std::countr_zero(lanes)));
  for_lanes(lanes & (lanes - 1), [&](int lane) {
    const T own = static_cast<T>(warp.value(from, lane));
    if (kReduction == Reduction::kAdd) {
      result = static_cast<T>(static_cast<uint32_t>(result) + static_cast<uint32_t>(own));
    }
    if (kReduction == Reduction::kMin) result = own < result ? own : result;
    if (kReduction == Reduction::kMax) result = own > result ? own : result;
    if (kReduction == Reduction::kAnd) result &= own;
    if (kReduction == Reduction::kOr) result |= own;
    if (kReduction == Reduction::kXor) result ^= own;
  });
  const uint32_t bits = static_cast<uint32_t>(result);
  for_lanes(lanes, [&](int lane) { warp.set(instruction.operands[0], lane, bits); });
  return Outcome::kDone;
}

Outcome tell_active(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { warp.set(instruction.operands[0], lane, lanes); });
  return Outcome::kDone;
}

Outcome elect(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  const Operand& to = instruction.operands[0];
  const int leader = std::countr_zero(lanes);
  for_lanes(lanes, [&](int lane) {
    warp.set(to.parts[0], lane, static_cast<uint64_t>(leader));
    warp.set(to.parts[1], lane, lane == leader);
  });
  return Outcome::kDone;
}

Outcome meet(Warp& warp, const Instruction& instruction, Lanes lanes) {
  check_members(warp, instruction, lanes);
  return Outcome::kDone;
}

// Memory is always seen in the order of the program here.
Outcome do_nothing(Warp&, const Instruction&, Lanes) { return Outcome::kDone; }

Outcome sleep(Warp&, const Instruction&, Lanes) { return Outcome::kYield; }

// Of a thread when its block begins: as many as a compiler may give it.
uint32_t registers_at_launch(const Launch& launch) {
  const int said = launch.kernel->most_registers;
  if (said != 0) return static_cast<uint32_t>(said);
  const uint64_t threads = (launch.block.count() + kLanes - 1) / kLanes * kLanes;
  return static_cast<uint32_t>(std::min<uint64_t>(65536 / threads / 8 * 8, 255));
}

// Registers of a thread, which its warpgroup asks for or gives back: it waits until the others have
// left so many of those that the block began with.
Outcome set_registers(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto count = same<uint32_t>(warp, instruction, instruction.operands[0], lanes);
  if (lanes != warp.alive) instruction.refuse("not all lanes of the warp execute it");
  if (count < 24 || count > 256 || count % 8 != 0) {
    instruction.refuse("a multiple of 8 from 24 to 256 was expected");
  }
  const uint32_t at_launch = registers_at_launch(warp.block.launch);
  uint64_t others = 0;
  for (const auto& other : warp.block.warps) {
    if (other->n_registers == 0) other->n_registers = at_launch;
    if (other.get() != &warp) others += other->n_registers;
  }
  if (instruction.has("inc") ? count < warp.n_registers : count > warp.n_registers) {
    instruction.refuse("the warp has " + std::to_string(warp.n_registers) + " registers");
  }
  if (others + count > uint64_t{at_launch} * warp.block.warps.size()) return Outcome::kAgain;
  warp.n_registers = count;
  return Outcome::kDone;
}

Execute find_shuffle(const Instruction& instruction) {
  if (instruction.has("up")) return shuffle<Way::kUp>;
  if (instruction.has("down")) return shuffle<Way::kDown>;
  if (instruction.has("bfly")) return shuffle<Way::kButterfly>;
  if (instruction.has("idx")) return shuffle<Way::kIndex>;
  return nullptr;
}

Execute find_vote(const Instruction& instruction) {
  if (instruction.has("all")) return vote<Vote::kAll>;
  if (instruction.has("any")) return vote<Vote::kAny>;
  if (instruction.has("uni")) return vote<Vote::kUniform>;
  if (instruction.has("ballot")) return vote<Vote::kBallot>;
  return nullptr;
}

Execute find_match(const Instruction& instruction) {
  const bool is_wide = instruction.has("b64");
  if (instruction.has("any")) return is_wide ? match<uint64_t, false> : match<uint32_t, false>;
  if (instruction.has("all")) return is_wide ? match<uint64_t, true> : match<uint32_t, true>;
  return nullptr;
}

Execute find_reduction(const Instruction& instruction) {
  if (instruction.has("b32")) {
    if (instruction.has("and")) return reduce<uint32_t, Reduction::kAnd>;
    if (instruction.has("or")) return reduce<uint32_t, Reduction::kOr>;
    if (instruction.has("xor")) return reduce<uint32_t, Reduction::kXor>;
  }
  const bool is_signed = instruction.has("s32");
  if (!is_signed && !instruction.has("u32")) return nullptr;
  if (instruction.has("add")) return reduce<uint32_t, Reduction::kAdd>;
  if (instruction.has("min")) {
    return is_signed ? reduce<int32_t, Reduction::kMin> : reduce<uint32_t, Reduction::kMin>;
  }
  if (instruction.has("max")) {
    return is_signed ? reduce<int32_t, Reduction::kMax> : reduce<uint32_t, Reduction::kMax>;
  }
  return nullptr;
}

// Those with a membermask.
Execute find_of_members(const Instruction& instruction) {
  const std::string& name = instruction.words[0];
  const size_t n = instruction.operands.size();
  const bool is_pair = n > 0 && instruction.operands[0].kind == Operand::kPair;
  if (!instruction.has("sync")) return nullptr;
  if (name == "shfl" && n == 5) return find_shuffle(instruction);
  if (name == "vote" && n == 3) return find_vote(instruction);
  if (name == "match" && n == 3) return find_match(instruction);
  if (name == "redux" && n == 3) return find_reduction(instruction);
  if (name == "elect" && n == 2 && is_pair) return elect;
  if (name == "bar" && instruction.has("warp") && n == 1) return meet;
  return nullptr;
}

}  // namespace

Execute find_collective(Instruction& instruction) {
  const std::string& name = instruction.words[0];
  if (const Execute found = find_of_members(instruction)) {
    instruction.gather = Instruction::kMask;
    return found;
  }
  if (name == "activemask") return tell_active;
  if (name == "membar" || name == "griddepcontrol") return do_nothing;
  if (name == "fence" && !instruction.has("proxy") && !instruction.has("mbarrier_init")) {
    return do_nothing;
  }
  if (name == "nanosleep") return sleep;
  if (name == "setmaxnreg") {
    instruction.gather = Instruction::kWarp;
    return set_registers;
  }
  if (name == "bar" || name == "barrier") return find_barrier(instruction);
  return nullptr;
}

}  // namespace ptx
