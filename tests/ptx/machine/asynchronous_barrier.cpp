// mbarrier.
#include "asynchronous.h"
#include "lanes.h"

namespace ptx {

namespace {

inline constexpr uint32_t kMost = (1u << 20) - 1;  // arrivals, and bytes
// The opaque state that arrive gives: a mark, the phase, and the arrivals that were pending.
inline constexpr uint64_t kStateMark = 0x5a5u;

uint64_t mixed(uint64_t bits) {
  bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9ull;
  bits = (bits ^ bits >> 27) * 0x94d049bb133111ebull;
  return bits ^ bits >> 31;
}

// What the 8 bytes hold: any change of them from outside is seen.
uint64_t image(uint32_t offset, const Block::Mbarrier& state) {
  uint64_t bits = mixed(offset + 0x9e3779b97f4a7c15ull);
  bits = mixed(bits ^ (uint64_t{state.expected} << 32 | state.pending));
  bits = mixed(bits ^ static_cast<uint64_t>(state.bytes));
  return mixed(bits ^ state.phase);
}

uint64_t state_bits(const Block::Mbarrier& state) {
  return kStateMark << 52 | (state.phase & 0xffffffff) << 20 | state.pending;
}

}  // namespace

Mbarrier::Mbarrier(Block& block, const Instruction& instruction, uint32_t address)
    : instruction_(instruction),
      offset_(offset_of(address)),
      owner_(owner(block, instruction, address)),
      state_([&]() -> Block::Mbarrier& {
        const uint8_t* memory = owner_.shared(offset_, 8, 8);
        const auto found = owner_.mbarriers.find(offset_);
        if (found == owner_.mbarriers.end()) instruction.refuse("there is no mbarrier");
        uint64_t bits;
        std::memcpy(&bits, memory, sizeof(bits));
        if (bits != image(offset_, found->second)) {
          instruction.refuse("the mbarrier was overwritten");
        }
        return found->second;
      }()) {}

void Mbarrier::init(Block& block, const Instruction& instruction, uint32_t address,
                    uint32_t count) {
  check_own(block, instruction, address);
  const uint32_t offset = offset_of(address);
  uint8_t* memory = block.shared(offset, 8, 8);
  if (count == 0 || count > kMost) instruction.refuse("the count is not in 1 to 2^20 - 1");
  const auto found = block.mbarriers.find(offset);
  if (found != block.mbarriers.end()) {
    instruction.refuse("there is an mbarrier already: mbarrier.inval ends it");
  }
  Block::Mbarrier& state = block.mbarriers[offset];
  state.expected = state.pending = count;
  const uint64_t bits = image(offset, state);
  std::memcpy(memory, &bits, sizeof(bits));
}

void Mbarrier::inval() {
  spoil(owner_.shared(offset_, 8, 8), 8);
  owner_.mbarriers.erase(offset_);
}

void Mbarrier::arrive(uint32_t count, bool drops) {
  if (count == 0 || count > kMost) instruction_.refuse("the count is not in 1 to 2^20 - 1");
  if (count > state_.pending) {
    instruction_.refuse(std::to_string(count) + " arrive, and " + std::to_string(state_.pending) +
                        " are expected in this phase");
  }
  state_.pending -= count;
  if (drops) state_.expected -= count;
  end_phase();
}

void Mbarrier::expect(uint32_t bytes) {
  if (bytes > kMost) instruction_.refuse("more than 2^20 - 1 bytes");
  set_bytes(state_.bytes + bytes);
}

void Mbarrier::complete(uint32_t bytes) {
  if (bytes > kMost) instruction_.refuse("more than 2^20 - 1 bytes");
  set_bytes(state_.bytes - bytes);
}

void Mbarrier::set_bytes(int64_t bytes) {
  if (bytes > int64_t{kMost} || -bytes > int64_t{kMost}) {
    instruction_.refuse("the mbarrier would wait for " + std::to_string(bytes) + " bytes");
  }
  state_.bytes = bytes;
  end_phase();
}

void Mbarrier::end_phase() {
  if (state_.pending == 0 && state_.bytes == 0) {
    ++state_.phase;
    state_.pending = state_.expected;
  }
  write();
}

void Mbarrier::write() {
  const uint64_t bits = image(offset_, state_);
  std::memcpy(owner_.shared(offset_, 8, 8), &bits, sizeof(bits));
}

namespace {

// [address], count
Outcome init(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    Mbarrier::init(warp.block, instruction,
                   shared_address(warp, instruction, instruction.operands[0], lane),
                   static_cast<uint32_t>(warp.value(instruction.operands[1], lane)));
  });
  return Outcome::kDone;
}

Outcome inval(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    const uint32_t address = shared_address(warp, instruction, instruction.operands[0], lane);
    check_own(warp.block, instruction, address);
    Mbarrier(warp.block, instruction, address).inval();
  });
  return Outcome::kDone;
}

enum class Arrival { kPlain, kExpecting, kIncomplete };

