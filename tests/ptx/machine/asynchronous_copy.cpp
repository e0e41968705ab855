// cp.async.bulk and cp.async.bulk.tensor: copies by the hardware, which come some time later.
#include <algorithm>
#include <array>

#include "asynchronous.h"
#include "lanes.h"
#include "tensor_map.h"

namespace ptx {

namespace {

void deliver_to(Block& block, const Instruction& instruction, const Delivery& delivery, uint32_t to,
                uint32_t mbarrier) {
  uint8_t* memory = block.shared(to, delivery.bytes, delivery.alignment);
  Mbarrier(block, instruction, mbarrier);  // there is one
  spoil(memory, delivery.bytes);
  block.cluster.later.push_back(
      [&block, &instruction, to, mbarrier, bytes = delivery.bytes, write = delivery.write] {
        if (block.n_alive() == 0) instruction.refuse("the block that it goes to has ended");
        write(block.shared(to, bytes, 1));
        Mbarrier(block, instruction, mbarrier).complete(bytes);
      });
}

// Of operands after some: a mask of blocks, where it is sent to several.
void read_mask(const Warp& warp, const Instruction& instruction, size_t after, int lane,
               Delivery& delivery) {
  delivery.is_multicast = instruction.has("multicast::cluster");
  const size_t n = after + delivery.is_multicast + instruction.has("L2::cache_hint");
  if (instruction.operands.size() != n) instruction.refuse("other operands were expected");
  if (!delivery.is_multicast) return;
  delivery.mask = static_cast<uint16_t>(warp.value(instruction.operands[after], lane));
}

// [to], [from], bytes, [mbarrier] [, mask] [, policy]
Outcome copy_in(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  for_lanes(lanes, [&](int lane) {
    Delivery delivery{};
    delivery.to = static_cast<uint32_t>(warp.address(operands[0], lane));
    delivery.bytes = static_cast<uint32_t>(warp.value(operands[2], lane));
    delivery.mbarrier = static_cast<uint32_t>(warp.address(operands[3], lane));
    delivery.alignment = 16;
    read_mask(warp, instruction, 4, lane, delivery);
    const uint64_t from = warp.address(operands[1], lane);
    if (delivery.bytes % 16 != 0 || from % 16 != 0) {
      instruction.refuse("the size or the source is not a multiple of 16");
    }
    const uint8_t* source = reinterpret_cast<const uint8_t*>(from);
    if (!instruction.has("global")) {
      check_own(warp.block, instruction, static_cast<uint32_t>(from));
      source = warp.block.shared(static_cast<uint32_t>(from), delivery.bytes, 16);
    }
    delivery.write = [source, bytes = delivery.bytes](uint8_t* to) {
      std::memcpy(to, source, bytes);
    };
    deliver(warp.block, instruction, delivery);
  });
  return Outcome::kDone;
}

CopyGroups& bulk_copies_of(Warp& warp, int lane) {
  return warp.block.bulk_copies[warp.index * kLanes + lane];
}

// [to], [from], bytes [, policy]
Outcome copy_out(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  for_lanes(lanes, [&](int lane) {
    const uint64_t to = warp.address(operands[0], lane);
    const auto from = static_cast<uint32_t>(warp.address(operands[1], lane));
    const auto bytes = static_cast<uint32_t>(warp.value(operands[2], lane));
    if (bytes % 16 != 0 || to % 16 != 0) {
      instruction.refuse("the size or the destination is not a multiple of 16");
    }
    check_own(warp.block, instruction, from);
    const uint8_t* source = warp.block.shared(from, bytes, 16);
    bulk_copies_of(warp, lane).open.push_back([to, source, bytes] {
      std::memcpy(reinterpret_cast<uint8_t*>(to), source, bytes);
    });
  });
  return Outcome::kDone;
}

Outcome commit(Warp& warp, const Instruction&, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { close_group(bulk_copies_of(warp, lane)); });
  return Outcome::kDone;
}

// With .read or without: what has been read is written at once.
Outcome wait(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const size_t most = warp.value(instruction.operands[0], 0);
  for_lanes(lanes, [&](int lane) { finish_groups(bulk_copies_of(warp, lane), most); });
  return Outcome::kDone;
}

// A box of a tensor of at least two dimensions, and shared memory that holds it.
struct Box {
  TensorMap map;
  int64_t column, row, outer[3];  // of its first element
  uint32_t to;                    // its address, whose bits are those that are exchanged

