// Eight lanes share a row, four rows a warp. Lane l reads elements l, l + 8, ...: its sum is
// partial sum l of the canonical order, and the eight read side by side. Where order is free, lanes
// read several elements at a time.
#pragma once

#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "tamis/array.h"

namespace tamis::cuda {

inline constexpr int kRowLanes = 8;
inline constexpr int kRowThreads = 256;
inline constexpr int64_t kRowsPerBlock = kRowThreads / kRowLanes;
inline constexpr unsigned kWholeWarp = ~0u;

inline int64_t blocks_of(int64_t items, int64_t per_block) {
  return (items + per_block - 1) / per_block;
}

// The row of this lane's eight: may lie past the last row, for collectives need every lane.
__device__ inline int64_t row_of_lane() {
  return blockIdx.x * kRowsPerBlock + threadIdx.x / kRowLanes;
}
__device__ inline int lane_of_row() { return static_cast<int>(threadIdx.x) % kRowLanes; }

// combine() of exact.h over the eight lanes' sums; each of them gets it.
__device__ inline double combine_lanes(double sum) {
  sum = add(sum, __shfl_xor_sync(kWholeWarp, sum, 4));
  sum = add(sum, __shfl_xor_sync(kWholeWarp, sum, 2));
  return add(sum, __shfl_xor_sync(kWholeWarp, sum, 1));
}

// |x|^2 in the canonical order; value(i) is element i. All lanes of the warp take part.
template <class Value>
__device__ inline double norm_squared(int64_t dim, Value value) {
  double sum = 0;
#pragma unroll 8
  for (int64_t i = lane_of_row(); i < dim; i += kRowLanes) sum = add_square(sum, value(i));
  return combine_lanes(sum);
}

// kWidth neighbours of a row, read at once.
template <int kWidth>
struct alignas(2 * kWidth) Halves {
  uint16_t value[kWidth];
};
inline constexpr int kWide = 8;

// Whether every row can be read kWide elements at a time.
inline bool can_read_wide(const HalfRows& x) {
  return x.dim % kWide == 0 && reinterpret_cast<uintptr_t>(x.data) % (2 * kWide) == 0;
}

}  // namespace tamis::cuda
