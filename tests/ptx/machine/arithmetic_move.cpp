// mov, and the choice of one value of two: selp, slct.
#include "arithmetic.h"

namespace ptx {
namespace {

size_t bits_of_type(const std::string& type) {
  for (const size_t bits : {16, 32, 64}) {
    if (type.size() == 3 && type.substr(1) == std::to_string(bits)) return bits;
  }
  return 0;
}

uint64_t low_bits(uint64_t value, size_t bits) {
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

// {low, high} into one register, and back.
Outcome pack_two(Warp& warp, const Instruction& i, Lanes lanes) {
  const auto& parts = i.operands[1].parts;
  const Source low(warp, parts[0]), high(warp, parts[1]);
  const size_t bits = bits_of_type(i.words[1]) / 2;
  for_lanes(lanes, [&](int lane) {
    warp.set(i.operands[0], lane, low_bits(low[lane], bits) | low_bits(high[lane], bits) << bits);
  });
  return Outcome::kDone;
}

Outcome pack(Warp& warp, const Instruction& i, Lanes lanes) {
  const auto& parts = i.operands[1].parts;
  const size_t bits = bits_of_type(i.words[1]) / parts.size();
  for_lanes(lanes, [&](int lane) {
    uint64_t result = 0;
    for (size_t part = 0; part < parts.size(); ++part) {
      result |= low_bits(warp.value(parts[part], lane), bits) << (part * bits);
    }
    warp.set(i.operands[0], lane, result);
  });
  return Outcome::kDone;
}

Outcome unpack(Warp& warp, const Instruction& i, Lanes lanes) {
  const auto& parts = i.operands[0].parts;
  const size_t bits = bits_of_type(i.words[1]) / parts.size();
  const Source source(warp, i.operands[1]);
  for_lanes(lanes, [&](int lane) {
    const uint64_t value = source[lane];
    for (size_t part = 0; part < parts.size(); ++part) {
      warp.set(parts[part], lane, low_bits(value >> (part * bits), bits));
    }
  });
  return Outcome::kDone;
}

Execute find_mov(const Instruction& i) {
  if (i.words.size() != 2 || i.operands.size() != 2) return nullptr;
  if (i.words[1] == "pred") return lanewise<bool>(i, [](bool a) { return a; });
  const size_t bits = bits_of_type(i.words[1]);
  if (bits == 0) return nullptr;
  const bool packs = i.operands[1].kind == Operand::kVector;
  if (!packs && i.operands[0].kind != Operand::kVector) {
    return lanewise<uint64_t>(i, [](uint64_t a) { return a; });
  }
  const size_t count = i.operands[packs ? 1 : 0].parts.size();
  if ((count != 2 && count != 4) || bits / count < 8) return nullptr;
  if (!packs) return unpack;
  return count == 2 ? pack_two : pack;
}

Execute find_sign_choice(const Instruction& i) {
  if (i.words.size() == 3 && i.words[2] == "s32") {
    return lanewise<uint64_t, uint64_t, int32_t>(
        i, [](uint64_t a, uint64_t b, int32_t c) { return c >= 0 ? a : b; });
  }
  if (i.words.back() != "f32" || !only(i, {"ftz"}, 2)) return nullptr;
  if (i.has("ftz")) {
    return lanewise<uint64_t, uint64_t, float>(
        i, [](uint64_t a, uint64_t b, float c) { return flushed(c) >= 0 ? a : b; });
  }
  return lanewise<uint64_t, uint64_t, float>(
      i, [](uint64_t a, uint64_t b, float c) { return c >= 0 ? a : b; });
}

}  // namespace

Execute find_move(const Instruction& i) {
  const std::string& name = i.words[0];
  if (name == "mov") return find_mov(i);
  if (name == "slct" && i.words.size() > 2) return find_sign_choice(i);
  if (name == "selp" && i.words.size() == 2 && bits_of_type(i.words[1]) != 0) {
    return lanewise<uint64_t, uint64_t, bool>(
        i, [](uint64_t a, uint64_t b, bool first) { return first ? a : b; });
  }
  return nullptr;
}

}  // namespace ptx
