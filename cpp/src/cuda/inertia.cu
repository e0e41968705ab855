#include <algorithm>

#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/row_lanes.h"
#include "tamis/cuda/update.h"

namespace tamis::cuda {
namespace {

constexpr int64_t kMostBlocks = 1024;  // of a problem: each warp ends with atomics on one word

using Word = unsigned long long;
using Units = unsigned __int128;  // of 2^-48

__device__ Word low_of(Units units) { return static_cast<Word>(units); }
__device__ Word high_of(Units units) { return static_cast<Word>(units >> 64); }

// This lane's part of |x - c|^2, in integers: for any two finite rows.
template <int kWidth>
__device__ Units integer_distance(const uint16_t* x, const uint16_t* c, int64_t dim) {
  Units sum = 0;
  for (int64_t i = int64_t{lane_of_row()} * kWidth; i < dim; i += kRowLanes * kWidth) {
    for (int64_t j = i; j < i + kWidth; ++j) {
      // A multiple of 2^-24 below 2^17.
      const double difference = subtract(half_to_double(x[j]), half_to_double(c[j]));
      const auto units = static_cast<long long>(multiply(difference, 0x1p24));
      const Word magnitude = static_cast<Word>(units < 0 ? -units : units);
      sum += static_cast<Units>(magnitude) * magnitude;
    }
  }
  return sum;
}

// This lane's part of |x - c|^2. Squares are multiples of 2^-48: a float64 sum of them is exact
// below 2^5, and rounding is monotone, so a sum that stays below has never been rounded.
template <int kWidth>
__device__ Units distance(const uint16_t* x, const uint16_t* c, int64_t dim) {
  double sum = 0;
#pragma unroll 2
  for (int64_t i = int64_t{lane_of_row()} * kWidth; i < dim; i += kRowLanes * kWidth) {
    const auto from = *reinterpret_cast<const Halves<kWidth>*>(x + i);
    const auto to = *reinterpret_cast<const Halves<kWidth>*>(c + i);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      sum = add_square(sum, subtract(half_to_double(from.value[j]), half_to_double(to.value[j])));
    }
  }
  if (sum < 32) return static_cast<Word>(multiply(sum, 0x1p48));
  return integer_distance<kWidth>(x, c, dim);
}

// Each of the two words is right once all have added: a low word that wraps is one more high one.
__device__ void add_to(Inertia* total, Units units) {
  const Word before = atomicAdd(reinterpret_cast<Word*>(&total->low), low_of(units));
  const Word carry = before + low_of(units) < before ? 1 : 0;
  atomicAdd(reinterpret_cast<Word*>(&total->high), high_of(units) + carry);
}

// n_rows, n_clusters: of one problem; blockIdx.y: which.
template <int kWidth>
__global__ void __launch_bounds__(kRowThreads)
    add_distances(const uint16_t* x, int64_t n_rows, int64_t dim, const int32_t* labels,
                  const uint16_t* centroids, int64_t n_clusters, Inertia* total) {
  const int64_t begin = blockIdx.y * n_rows, end = begin + n_rows;
  centroids += blockIdx.y * n_clusters * dim;
  Units sum = 0;
  for (int64_t row = begin + row_of_lane(); row < end; row += gridDim.x * kRowsPerBlock) {
    const int64_t label = labels[row];
    if (label < 0 || label >= n_clusters) continue;
    sum += distance<kWidth>(x + row * dim, centroids + label * dim, dim);
  }
  for (int offset = 1; offset < 32; offset *= 2) {
    const Word other_low = __shfl_xor_sync(kWholeWarp, low_of(sum), offset);
    const Word other_high = __shfl_xor_sync(kWholeWarp, high_of(sum), offset);
    sum += static_cast<Units>(other_high) << 64 | other_low;
  }
  if (threadIdx.x % 32 == 0 && sum != 0) add_to(&total[blockIdx.y], sum);
}

__global__ void __launch_bounds__(kRowThreads)
    add_changed(const int32_t* labels, const int32_t* before, int64_t n_rows, Word* changed) {
  labels += blockIdx.y * n_rows;
  before += blockIdx.y * n_rows;
  Word own = 0;
  const int64_t stride = gridDim.x * int64_t{kRowThreads};
  for (int64_t row = blockIdx.x * int64_t{kRowThreads} + threadIdx.x; row < n_rows; row += stride) {
    own += labels[row] != before[row] ? 1 : 0;
  }
  for (int offset = 1; offset < 32; offset *= 2) {
    own += __shfl_xor_sync(kWholeWarp, own, offset);
  }
  if (threadIdx.x % 32 == 0 && own != 0) atomicAdd(&changed[blockIdx.y], own);
}

Grid grid_for(int64_t n_rows, int64_t rows_per_block, int64_t n_problems) {
  return {std::min(blocks_of(n_rows, rows_per_block), kMostBlocks), n_problems};
}

template <int kWidth>
void launch_distances(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                      int64_t n_problems, Inertia* total, Stream stream) {
  const int64_t n_rows = x.n_rows / n_problems;
  launch(add_distances<kWidth>, grid_for(n_rows, kRowsPerBlock, n_problems), kRowThreads, 0, stream,
         x.data, n_rows, x.dim, labels, centroids.data, centroids.n_rows / n_problems, total);
}

}  // namespace

void add_inertia(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                 int64_t n_problems, Inertia* total, Stream stream) {
  if (can_read_wide(x) && can_read_wide(centroids)) {
    launch_distances<kWide>(x, labels, centroids, n_problems, total, stream);
  } else {
    launch_distances<1>(x, labels, centroids, n_problems, total, stream);
  }
}

void count_changed(const int32_t* labels, const int32_t* before, int64_t n_rows, int64_t n_problems,
                   int64_t* changed, Stream stream) {
  const int64_t own_rows = n_rows / n_problems;
  launch(add_changed, grid_for(own_rows, kRowThreads, n_problems), kRowThreads, 0, stream, labels,
         before, own_rows, reinterpret_cast<Word*>(changed));
}

}  // namespace tamis::cuda
