// ld, st, cvta and mapa.
#include "memory.h"

#include <algorithm>

namespace ptx {
namespace {

// Who orders, who sees it and what the caches do changes nothing here.
bool is_hint(const std::string& word) {
  for (const char* known : {"weak", "volatile", "relaxed", "acquire", "release", "acq_rel", "mmio",
                            "cta",  "cluster",  "gpu",     "sys",     "ca",      "cg",      "cs",
                            "lu",   "cv",       "wb",      "wt",      "nc",      "unified"}) {
    if (word == known) return true;
  }
  return word.starts_with("L1::") || word.starts_with("L2::");
}

}  // namespace

Access::Access(const Instruction& instruction) {
  for (size_t i = 1; i + 1 < instruction.words.size(); ++i) take(instruction.words[i]);
}

void Access::take(const std::string& word) {
  if (word == "global") {
    space = Space::kGlobal;
  } else if (word.starts_with("shared")) {
    space = word == "shared::cluster" ? Space::kCluster : Space::kShared;
    known = known && (word.size() == 6 || word == "shared::cta" || word == "shared::cluster");
  } else if (word == "param" || word == "param::entry") {
    space = Space::kParameter;
  } else if (word == "v2" || word == "v4" || word == "v8") {
    count = word[1] - '0';
  } else if (!is_hint(word) && word != "noftz") {
    known = known && operation.empty();
    operation = word;
  }
}

bool is_address(const Operand& operand) {
  return operand.kind == Operand::kAddress && operand.parts.size() == 1;
}

bool is_value(const Operand& operand, size_t count) {
  if (count > 1) return operand.kind == Operand::kVector && operand.parts.size() == count;
  return operand.kind <= Operand::kShared;
}

namespace {

template <class T, Space space>
Outcome load(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Operand& to = instruction.operands[0];
  const size_t count = std::max<size_t>(to.parts.size(), 1);
  const Places<space> places(warp, instruction, instruction.operands[1], sizeof(T) * count);
  for_lanes(lanes, [&](int lane) {
    const uint8_t* from = places[lane];
    if (to.kind != Operand::kVector) return warp.set(to, lane, bits_of(read<T>(from)));
    for (size_t part = 0; part < count; ++part) {
      warp.set(to.parts[part], lane, bits_of(read<T>(from + part * sizeof(T))));
    }
  });
  return Outcome::kDone;
}

template <class T, Space space>
Outcome store(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Operand& from = instruction.operands[1];
  const bool one = from.kind != Operand::kVector;
  const size_t count = one ? 1 : from.parts.size();
  const Places<space> places(warp, instruction, instruction.operands[0], sizeof(T) * count);
  for_lanes(lanes, [&](int lane) {
    uint8_t* const to = places[lane];
    for (size_t part = 0; part < count; ++part) {
      const Operand& value = one ? from : from.parts[part];
      const bool held = value.kind == Operand::kRegister;
      write(to + part * sizeof(T),
            as<T>(held ? warp.at(value.slot, lane) : warp.value(value, lane)));
    }
  });
  return Outcome::kDone;
}

// Somebody may wait for another's value in a loop.
template <Execute execute>
Outcome polled(Warp& warp, const Instruction& instruction, Lanes lanes) {
  execute(warp, instruction, lanes);
  return Outcome::kYield;
}

// d, [a] or [a], b, and a cache policy.
Execute find_access(const Instruction& i, bool loads) {
  const Access access(i);
  const std::string& type = i.words.back();
  const size_t operands = i.has("L2::cache_hint") ? 3 : 2;
  if (!access.known || !access.operation.empty() || i.operands.size() != operands) return nullptr;
  if (!is_address(i.operands[loads ? 1 : 0])) return nullptr;
  if (!is_value(i.operands[loads ? 0 : 1], access.count)) return nullptr;
  if (!loads && access.space == Space::kParameter) return nullptr;
  if (loads && access.count == 1 && i.operands[0].kind > Operand::kRegister) return nullptr;
  const bool polls = i.has("volatile") || i.has("relaxed") || i.has("acquire") || i.has("mmio");
  const auto make = [&]<class T>() {
    return by_space(access.space, [&]<Space space>() -> Execute {
      if (!loads) return store<T, space>;
      return polls ? polled<load<T, space>> : load<T, space>;
    });
  };
  return by_type<int8_t, uint8_t, int16_t, uint16_t, int32_t, uint32_t, int64_t, uint64_t, float,
                 double>(type, make);
}

uint8_t* pointer(uint64_t address) { return reinterpret_cast<uint8_t*>(address); }
uint64_t number(const uint8_t* memory) { return reinterpret_cast<uint64_t>(memory); }

template <class F>
Outcome each_address(Warp& warp, const Instruction& instruction, Lanes lanes, F f) {
  const Source from(warp, instruction.operands[1]);
  for_lanes(lanes, [&](int lane) { warp.set(instruction.operands[0], lane, f(from[lane], lane)); });
  return Outcome::kDone;
}

Outcome same_address(Warp& warp, const Instruction& instruction, Lanes lanes) {
  return each_address(warp, instruction, lanes, [](uint64_t address, int) { return address; });
}

Outcome from_shared(Warp& warp, const Instruction& instruction, Lanes lanes) {
  return each_address(warp, instruction, lanes, [&](uint64_t address, int) {
    return number(warp.block.shared(static_cast<uint32_t>(address), 0, 1));
  });
}

Outcome to_shared(Warp& warp, const Instruction& instruction, Lanes lanes) {
  return each_address(warp, instruction, lanes, [&](uint64_t address, int) {
    return uint64_t{warp.block.shared_address(pointer(address))};
  });
}

// A parameter has an address of its own until then.
Outcome from_parameter(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Launch& launch = warp.block.launch;
  return each_address(warp, instruction, lanes, [&](uint64_t offset, int) {
    if (offset > launch.kernel->parameter_bytes) instruction.refuse("it is past the parameters");
    return number(launch.parameters) + offset;
  });
}

Outcome to_parameter(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Launch& launch = warp.block.launch;
  return each_address(warp, instruction, lanes, [&](uint64_t address, int) {
    const uint64_t offset = address - number(launch.parameters);
    if (offset > launch.kernel->parameter_bytes) instruction.refuse("it is no parameter's address");
    return offset;
  });
}

Execute find_address(const Instruction& i) {
  if (i.words.size() < 3 || i.words.back() != "u64" || !are_scalars(i, 1)) return nullptr;
  const bool to = i.words[1] == "to";
  if (i.words.size() != (to ? 4u : 3u)) return nullptr;
  const std::string& space = i.words[to ? 2 : 1];
  if (space == "global") return same_address;
  if (space == "shared" || space == "shared::cta" || space == "shared::cluster") {
    return to ? to_shared : from_shared;
  }
  if (space == "param" || space == "param::entry") return to ? to_parameter : from_parameter;
  return nullptr;
}

// The same place in the shared memory of another block of the cluster.
uint32_t mapped(Warp& warp, const Instruction& instruction, uint32_t address, uint32_t rank) {
  const size_t blocks = warp.block.cluster.blocks.size();
  if (rank >= blocks) {
    instruction.refuse("the cluster has " + std::to_string(blocks) + " blocks, and none of rank " +
                       std::to_string(rank));
  }
  const uint32_t result = (rank + 1) << 24 | (address & 0xffffff);
  warp.block.shared(result, 0, 1);  // it lies there
  return result;
}

Outcome map_shared(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Source ranks(warp, instruction.operands[2]);
  return each_address(warp, instruction, lanes, [&](uint64_t address, int lane) {
    return uint64_t{mapped(warp, instruction, static_cast<uint32_t>(address),
                           static_cast<uint32_t>(ranks[lane]))};
  });
}

Outcome map_generic(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const Source ranks(warp, instruction.operands[2]);
  return each_address(warp, instruction, lanes, [&](uint64_t address, int lane) {
    const uint32_t own = warp.block.shared_address(pointer(address));
    return number(warp.block.shared(
        mapped(warp, instruction, own, static_cast<uint32_t>(ranks[lane])), 0, 1));
  });
}

Execute find_map(const Instruction& i) {
  if (!only(i, {"shared::cluster"}) || !are_scalars(i, 2)) return nullptr;
  if (i.words.size() == 2) return i.words[1] == "u64" ? map_generic : nullptr;
  return i.words.back() == "u32" || i.words.back() == "u64" ? map_shared : nullptr;
}

}  // namespace

Execute find_memory(Instruction& i) {
  const std::string& name = i.words[0];
  if (i.words.size() < 2) return nullptr;
  if (name == "ld" || name == "st") return find_access(i, name == "ld");
  if (name == "atom" || name == "red") return find_atomic(i);
  if (name == "cvta") return find_address(i);
  if (name == "mapa") return find_map(i);
  return nullptr;
}

}  // namespace ptx
