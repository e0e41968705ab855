// The matrix pass of an assignment: which columns may be the best of each row. Problems of one size
// lie one after another, and rows see the columns of their own problem only.
#pragma once

#include <cstdint>

#include "cuda/device/collect.h"
#include "tamis/array.h"
#include "tamis/cuda/device.h"
#include "tamis/cuda/mainloop.h"

namespace tamis::cuda {

// Columns that rows have already: the first n of `top` places for each.
struct Taken {
  const int32_t* columns = nullptr;  // [x.n_rows x top], of which the rest may be anything
  int32_t top = 1, n = 0;
};

// Rows and columns are packed (pack.h).
struct Find {
  HalfRows x, columns;
  int32_t n_problems;
  const float* bias;  // [columns.n_rows] added to the products; null: nothing is
  float margin;       // see shortlist.h
  int64_t columns_per_split;
  Taken taken;        // are no candidates again
  CandidateLists to;  // a list for each row and split; columns count from their problem's first
};

// How a mainloop goes through the work: groups of rows, as many at once, and tiles of columns.
inline constexpr int64_t kMostProblems = 0xffff;
struct Pace {
  int rows, tile_columns;
  int64_t groups_at_once;
};
Pace pace_of(Mainloop mainloop, int sms);

// find.columns_per_split: a multiple of the tile's columns; find.n_problems: at most
// kMostProblems. For wgmma, rows and columns are no more than kMostMappedRows (tensor_map.h).
void find_candidates(const Find& find, Mainloop mainloop, int sms, Stream stream);

}  // namespace tamis::cuda
