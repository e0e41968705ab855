// Part of cuda_runtime.h: barriers, shuffles, votes. Each knows the line it is called from.
#pragma once

#include "block.h"
#include "warp.h"

inline void __syncthreads(tamis::emulation::Place place = tamis::emulation::Place::here()) {
  tamis::emulation::meet_block("__syncthreads", nullptr, nullptr, place);
}

namespace tamis::emulation {

// The sum of all threads' values.
inline int count_block(const char* name, int value, const Place& place) {
  const Act act = [](void* const* operands, int count) {
    int total = 0;
    for (int i = 0; i < count; ++i) total += *static_cast<int*>(operands[i]);
    for (int i = 0; i < count; ++i) *static_cast<int*>(operands[i]) = total;
  };
  meet_block(name, &value, act, place);
  return value;
}

}  // namespace tamis::emulation

inline int __syncthreads_count(int predicate,
                               tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::count_block("__syncthreads_count", predicate != 0, place);
}
inline int __syncthreads_or(int predicate,
                            tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::count_block("__syncthreads_or", predicate != 0, place) != 0;
}
inline int __syncthreads_and(int predicate,
                             tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::count_block("__syncthreads_and", predicate == 0, place) == 0;
}
inline void __syncwarp(unsigned mask = tamis::emulation::kAllLanes,
                       tamis::emulation::Place place = tamis::emulation::Place::here()) {
  tamis::emulation::meet_warp("__syncwarp", mask, nullptr, nullptr, place);
}

// Lanes of segments of `width`; a source outside of the segment is the lane itself.

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              tamis::emulation::Place place = tamis::emulation::Place::here()) {
  const int lane = tamis::emulation::running->lane;
  const int from = (lane & ~(width - 1)) | (source & (width - 1));
  return tamis::emulation::shuffled("__shfl_sync", mask, value, from, place);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                  tamis::emulation::Place place = tamis::emulation::Place::here()) {
  const int lane = tamis::emulation::running->lane;
  const int other = lane ^ bits;
  const int from = other >= (lane & ~(width - 1)) + width ? lane : other;
  return tamis::emulation::shuffled("__shfl_xor_sync", mask, value, from, place);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 tamis::emulation::Place place = tamis::emulation::Place::here()) {
  const int lane = tamis::emulation::running->lane;
  const int other = lane - static_cast<int>(delta);
  const int from = other < (lane & ~(width - 1)) ? lane : other;
  return tamis::emulation::shuffled("__shfl_up_sync", mask, value, from, place);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   tamis::emulation::Place place = tamis::emulation::Place::here()) {
  const int lane = tamis::emulation::running->lane;
  const int other = lane + static_cast<int>(delta);
  const int from = other >= (lane & ~(width - 1)) + width ? lane : other;
  return tamis::emulation::shuffled("__shfl_down_sync", mask, value, from, place);
}

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::ballot("__ballot_sync", mask, predicate != 0, place);
}
inline int __any_sync(unsigned mask, int predicate,
                      tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::ballot("__any_sync", mask, predicate != 0, place) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      tamis::emulation::Place place = tamis::emulation::Place::here()) {
  return tamis::emulation::ballot("__all_sync", mask, predicate != 0, place) == mask;
}

#define TAMIS_REDUCE(type)                                                                         \
  inline type __reduce_add_sync(unsigned mask, type value,                                         \
                                tamis::emulation::Place place = tamis::emulation::Place::here()) { \
    return tamis::emulation::reduced<type>(                                                        \
        "__reduce_add_sync", mask, value,                                                          \
        [](type a, type b) { return static_cast<type>(unsigned(a) + unsigned(b)); }, place);       \
  }                                                                                                \
  inline type __reduce_min_sync(unsigned mask, type value,                                         \
                                tamis::emulation::Place place = tamis::emulation::Place::here()) { \
    return tamis::emulation::reduced<type>(                                                        \
        "__reduce_min_sync", mask, value, [](type a, type b) { return b < a ? b : a; }, place);    \
  }                                                                                                \
  inline type __reduce_max_sync(unsigned mask, type value,                                         \
                                tamis::emulation::Place place = tamis::emulation::Place::here()) { \
    return tamis::emulation::reduced<type>(                                                        \
        "__reduce_max_sync", mask, value, [](type a, type b) { return a < b ? b : a; }, place);    \
  }
TAMIS_REDUCE(int)
TAMIS_REDUCE(unsigned)
#undef TAMIS_REDUCE
