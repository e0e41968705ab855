// What the kernels of a max cosine read, and the exact side of it: the cosine that decides, the
// best of many columns by it, and where that goes.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/device/collect.h"
#include "cuda/device/dot.h"
#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "cuda/device/shortlist.h"
#include "cuda/plan.h"
#include "tamis/max_cosine.h"

namespace tamis::cuda {

// All that kernels read, and where results go. Rows are packed.
struct Search {
  HalfRows x, columns;
  const double* norm = nullptr;         // [x.n_rows]
  const double* column_norm = nullptr;  // [columns.n_rows]
  const float* inverse = nullptr;       // [columns.n_rows + kColumnsPast] 1 / |y|, rounded once
  const int64_t* offsets = nullptr;     // [n_segments + 1] of x
  const int64_t* column_offsets = nullptr;
  int64_t n_segments = 0;
  Sight sight;
  const RowBlock* blocks = nullptr;
  const Unit* units = nullptr;
  const DirectStretch* stretches = nullptr;
  int tile_columns = 0;  // of units
  CandidateLists lists;  // without splits: these are a block's
  double* cosine = nullptr;
  int64_t* index = nullptr;  // kRescan where a row needs another look
  int32_t* again = nullptr;  // [n_segments + 1] not 0 where rows do; the last for all segments
  Counts* counts = nullptr;
};

__device__ __forceinline__ void count(int64_t* counter, int64_t n) {
  if (n != 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(n));
  }
}

// The score that decides. One warp.
__device__ __forceinline__ double exact_cosine(const Search& search, int64_t row, int64_t column) {
  const int64_t dim = search.x.dim;
  const double dot = warp_dot(search.x.data + row * dim, search.columns.data + column * dim, dim);
  return divide(dot, multiply(search.norm[row], search.column_norm[column]));
}

// One warp: the best of the columns begin, begin + step, ... below end, but for column self. Counts
// what it scores.
__device__ __forceinline__ Best best_of_columns(const Search& search, int64_t row,
                                                int64_t segment_column, int32_t begin, int32_t end,
                                                int step, const uint8_t* spare, int64_t& n_scored) {
  const int64_t self = search.sight.but_self ? row - segment_column : -1;
  Best best = {0, kNoColumn};
  for (int32_t column = begin; column < end; column += step) {
    if (column == self || (spare != nullptr && spare[segment_column + column] != 0)) continue;
    const Best next = {exact_cosine(search, row, segment_column + column), column};
    ++n_scored;
    if (beats(next, best)) best = next;
  }
  return best;
}

// One thread.
__device__ __forceinline__ void settle(const Search& search, int64_t row, int64_t segment_column,
                                       const Best& best) {
  const bool found = best.column >= 0;
  search.cosine[row] = found ? best.score : -INFINITY;
  search.index[row] = found ? segment_column + best.column : -1;
}

}  // namespace tamis::cuda
