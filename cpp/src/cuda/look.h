// The matrix passes of a max cosine: which columns may be the nearest of each row.
#pragma once

#include <cstdint>

#include "cuda/device/search.h"
#include "cuda/plan.h"
#include "tamis/cuda/device.h"
#include "tamis/cuda/mainloop.h"

namespace tamis::cuda {

// What a plan must be made for. A block of rows is 128 rows, or so many for each block of a
// cluster.
PlanSizes plan_sizes(Mainloop mainloop, int sms);

// Of search.inverse and of spare, so many more than columns are read, whatever they are: a tile is
// scored whole.
inline constexpr int kColumnsPast = 256;

// All rows of all units. For wgmma, rows and columns are no more than kMostMappedRows
// (tensor_map.h).
void first_look(const Search& search, Mainloop mainloop, int64_t n_units, float margin, int sms,
                Stream stream);

// Only the rows that had too many candidates, by fine sums. spare: [columns.n_rows + kColumnsPast],
// not 0 where a column is not worth a look.
void second_look(const Search& search, Mainloop mainloop, int64_t n_units, float margin,
                 const uint8_t* spare, int sms, Stream stream);

}  // namespace tamis::cuda
