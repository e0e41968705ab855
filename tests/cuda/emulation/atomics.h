// Part of cuda_runtime.h: atomic operations on shared and device memory, for the types CUDA has
// them for.
#pragma once

#include <type_traits>

#include "access.h"

inline void __threadfence() { tamis::emulation::pass_fence(); }
inline void __threadfence_block() {}

namespace tamis::emulation {

template <class T, class... Types>
inline constexpr bool kOneOf = (std::is_same_v<T, Types> || ...);
template <class T>
inline constexpr bool kWord = kOneOf<T, int, unsigned, unsigned long long>;

// Replaces *at by change(*at); returns what was there.
template <class T, class Change>
__attribute__((no_sanitize("thread"))) T replace(T* at, Change change) {
  touch(at, sizeof(T), Access::atomic);
  T before, after;
  __atomic_load(at, &before, __ATOMIC_SEQ_CST);
  do {
    after = change(before);
  } while (
      !__atomic_compare_exchange(at, &before, &after, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
  return before;
}

}  // namespace tamis::emulation

template <class T>
T atomicAdd(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T> || std::is_floating_point_v<T>);
  return tamis::emulation::replace(at, [=](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMin(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T> || std::is_same_v<T, long long>);
  return tamis::emulation::replace(at, [=](T old) { return value < old ? value : old; });
}
template <class T>
T atomicMax(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T> || std::is_same_v<T, long long>);
  return tamis::emulation::replace(at, [=](T old) { return old < value ? value : old; });
}
template <class T>
T atomicOr(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T>);
  return tamis::emulation::replace(at, [=](T old) { return old | value; });
}
template <class T>
T atomicAnd(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T>);
  return tamis::emulation::replace(at, [=](T old) { return old & value; });
}
template <class T>
T atomicExch(T* at, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T> || std::is_same_v<T, float>);
  return tamis::emulation::replace(at, [=](T) { return value; });
}
template <class T>
T atomicCAS(T* at, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  static_assert(tamis::emulation::kWord<T>);
  return tamis::emulation::replace(at, [=](T old) { return old == expected ? value : old; });
}