// state, [address] [, bytes or count]; only the mbarriers of the block itself give a state.
template <Arrival kArrival, bool kDrops>
Outcome arrive(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  for_lanes(lanes, [&](int lane) {
    const uint32_t address = shared_address(warp, instruction, operands[1], lane);
    if (operands[0].kind != Operand::kNothing || !instruction.has("shared::cluster")) {
      check_own(warp.block, instruction, address);
    }
    Mbarrier mbarrier(warp.block, instruction, address);
    const auto number =
        operands.size() > 2 ? static_cast<uint32_t>(warp.value(operands[2], lane)) : 1;
    if (kArrival == Arrival::kExpecting) mbarrier.expect(number);
    const uint32_t count = kArrival == Arrival::kExpecting ? 1 : number;
    if (kArrival == Arrival::kIncomplete && count >= mbarrier.state().pending) {
      instruction.refuse("it would end the phase");
    }
    const uint64_t state = state_bits(mbarrier.state());
    mbarrier.arrive(count, kDrops);
    warp.set(operands[0], lane, state);
  });
  return Outcome::kTold;
}

// [address], bytes
template <bool kExpects>
Outcome transact(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    const uint32_t address = shared_address(warp, instruction, instruction.operands[0], lane);
    if (!instruction.has("shared::cluster")) check_own(warp.block, instruction, address);
    Mbarrier mbarrier(warp.block, instruction, address);
    const auto bytes = static_cast<uint32_t>(warp.value(instruction.operands[1], lane));
    if (kExpects) {
      mbarrier.expect(bytes);
    } else {
      mbarrier.complete(bytes);
    }
  });
  return Outcome::kDone;
}

// The phase of a state, or of a parity, has ended: it is the one now or the one before.
bool has_ended(const Instruction& instruction, const Block::Mbarrier& state, uint64_t bits,
               bool is_parity) {
  if (is_parity) {
    const auto parity = static_cast<uint32_t>(bits);
    if (parity > 1) instruction.refuse("a parity is 0 or 1");
    return (state.phase & 1) != parity;
  }
  const uint64_t phase = bits >> 20 & 0xffffffff;
  if (bits >> 52 != kStateMark || state.phase - phase > 1) {
    instruction.refuse("the state is not of this phase or of the one before");
  }
  return phase != state.phase;
}

// ended, [address], state or parity [, how long]
template <bool kParity>
Outcome wait(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  bool have_all = true;
  for_lanes(lanes, [&](int lane) {
    const uint32_t address = shared_address(warp, instruction, operands[1], lane);
    check_own(warp.block, instruction, address);
    const bool ended = has_ended(instruction, Mbarrier(warp.block, instruction, address).state(),
                                 warp.value(operands[2], lane), kParity);
    warp.set(operands[0], lane, ended);
    have_all = have_all && ended;
  });
  return have_all ? Outcome::kDone : Outcome::kYield;
}

Outcome tell_pending(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    const uint64_t state = warp.value(instruction.operands[1], lane);
    if (state >> 52 != kStateMark) instruction.refuse("this is no state of an mbarrier");
    warp.set(instruction.operands[0], lane, state & kMost);
  });
  return Outcome::kDone;
}

Execute find_arrival(Instruction& instruction, bool drops) {
  // Some write no _ before the address.
  if (!instruction.operands.empty() && instruction.operands[0].kind == Operand::kAddress) {
    instruction.operands.insert(instruction.operands.begin(), Operand());
  }
  const size_t n = instruction.operands.size();
  if (instruction.has("expect_tx")) {
    if (n != 3) return nullptr;
    return drops ? arrive<Arrival::kExpecting, true> : arrive<Arrival::kExpecting, false>;
  }
  if (instruction.has("noComplete")) {
    if (n != 3) return nullptr;
    return drops ? arrive<Arrival::kIncomplete, true> : arrive<Arrival::kIncomplete, false>;
  }
  if (n != 2 && n != 3) return nullptr;
  return drops ? arrive<Arrival::kPlain, true> : arrive<Arrival::kPlain, false>;
}

}  // namespace

Execute find_mbarrier(Instruction& instruction) {
  if (instruction.words.size() < 2) return nullptr;
  const std::string& what = instruction.words[1];
  const size_t n = instruction.operands.size();
  if (what == "init" && n == 2) return init;
  if (what == "inval" && n == 1) return inval;
  if (what == "arrive") return find_arrival(instruction, false);
  if (what == "arrive_drop") return find_arrival(instruction, true);
  if (what == "expect_tx" && n == 2) return transact<true>;
  if (what == "complete_tx" && n == 2) return transact<false>;
  if (what == "pending_count" && n == 2) return tell_pending;
  if ((what == "test_wait" || what == "try_wait") && (n == 3 || n == 4)) {
    return instruction.has("parity") ? wait<true> : wait<false>;
  }
  return nullptr;
}

}  // namespace ptx
