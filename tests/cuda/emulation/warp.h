// What the lanes of a warp do together, and the asynchronous copy. Fragments are laid out as
// cuda/device/matrix.h says.
//
// The mma multiplies exactly and sums to a model, since hardware does not say how it sums:
// Settings::sum_order 0 adds the 16 products to d by ascending k, 1 by descending k, 2 adds halves
// to halves; 3 aligns d and each 8 products to the largest of them, drops what is below 2^-24 of
// it, and adds exactly. Every sum but that of 3 is rounded to float32, to nearest or towards zero
// (Settings::truncate); 3 always drops.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "block.h"

namespace tamis::emulation {

void ldmatrix_x4(uint32_t (&r)[4], const void* row, Place place = Place::here());
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, Place place = Place::here());
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                  Place place = Place::here());

// The bytes arrive at the wait and not before; until then shared holds poison.
void cp_async_16(void* shared, const void* global, int bytes = 16, Place place = Place::here());
void cp_async_commit();
void cp_async_wait_pending(int pending);
template <int kPending>
void cp_async_wait() {
  static_assert(kPending >= 0);
  cp_async_wait_pending(kPending);
}

// Lane i gets the value of lane source[i], or poison where that lane is not in the mask.
struct Shuffle {
  uint64_t value;
  int source;
};
void shuffle(const char* name, uint32_t mask, Shuffle& mine, const Place& place);

template <class T>
T shuffled(const char* name, uint32_t mask, T value, int source, const Place& place) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8),
                "shuffles take 32 or 64 bit numbers");
  Shuffle mine{0, source};
  std::memcpy(&mine.value, &value, sizeof value);
  shuffle(name, mask, mine, place);
  std::memcpy(&value, &mine.value, sizeof value);
  return value;
}

uint32_t ballot(const char* name, uint32_t mask, bool predicate, const Place& place);

// All lanes' values reduced; `T` is int or unsigned.
template <class T>
struct Reduction {
  T value;
  T (*join)(T, T);
};
template <class T>
T reduced(const char* name, uint32_t mask, T value, T (*join)(T, T), const Place& place) {
  Reduction<T> mine{value, join};
  const Act act = [](void* const* operands, int count) {
    const Reduction<T>* first = nullptr;
    T total{};
    for (int i = 0; i < count; ++i) {
      const auto* one = static_cast<const Reduction<T>*>(operands[i]);
      if (one == nullptr) continue;
      total = first == nullptr ? one->value : one->join(total, one->value);
      first = first == nullptr ? one : first;
    }
    for (int i = 0; i < count; ++i) {
      if (operands[i] != nullptr) static_cast<Reduction<T>*>(operands[i])->value = total;
    }
  };
  meet_warp(name, mask, &mine, act, place);
  return mine.value;
}

}  // namespace tamis::emulation
