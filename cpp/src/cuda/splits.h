// How the columns are split where there are too few blocks of rows to fill a GPU. Plain host code.
#pragma once

#include <algorithm>
#include <cstdint>

namespace tamis::cuda {

inline constexpr int64_t kMostSplits = 32;

// Column tiles of each split, so that row_blocks * splits blocks, `slots` of which run at once, are
// done soonest. A block costs its tiles and about one more. row_blocks, column_tiles, slots: >= 1.
inline int64_t tiles_per_split(int64_t row_blocks, int64_t column_tiles, int64_t slots) {
  int64_t best_tiles = column_tiles, best_cost = INT64_MAX;
  for (int64_t splits = 1; splits <= std::min(column_tiles, kMostSplits); ++splits) {
    const int64_t tiles = (column_tiles + splits - 1) / splits;
    const int64_t blocks = row_blocks * ((column_tiles + tiles - 1) / tiles);
    const int64_t cost = (blocks + slots - 1) / slots * (tiles + 1);
    if (cost < best_cost) {
      best_cost = cost;
      best_tiles = tiles;
    }
  }
  return best_tiles;
}

}  // namespace tamis::cuda
