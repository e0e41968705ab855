// What instructions of several lanes share: going through a set, and values that must be the same.
#pragma once

#include <bit>

#include "machine.h"

namespace ptx {

template <class Work>
void for_each(Lanes lanes, Work&& work) {
  for (; lanes != 0; lanes &= lanes - 1) work(std::countr_zero(lanes));
}

inline bool holds(Lanes lanes, int lane) { return (lanes >> lane & 1) != 0; }

// The value of an operand, cut to T. Error where lanes differ.
template <class T>
T same(const Warp& warp, const Instruction& instruction, const Operand& operand, Lanes lanes) {
  const T value = static_cast<T>(warp.value(operand, std::countr_zero(lanes)));
  if (operand.kind == Operand::kConstant) return value;
  for_each(lanes, [&](int lane) {
    if (static_cast<T>(warp.value(operand, lane)) != value) {
      instruction.refuse("an operand that must be the same in all lanes is not");
    }
  });
  return value;
}

// The bits of a predicate.
inline Lanes votes(const Warp& warp, const Operand& predicate, Lanes lanes) {
  Lanes result = 0;
  for_each(lanes, [&](int lane) {
    if ((warp.value(predicate, lane) & 1) != 0) result |= Lanes{1} << lane;
  });
  return result;
}

}  // namespace ptx
