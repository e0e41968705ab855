// What instructions of several lanes share: going through a set, and values that must be the same.
#pragma once

#include <bit>

#include "machine.h"

namespace ptx {

inline Lanes lane_bit(int lane) { return Lanes{1} << lane; }

template <class Work>
void for_lanes(Lanes lanes, Work work) {
  if (lanes == kAll) {
    for (int lane = 0; lane < kLanes; ++lane) work(lane);
  } else {
    for (; lanes != 0; lanes &= lanes - 1) work(std::countr_zero(lanes));
  }
}

// The value of an operand, cut to T. Error where lanes differ.
template <class T>
T same(const Warp& warp, const Instruction& instruction, const Operand& operand, Lanes lanes) {
  const T value = static_cast<T>(warp.value(operand, std::countr_zero(lanes)));
  if (operand.kind == Operand::kConstant) return value;
  for_lanes(lanes, [&](int lane) {
    if (static_cast<T>(warp.value(operand, lane)) != value) {
      instruction.refuse("an operand that must be the same in all lanes is not");
    }
  });
  return value;
}

// The bits of a predicate.
inline Lanes votes(const Warp& warp, const Operand& predicate, Lanes lanes) {
  Lanes result = 0;
  for_lanes(lanes, [&](int lane) {
    if ((warp.value(predicate, lane) & 1) != 0) result |= lane_bit(lane);
  });
  return result;
}

}  // namespace ptx
