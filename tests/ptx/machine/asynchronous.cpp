// Fences, prefetches, and cp.async: copies by a thread into shared memory.
#include "asynchronous.h"

#include <algorithm>

#include "lanes.h"

namespace ptx {

namespace {

Outcome do_nothing(Warp&, const Instruction&, Lanes) { return Outcome::kDone; }

Outcome make_policy(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { warp.set(instruction.operands[0], lane, 0); });
  return Outcome::kDone;
}

CopyGroups& copies_of(Warp& warp, int lane) {
  return warp.block.copies[static_cast<size_t>(warp.index * kLanes + lane)];
}

// [to], [from], size [, how many of them are read] [, policy]: the others become zeros.
Outcome copy(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  const bool has_policy = instruction.has("L2::cache_hint");
  const bool has_read = operands.size() == (has_policy ? 5 : 4);
  const size_t size = warp.value(operands[2], 0);
  for_lanes(lanes, [&](int lane) {
    const auto to_address = static_cast<uint32_t>(warp.address(operands[0], lane));
    check_own(warp.block, instruction, to_address);
    uint8_t* to = warp.block.shared(to_address, size, size);
    const uint64_t from = warp.address(operands[1], lane);
    if (from % size != 0) instruction.refuse("a source is not a multiple of the size");
    const size_t read = has_read ? static_cast<uint32_t>(warp.value(operands[3], lane)) : size;
    if (read > size) instruction.refuse("it reads more than it copies");
    spoil(to, size);
    copies_of(warp, lane).open.push_back([to, from, read, size] {
      if (read > 0) std::memcpy(to, reinterpret_cast<const uint8_t*>(from), read);
      std::memset(to + read, 0, size - read);
    });
  });
  return Outcome::kDone;
}

Outcome commit(Warp& warp, const Instruction&, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { close_group(copies_of(warp, lane)); });
  return Outcome::kDone;
}

Outcome wait(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const size_t most = warp.value(instruction.operands[0], 0);
  for_lanes(lanes, [&](int lane) { finish_groups(copies_of(warp, lane), most); });
  return Outcome::kDone;
}

Outcome wait_for_all(Warp& warp, const Instruction&, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    close_group(copies_of(warp, lane));
    finish_groups(copies_of(warp, lane), 0);
  });
  return Outcome::kDone;
}

}  // namespace

void close_group(CopyGroups& copies) {
  copies.closed.push_back(std::move(copies.open));
  copies.open.clear();
}

void finish_groups(CopyGroups& copies, size_t most_left) {
  for (; copies.closed.size() > most_left; copies.closed.pop_front()) {
    for (const auto& work : copies.closed.front()) work();
  }
}

uint32_t shared_address(const Warp& warp, const Instruction& instruction, const Operand& operand,
                        int lane) {
  const uint64_t address = warp.address(operand, lane);
  const bool has_space =
      std::any_of(instruction.words.begin(), instruction.words.end(),
                  [](const std::string& word) { return word.starts_with("shared"); });
  if (has_space) return static_cast<uint32_t>(address);
  return warp.block.shared_address(reinterpret_cast<const uint8_t*>(address));
}

Block& owner(Block& block, const Instruction& instruction, uint32_t address) {
  const uint32_t other = address >> 24;
  if (other > block.cluster.blocks.size()) {
    instruction.refuse("shared memory of a block that is not in the cluster");
  }
  return other == 0 ? block : *block.cluster.blocks[other - 1];
}

void check_own(const Block& block, const Instruction& instruction, uint32_t address) {
  if (address >> 24 != 0 && (address >> 24) - 1 != block.rank) {
    instruction.refuse("shared memory of another block");
  }
}

Execute find_copy(Instruction& instruction) {
  const auto& words = instruction.words;
  const auto& operands = instruction.operands;
  if (words.size() < 3) return nullptr;
  if (words[2] == "commit_group" && operands.empty()) return commit;
  if (words[2] == "wait_group" && operands.size() == 1) return wait;
  if (words[2] == "wait_all" && operands.empty()) return wait_for_all;
  const size_t n = operands.size() - (instruction.has("L2::cache_hint") ? 1 : 0);
  const bool is_shared = instruction.has("shared") || instruction.has("shared::cta");
  if ((words[2] != "ca" && words[2] != "cg") || !is_shared || !instruction.has("global") ||
      (n != 3 && n != 4) || operands[2].kind != Operand::kConstant) {
    return nullptr;
  }
  const uint64_t size = operands[2].bits;
  if (size != 16 && (words[2] == "cg" || (size != 4 && size != 8))) {
    instruction.refuse("such a size cannot be copied");
  }
  return copy;
}

Execute find_asynchronous(Instruction& instruction) {
  const auto& words = instruction.words;
  if (words[0] == "mbarrier") return find_mbarrier(instruction);
  if (words[0] == "cp" && words.size() > 2 && words[1] == "async") {
    if (words[2] != "bulk") return find_copy(instruction);
    if (words.size() > 3 && words[3] == "prefetch") return do_nothing;
    return instruction.has("tensor") ? find_tensor_copy(instruction) : find_bulk_copy(instruction);
  }
  if (words[0] == "fence") return do_nothing;  // of proxies, and of mbarrier.init
  if (words[0] == "createpolicy") return make_policy;
  if (words[0] == "prefetch" && instruction.has("tensormap")) return find_tensor_copy(instruction);
  if (words[0] == "prefetch" || words[0] == "prefetchu" || words[0] == "discard" ||
      words[0] == "applypriority") {
    return do_nothing;
  }
  return nullptr;
}

}  // namespace ptx
