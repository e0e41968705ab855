// atom and red.
#include "memory.h"

namespace ptx {
namespace {

// What an operation leaves in memory, of what is there and of the operands.
struct Added {
  template <class T>
  T operator()(T old, T b, T) const {
    if constexpr (SmallFloat<T>) {
      return small<T>(sum_to_odd(exact(old), exact(b)));
    } else if constexpr (std::floating_point<T>) {
      return canonical(old + b);
    } else {
      return static_cast<T>(static_cast<uint64_t>(old) + static_cast<uint64_t>(b));
    }
  }
};
// In global memory, of single precision.
struct AddedFlushed {
  float operator()(float old, float b, float) const {
    return canonical(flushed(flushed(old) + flushed(b)));
  }
};
template <class T>
struct Two {  // f16x2, bf16x2
  uint32_t operator()(uint32_t old, uint32_t b, uint32_t) const {
    const auto add = [](uint32_t x, uint32_t y) {
      return uint32_t{Added{}(as<T>(x), as<T>(y), T{}).bits};
    };
    return add(old, b) | add(old >> 16, b >> 16) << 16;
  }
};

// Lane after lane. One that changes nothing may be the poll of somebody who waits.
template <class T, Space space, class F>
Outcome exchange(Warp& warp, const Instruction& instruction, Lanes lanes) {
  const size_t first = instruction.words[0] == "red" ? 0 : 1;
  const auto& operands = instruction.operands;
  const bool second = operands.size() > first + 2;
  const Places<space> places(warp, instruction, operands[first], sizeof(T));
  const Source b(warp, operands[first + 1]), c(warp, operands[first + (second ? 2 : 1)]);
  bool idle = false;
  for_lanes(lanes, [&](int lane) {
    uint8_t* const at = places[lane];
    const T old = read<T>(at);
    const T fresh = F{}(old, as<T>(b[lane]), as<T>(c[lane]));
    idle = idle || bits_of(fresh) == bits_of(old);
    write(at, fresh);
    if (first == 1) warp.set(operands[0], lane, bits_of(old));
  });
  return idle ? Outcome::kYield : Outcome::kDone;
}

template <class T, class F>
Execute exchanging(const Access& access, F) {
  return by_space(access.space, []<Space space>() -> Execute {
    if constexpr (space == Space::kParameter) return nullptr;
    if constexpr (space != Space::kShared && space != Space::kCluster && std::same_as<T, float> &&
                  std::same_as<F, Added>) {
      return exchange<T, space, AddedFlushed>;
    }
    return exchange<T, space, F>;
  });
}

Execute find_bitwise(const std::string& type, const Access& access) {
  const std::string& name = access.operation;
  if (type[0] != 'b') return nullptr;
  return by_type<uint16_t, uint32_t, uint64_t>(type, [&]<class T>() -> Execute {
    if (name == "cas") {
      return exchanging<T>(access, [](T old, T b, T c) { return old == b ? c : old; });
    }
    if (sizeof(T) == 2) return nullptr;
    if (name == "exch") return exchanging<T>(access, [](T, T b, T) { return b; });
    if (name == "and") return exchanging<T>(access, [](T old, T b, T) { return T(old & b); });
    if (name == "or") return exchanging<T>(access, [](T old, T b, T) { return T(old | b); });
    if (name == "xor") return exchanging<T>(access, [](T old, T b, T) { return T(old ^ b); });
    return nullptr;
  });
}

Execute find_numeric(const std::string& type, const Access& access) {
  const std::string& name = access.operation;
  if (name == "add") {
    if (type == "f16x2") return exchanging<uint32_t>(access, Two<Half>{});
    if (type == "bf16x2") return exchanging<uint32_t>(access, Two<Brain>{});
    if (type[0] == 'b' && type != "bf16") return nullptr;
    return by_type<int32_t, uint32_t, int64_t, uint64_t, Half, Brain, float, double>(
        type, [&]<class T>() { return exchanging<T>(access, Added{}); });
  }
  if (type == "u32" && name == "inc") {
    return exchanging<uint32_t>(
        access, [](uint32_t old, uint32_t b, uint32_t) { return old >= b ? 0 : old + 1; });
  }
  if (type == "u32" && name == "dec") {
    return exchanging<uint32_t>(access, [](uint32_t old, uint32_t b, uint32_t) {
      return old == 0 || old > b ? b : old - 1;
    });
  }
  if (type[0] == 'b') return nullptr;
  return by_type<int32_t, uint32_t, int64_t, uint64_t>(type, [&]<class T>() -> Execute {
    if (name == "min") return exchanging<T>(access, [](T old, T b, T) { return std::min(old, b); });
    if (name == "max") return exchanging<T>(access, [](T old, T b, T) { return std::max(old, b); });
    return nullptr;
  });
}

}  // namespace

// atom d, [a], b {, c} and red [a], b.
Execute find_atomic(const Instruction& i) {
  const Access access(i);
  const bool reduces = i.words[0] == "red";
  const bool swaps = access.operation == "cas", sets = access.operation == "exch";
  const size_t first = reduces ? 0 : 1, values = swaps ? 2 : 1;
  if (!access.known || access.count != 1 || (reduces && (swaps || sets))) return nullptr;
  if (i.operands.size() != first + 1 + values || !is_address(i.operands[first])) return nullptr;
  for (size_t k = 0; k < i.operands.size(); ++k) {
    if (k != first && !is_value(i.operands[k], 1)) return nullptr;
  }
  if (const Execute found = find_bitwise(i.words.back(), access)) return found;
  return find_numeric(i.words.back(), access);
}

}  // namespace ptx