  uint32_t row_bytes() const { return map.box[0] * map.element_bytes; }
  uint32_t rows() const {
    uint32_t all = map.box[1];
    for (uint32_t j = 0; j < map.n_outer; ++j) all *= map.outer_box[j];
    return all;
  }
  uint32_t bytes() const { return row_bytes() * rows(); }
  size_t alignment() const { return map.swizzle_bytes == 0 ? 128 : 8 * map.swizzle_bytes; }
  // Where a row of the box, of all its dimensions, begins in the tensor; null where it is outside.
  uint8_t* in_tensor(uint32_t i, int64_t at_column) const {
    const int64_t at_row = row + i % map.box[1];
    if (at_row < 0 || at_row >= static_cast<int64_t>(map.sizes[1])) return nullptr;
    uint64_t address = map.address + static_cast<uint64_t>(at_row) * map.row_bytes +
                       static_cast<uint64_t>(at_column) * map.element_bytes;
    uint32_t left = i / map.box[1];
    for (uint32_t j = 0; j < map.n_outer; left /= map.outer_box[j++]) {
      const int64_t at = outer[j] + left % map.outer_box[j];
      if (at < 0 || at >= static_cast<int64_t>(map.outer_sizes[j])) return nullptr;
      address += static_cast<uint64_t>(at) * map.outer_bytes[j];
    }
    return reinterpret_cast<uint8_t*>(address);
  }
  // Works on what lies in the tensor: the bytes there, at which row and byte of the box, how many.
  template <class Work>
  void for_each_row(Work&& work) const {
    const int64_t first = std::max<int64_t>(column, 0);
    const int64_t end = std::min<int64_t>(column + map.box[0], static_cast<int64_t>(map.sizes[0]));
    if (end <= first) return;
    for (uint32_t i = 0; i < rows(); ++i) {
      uint8_t* const bytes = in_tensor(i, first);
      if (bytes == nullptr) continue;
      work(bytes, i, static_cast<uint32_t>(first - column) * map.element_bytes,
           static_cast<size_t>(end - first) * map.element_bytes);
    }
  }
  // Where a chunk of 16 bytes of the box is, from its beginning.
  uint32_t place(uint32_t offset) const {
    if (map.swizzle_bytes == 0) return offset;
    const uint32_t address = to + offset;
    return (address ^ (address >> 7 & (map.swizzle_bytes / 16 - 1)) << 4) - to;
  }
  void load(uint8_t* memory) const {
    std::vector<uint8_t> straight(bytes());
    for_each_row([&](const uint8_t* from, uint32_t i, uint32_t at, size_t n) {
      std::memcpy(&straight[i * row_bytes() + at], from, n);
    });
    for (uint32_t at = 0; at < bytes(); at += 16) {
      std::memcpy(memory + place(at), &straight[at], 16);
    }
  }
  void store(const uint8_t* memory) const {
    std::vector<uint8_t> straight(bytes());
    for (uint32_t at = 0; at < bytes(); at += 16) {
      std::memcpy(&straight[at], memory + place(at), 16);
    }
    for_each_row([&](uint8_t* to_tensor, uint32_t i, uint32_t at, size_t n) {
      std::memcpy(to_tensor, &straight[i * row_bytes() + at], n);
    });
  }
};

TensorMap read_map(const Warp& warp, const Instruction& instruction, const Operand& operand,
                   int lane) {
  uint64_t address = warp.address(operand, lane);
  if (instruction.has("param")) {
    address += reinterpret_cast<uint64_t>(warp.block.launch.parameters);
  }
  if (address == 0 || address % alignof(TensorMap) != 0) {
    instruction.refuse("the address of a tensor map is not a multiple of 64");
  }
  TensorMap map;
  std::memcpy(&map, reinterpret_cast<const void*>(address), sizeof(map));
  if (map.mark != kTensorMapMark) instruction.refuse("this is no tensor map");
  return map;
}

// operand: [map, {column, row}]
Box read_box(const Warp& warp, const Instruction& instruction, const Operand& operand,
             uint32_t shared, int lane) {
  const auto rank = static_cast<size_t>(instruction.words[4][0] - '0');
  if (operand.parts.size() != 2 || operand.parts[1].parts.size() != rank) {
    instruction.refuse("a tensor map and as many coordinates as dimensions were expected");
  }
  Box box;
  box.map = read_map(warp, instruction, operand, lane);
  if (box.map.n_outer + 2 != rank) instruction.refuse("the tensor has other dimensions");
  const auto at = [&](size_t i) {
    return static_cast<int32_t>(warp.value(operand.parts[1].parts[i], lane));
  };
  box.column = at(0);
  box.row = at(1);
  for (size_t i = 2; i < rank; ++i) box.outer[i - 2] = at(i);
  box.to = offset_of(shared);
  const uint32_t span = box.map.swizzle_bytes;
  if (span != 0 && box.row_bytes() != span) {
    instruction.refuse("rows of " + std::to_string(box.row_bytes()) +
                       " bytes are not as long as the swizzle");
  }
  return box;
}

// [to], [map, {column, row}], [mbarrier] [, mask] [, policy]
Outcome load_box(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const auto& operands = instruction.operands;
  for_lanes(lanes, [&](int lane) {
    Delivery delivery{};
    delivery.to = static_cast<uint32_t>(warp.address(operands[0], lane));
    delivery.mbarrier = static_cast<uint32_t>(warp.address(operands[2], lane));
    read_mask(warp, instruction, 3, lane, delivery);
    const Box box = read_box(warp, instruction, operands[1], delivery.to, lane);
    delivery.bytes = box.bytes();
    delivery.alignment = box.alignment();
    delivery.write = [box](uint8_t* memory) { box.load(memory); };
    deliver(warp.block, instruction, delivery);
  });
  return Outcome::kDone;
}

// [map, {column, row}], [from] [, policy]
Outcome store_box(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) {
    const auto from = static_cast<uint32_t>(warp.address(instruction.operands[1], lane));
    check_own(warp.block, instruction, from);
    const Box box = read_box(warp, instruction, instruction.operands[0], from, lane);
    const uint8_t* memory = warp.block.shared(from, box.bytes(), box.alignment());
    bulk_copies_of(warp, lane).open.push_back([box, memory] { box.store(memory); });
  });
  return Outcome::kDone;
}

