// The matrix pass of an assignment: which columns may be the best of each row.
#pragma once

#include <cstdint>

#include "cuda/device/collect.h"
#include "tamis/array.h"
#include "tamis/cuda/device.h"
#include "tamis/cuda/mainloop.h"

namespace tamis::cuda {

// Rows and columns are packed (pack.h).
struct Find {
  HalfRows x, columns;
  const float* bias;  // [columns.n_rows] added to the products; null: nothing is
  float margin;       // see shortlist.h
  int64_t columns_per_split;
  CandidateLists to;  // a list for each row and split
};

// How a mainloop goes through the work: groups of rows, as many at once, and tiles of columns.
struct Pace {
  int rows, tile_columns;
  int64_t groups_at_once;
};
Pace pace_of(Mainloop mainloop, int sms);

// find.columns_per_split: a multiple of the tile's columns. For wgmma, rows and columns are no more
// than kMostMappedRows (tensor_map.h).
void find_candidates(const Find& find, Mainloop mainloop, int sms, Stream stream);

}  // namespace tamis::cuda
