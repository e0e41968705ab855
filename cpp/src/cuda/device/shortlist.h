// The rules of the shortlist: which columns the matrix pass keeps for a row, so that the best one,
// by float64 scores, is among them. Plain functions, the same on the host and on the device.
//
// A score's approximation errs by at most `error`. Where `best` is the largest approximation of a
// row, the column of the largest score has an approximation of at least best - 2 * error: whatever
// the order of the columns, the rounding of the pass, and the split of the columns over blocks, no
// column at or below best - margin can win or tie. A row keeps up to kCandidates columns above its
// threshold; what falls below the threshold as it rises is dropped when the list is full; a row
// with more candidates is compared with all columns in float64.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/device/words.h"

namespace tamis::cuda {

inline constexpr int kCandidates = 16;
inline constexpr int32_t kNoColumn = -1;  // loses to any column
inline constexpr int32_t kRescan = -2;    // more candidates than were kept
inline constexpr int32_t kSeveral = -3;   // more candidates than one: their scores decide

// How far a dot product of the matrix pass may be from the exact one, for rows of a norm of at most
// 1 + 2^-9.
//
// The products of float16 numbers are exact, and all partial sums stay below 2 (Cauchy-Schwarz).
// The sums are float32, of an unspecified order and rounding. Two models, of which the hardware is
// better than the worse one:
//   products added one by one and cut to 24 bits: each addition loses less than 2^-23;
//   8 or 16 products and the running sum, aligned to the largest of them and cut 24 bits below its
//   leading bit, then the sum cut to 24 bits: 8 products lose less than 9 * 2^-24 + 2^-23, which is
//   1.4 * 2^-24 for each.
// So dim products, rounded up to whole instructions, lose less than 2^-23 each. Measured errors are
// far smaller, but an attack comes near: by the second model one product of 1 and 767 that are just
// below 2^-24 lose 4.6e-5, half of the bound.
__host__ __device__ inline double dot_error(int64_t dim) {
  return static_cast<double>((dim + 15) / 16 * 16) * 0x1p-23;
}

// The same where slices of 32 elements are summed on their own and added to nearest (mainloop.h).
// A slice loses 32 times 2^-23 of its own sum of |products|; these add up to less than 1 + 2^-7.
__host__ __device__ inline double fine_dot_error(int64_t dim) {
  return (32 * 0x1p-23 + static_cast<double>((dim + 31) / 32) * 0x1p-24) * (1 + 0x1p-7);
}

// The same of quick_warp_dot (dot.h): a lane adds 8 of 256 products, five more additions join the
// lanes; each is rounded by up to 2^-24 of what is added so far.
__host__ __device__ inline double quick_dot_error(int64_t dim) {
  return (static_cast<double>((dim + 255) / 256 * 8) + 5) * 0x1p-24 * (1 + 0x1p-7);
}

// error: of an approximate score, which is below 2. The threshold is rounded by up to 2^-24, the
// margin by 2^-24 of itself.
__host__ __device__ inline float margin_of(double error) {
  return static_cast<float>((2 * error + 0x1p-22) * (1 + 0x1p-20));
}

// An integer that sorts as the float does, infinities included. No NaN.
__host__ __device__ inline int32_t order_key(float value) {
#ifdef __CUDA_ARCH__
  const int32_t bits = __float_as_int(value);
#else
  int32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
#endif
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

__host__ __device__ inline float from_order_key(int32_t key) {
  const int32_t bits = key ^ ((key >> 31) & 0x7fffffff);
#ifdef __CUDA_ARCH__
  return __int_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

inline constexpr int32_t kLowestKey = static_cast<int32_t>(0x807fffffu);  // of -inf
inline constexpr int32_t kHighestKey = 0x7f800000;  // of +inf: takes no column

// Candidates have scores above it. best: the key of the largest approximation so far; nothing is
// above the threshold of kHighestKey, everything but -inf above that of kLowestKey.
__host__ __device__ inline float threshold_of(int32_t best, float margin) {
  return from_order_key(best) - margin;
}

// Drops the candidates that are not above the threshold; returns how many stay, in their order.
// scores (approximate), columns: [count], `stride` apart
__host__ __device__ inline int compact(float* scores, int32_t* columns, int stride, int count,
                                       float threshold) {
  int kept = 0;
#pragma unroll 1
  for (int i = 0; i < count; ++i) {
    if (!(scores[i * stride] > threshold)) continue;
    scores[kept * stride] = scores[i * stride];
    columns[kept++ * stride] = columns[i * stride];
  }
  return kept;
}

// The best column by float64 scores.
struct Best {
  double score;
  int32_t column;
};

// The larger score, ties to the lowest column.
__host__ __device__ inline bool beats(const Best& a, const Best& b) {
  if (a.column < 0 || b.column < 0) return b.column < 0 && a.column >= 0;
  return a.score > b.score || (a.score == b.score && a.column < b.column);
}

}  // namespace tamis::cuda
