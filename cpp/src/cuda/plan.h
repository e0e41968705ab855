// The work of one max cosine, cut into units before anything is launched. Plain host code.
//
// A segment whose rows see many columns is cut into blocks of up to 128 rows. A block walks the
// tiles of columns that any of its rows sees: for a row's earlier rows that is the triangle up to
// and including the diagonal tile. A walk longer than an eighth of a multiprocessor's mean load is
// cut into parts of that length and a rest, each a unit with candidate lists of its own. Long units
// start first, longest first, so that singletons, thousands of small segments and one giant keep
// every multiprocessor busy to the end; short ones stay together with their segment, whose columns
// are then in the cache. Rows that see few columns skip all this: they are compared directly, a
// warp for each.
//
// Memory: 56 bytes a block and 16 a unit, with at most 8 * sms units more than there are blocks;
// 24 bytes a stretch. A stretch has 64 rows where its neighbours are direct too; a block has 128,
// or what its segment has left.
#pragma once

#include <cstdint>
#include <vector>

#include "tamis/max_cosine.h"

namespace tamis::cuda {

// The sizes that a plan works with; tests make them small.
struct PlanSizes {
  int block_rows = 128;
  int tile_columns = 128;
  int direct_columns = 32;  // rows that see no more are compared directly
  int direct_rows = 64;     // of a stretch
  int sms = 1;
};

// Rows of one segment, and the first n_columns columns of it: no row of the block sees more.
struct RowBlock {
  int64_t row_begin, segment_row_begin;
  int64_t column_begin;  // of the segment
  int64_t n_columns;
  int64_t first_list;  // list of row r in part p: first_list + r * n_parts + p
  int32_t n_rows;
  int32_t n_parts;  // 0 where no row sees anything
  int64_t segment;
};

// One part of a block's walk: its tiles [tile_begin, tile_end) of columns.
struct Unit {
  int32_t block;
  int32_t part;
  int32_t tile_begin, tile_end;
};

// Rows of one or more segments that are compared directly. first_segment holds row_begin.
struct DirectStretch {
  int64_t first_segment;
  int64_t row_begin, row_end;
};

struct Plan {
  std::vector<RowBlock> blocks;  // in row order
  // Longest first, then in row order; those of up to a quarter of the longest allowed, which is
  // 1/32 of a multiprocessor's load, count as equal.
  std::vector<Unit> units;
  std::vector<DirectStretch> stretches;
  int64_t n_lists = 0;  // at most rows of blocks + 8 * sms * block_rows
  int64_t n_tiles = 0;  // of all units
};

// Everything is host memory. columns: the other set's segments, or null where columns are rows of
// x. sight.limits may be null for prefix: then every row is taken to see the whole segment.
Plan make_plan(const Segments& rows, const Segments* columns, const Sight& sight,
               const PlanSizes& sizes);

}  // namespace tamis::cuda