Outcome check_map(Warp& warp, const Instruction& instruction, Lanes lanes) {
  for_lanes(lanes, [&](int lane) { read_map(warp, instruction, instruction.operands[0], lane); });
  return Outcome::kDone;
}

}  // namespace

void deliver(Block& block, const Instruction& instruction, const Delivery& delivery) {
  if (instruction.has("shared::cta")) check_own(block, instruction, delivery.to);
  Block& to = owner(block, instruction, delivery.to);
  const uint32_t offset = offset_of(delivery.to), mbarrier = offset_of(delivery.mbarrier);
  if (!delivery.is_multicast) {
    if (&owner(block, instruction, delivery.mbarrier) != &to) {
      instruction.refuse("the mbarrier is not in the block that the copy goes to");
    }
    return deliver_to(to, instruction, delivery, offset, mbarrier);
  }
  const auto& blocks = block.cluster.blocks;
  if (delivery.mask == 0 || delivery.mask >> blocks.size() != 0) {
    instruction.refuse("the mask names blocks that are not in the cluster, or none");
  }
  for_lanes(delivery.mask, [&](int rank) {
    deliver_to(*blocks[static_cast<size_t>(rank)], instruction, delivery, offset, mbarrier);
  });
}

Execute find_bulk_copy(Instruction& instruction) {
  const auto& words = instruction.words;
  const size_t n = instruction.operands.size();
  if (words.size() < 4) return nullptr;
  if (words[3] == "commit_group" && n == 0) return commit;
  if (words[3] == "wait_group" && n == 1) return wait;
  if (instruction.has("mbarrier::complete_tx::bytes") && n >= 4) {
    return words[3] == "shared::cluster" || words[3] == "shared::cta" ? copy_in : nullptr;
  }
  if (instruction.has("bulk_group") && words[3] == "global" && n >= 3) return copy_out;
  return nullptr;
}

Execute find_tensor_copy(Instruction& instruction) {
  const auto& words = instruction.words;
  const size_t n = instruction.operands.size();
  if (words[0] == "prefetch") return n == 1 ? check_map : nullptr;
  if (words.size() < 7 || words[3] != "tensor" || words[4].size() != 2 || words[4] < "2d" ||
      words[4] > "5d" || instruction.has("im2col") || instruction.has("cp_mask")) {
    return nullptr;
  }
  if (instruction.has("mbarrier::complete_tx::bytes") && words[6] == "global" && n >= 3) {
    return words[5] == "shared::cluster" || words[5] == "shared::cta" ? load_box : nullptr;
  }
  if (instruction.has("bulk_group") && words[5] == "global" && n >= 2) return store_box;
  return nullptr;
}

}  // namespace ptx
