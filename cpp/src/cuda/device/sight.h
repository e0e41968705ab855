// Which columns a row sees: those of its segment that come before a limit.
#pragma once

#include <cstdint>

#include "cuda/device/words.h"
#include "tamis/max_cosine.h"

namespace tamis::cuda {

// A row sees the first so many columns of its segment, but for the column of its own number where
// the sight says so. row_begin: of the row's segment; n_columns: of the segment.
__host__ __device__ inline int64_t columns_seen(const Sight& sight, int64_t row, int64_t row_begin,
                                                int64_t n_columns) {
  if (sight.kind == Sight::earlier) return row - row_begin;
  if (sight.kind == Sight::all || sight.limits == nullptr) return n_columns;
  return sight.limits[row] < n_columns ? sight.limits[row] : n_columns;
}

// The segment of a row, which is not before `first`. offsets: [n_segments + 1]
__host__ __device__ inline int64_t segment_of(const int64_t* offsets, int64_t first,
                                              int64_t n_segments, int64_t row) {
  int64_t low = first, high = n_segments;  // offsets[low] <= row < offsets[high]
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (offsets[middle] <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace tamis::cuda
