#include <algorithm>
#include <cmath>

#include "cuda/device/collect.h"
#include "cuda/device/launch.h"
#include "cuda/device/mainloop.h"
#include "cuda/device/sight.h"
#include "cuda/device/warpgroup_mainloop.h"
#include "cuda/look.h"
#include "cuda/tensor_map.h"

namespace tamis::cuda {
namespace {

static_assert(kColumnsPast >= std::max(kTileColumns, kBlockColumns));

// The columns of a block's segment.
struct Columns {
  const float* inverse;  // of the first
  int32_t most;          // so many are seen by any row
  int32_t own;           // the number of row 0, far below 0 where rows see their own
};

__device__ __forceinline__ Columns columns_of(const Search& search, const RowBlock& block,
                                              int32_t most) {
  const int64_t own = block.row_begin - block.column_begin;
  return {search.inverse + block.column_begin, most,
          search.sight.but_self ? static_cast<int32_t>(own) : INT32_MIN / 2};
}

// The scores of a row where without(offset) is so become -inf. offset: from the thread's first
// column; a constant, once the loop is unrolled.
template <class Sums, class Without>
__device__ __forceinline__ void drop(Sums& scores, int r, Without&& without) {
#pragma unroll
  for (int c = 0; c < Sums::kColumns; ++c) {
    if (without(Sums::column(c) - Sums::column(0))) scores.at(r, c) = -INFINITY;
  }
}

// Overwrites the sums of a tile by x.y / |y|, -inf where the row does not see the column. |x| is
// the same for all of a row's columns. first: the tile's first column; seen(row): how many the row
// sees; spare: of the first column, not 0 for those that are not worth a look. What is read of
// columns past the last one counts for nothing.
template <bool kSecond, class Sums, class Seen>
__device__ __forceinline__ void score(const Columns& columns, const Seen& seen,
                                      const uint8_t* spare, int32_t first, Sums& sums) {
  const int32_t begin = first + Sums::column(0), last = first + Sums::column(Sums::kColumns - 1);
  const float* inverse = columns.inverse + begin;
#pragma unroll
  for (int c = 0; c < Sums::kColumns; ++c) {
    const float factor = inverse[Sums::column(c) - Sums::column(0)];
#pragma unroll
    for (int r = 0; r < Sums::kRows; ++r) sums.at(r, c) = __fmul_rn(sums.at(r, c), factor);
  }
  // Most tiles are seen whole.
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    const int32_t end = seen(r) - begin, own = columns.own + Sums::row(r);
    if (last >= seen(r)) drop(sums, r, [&](int32_t offset) { return offset >= end; });
    if (own >= begin && own <= last) {
      drop(sums, r, [at = own - begin](int32_t offset) { return offset == at; });
    }
    if constexpr (kSecond) {
      const uint8_t* spare_here = spare + begin;
      drop(sums, r, [&](int32_t offset) { return spare_here[offset] != 0; });
    }
  }
}

// Of a block of the plan.
__device__ __forceinline__ CandidateLists lists_of(const Search& search, const RowBlock& block) {
  return {search.lists.list + block.first_list * kCandidates, search.lists.count + block.first_list,
          block.n_parts};
}

struct LookShared {
  Stages stages;
  Lists lists;
  int32_t seen[kBlockRows];  // columns that a row sees, 0 where it needs no look
  int32_t most;              // of them
};

// A block for each unit. The second look's fine sums take more registers.
template <bool kSecond>
__global__ void __launch_bounds__(kBlockThreads, kSecond ? 1 : 2)
    look_by_mma(Search search, float margin, const uint8_t* spare) {
  auto& shared = *reinterpret_cast<LookShared*>(shared_memory());
  const Unit unit = search.units[blockIdx.x];
  const RowBlock block = search.blocks[unit.block];
  if (kSecond && search.again[block.segment] == 0) return;
  const int place = static_cast<int>(threadIdx.x);
  int32_t seen = 0;
  if (place < block.n_rows) {
    const int64_t row = block.row_begin + place;
    if (!kSecond || search.index[row] == kRescan) {
      seen = static_cast<int32_t>(
          columns_seen(search.sight, row, block.segment_row_begin, block.n_columns));
    }
  }
  if (kSecond && __syncthreads_or(seen != 0) == 0) return;
  clear<BlockSharers>(shared.lists, block.n_rows);
  if (place == 0) shared.most = 0;
  __syncthreads();
  if (place < kBlockRows) {
    shared.seen[place] = seen;
    atomicMax(&shared.most, seen);
  }
  __syncthreads();
  const int64_t begin = int64_t{unit.tile_begin} * search.tile_columns;
  const int64_t end =
      max(begin, min(int64_t{unit.tile_end} * search.tile_columns, int64_t{shared.most}));
  const RowRange rows = {search.x.data, search.x.dim, block.row_begin,
                         block.row_begin + block.n_rows};
  const RowRange range = {search.columns.data, search.columns.dim, block.column_begin + begin,
                          block.column_begin + end};
  const Columns columns = columns_of(search, block, shared.most);
  const uint8_t* spare_columns = kSecond ? spare + block.column_begin : nullptr;
  multiply<kSecond>(rows, range, shared.stages, [&](int64_t column, Sums& sums) {
    const auto first = static_cast<int32_t>(column - block.column_begin);
    const auto seen_by = [&](int r) { return shared.seen[Sums::row(r)]; };
    score<kSecond>(columns, seen_by, spare_columns, first, sums);
    collect(shared.lists, sums, first, margin);
  });
  flush<BlockSharers>(shared.lists, lists_of(search, block), 0, block.n_rows, unit.part);
}

// What the warpgroup mainloop does. A walk: a unit, 128 of its rows for each block of a cluster;
// units come longest first, so clusters take them back and forth, which gives none the longest of
// every round. A walk has no tiles where no row sees anything of its part, or needs a second look.
template <int kBlocks, bool kSecond>
struct LookJob {
  static constexpr int kTile = kSecond ? kFineTileColumns : kTileColumns;

  const Search& search;
  float margin;
  const uint8_t* spare;
  int n_units;
  Lists& lists;

  // Of the current walk.
  Columns columns;
  int32_t first_column;
  int32_t seen[SumsOfTile<kTile>::kRows];

  __device__ __forceinline__ int first() const { return static_cast<int>(blockIdx.x) / kBlocks; }
  __device__ __forceinline__ int step() const { return static_cast<int>(gridDim.x) / kBlocks; }
  __device__ __forceinline__ int end() const { return n_units; }

  __device__ __forceinline__ Walk walk(int i) {
    const Unit unit = unit_of(i);
    const RowBlock block = own(unit);
    columns = columns_of(search, block, most_seen(search.blocks[unit.block]));
    first_column = static_cast<int32_t>(block.column_begin);
    const int32_t begin = unit.tile_begin * kTileColumns;
    const int32_t end = max(begin, min(unit.tile_end * kTileColumns, columns.most));
    return {static_cast<int32_t>(block.row_begin), first_column + begin,
            (end - begin + kTile - 1) / kTile};
  }
  __device__ __forceinline__ void begin(int i) {
    const RowBlock block = own(unit_of(i));
    clear<WarpSharers>(lists, block.n_rows);
#pragma unroll
    for (int r = 0; r < SumsOfTile<kTile>::kRows; ++r) {
      seen[r] = seen_by(block, SumsOfTile<kTile>::row(r));
    }
  }
  __device__ __forceinline__ void collect(int32_t column, SumsOfTile<kTile>& sums) {
    const int32_t place = column - first_column;
    const uint8_t* spare_columns = kSecond ? spare + first_column : nullptr;
    score<kSecond>(columns, [&](int r) { return seen[r]; }, spare_columns, place, sums);
    cuda::collect(lists, sums, place, margin);
  }
  __device__ __forceinline__ void finish(int i) {
    const Unit unit = unit_of(i);
    const RowBlock block = own(unit);
    flush<WarpSharers>(lists, lists_of(search, block), 0, block.n_rows, unit.part);
  }

 private:
  __device__ __forceinline__ Unit unit_of(int i) const {
    const int round = i / step(), begin = round * step();
    const int last = min(begin + step(), n_units) - 1;
    return search.units[round % 2 == 0 ? i : last - (i - begin)];
  }
  // Of the unit's rows, the 128 that are this block's.
  __device__ __forceinline__ RowBlock own(const Unit& unit) const {
    RowBlock block = search.blocks[unit.block];
    const int32_t part = static_cast<int>(blockIdx.x) % kBlocks;
    const int32_t before = min(part * kBlockRows, block.n_rows);
    block.row_begin += before;
    block.n_rows = min(block.n_rows - before, kBlockRows);
    block.first_list += int64_t{before} * block.n_parts;
    return block;
  }
  __device__ __forceinline__ int32_t seen_by(const RowBlock& block, int place) const {
    if (place >= block.n_rows) return 0;
    const int64_t row = block.row_begin + place;
    if (kSecond && search.index[row] != kRescan) return 0;
    return static_cast<int32_t>(
        columns_seen(search.sight, row, block.segment_row_begin, block.n_columns));
  }
  // By any row of the cluster: its blocks walk together. All lanes, of which the warp that copies
  // has few registers.
  __device__ __forceinline__ int32_t most_seen(const RowBlock& block) const {
    if constexpr (kSecond) {
      if (search.again[block.segment] == 0) return 0;
    } else {
      if (search.sight.kind == Sight::earlier) return seen_by(block, block.n_rows - 1);
      if (search.sight.kind == Sight::all) return static_cast<int32_t>(block.n_columns);
    }
    int32_t largest = 0;
#pragma unroll 1
    for (int place = WarpSharers::thread(); place < block.n_rows; place += 32) {
      largest = max(largest, seen_by(block, place));
    }
    return __reduce_max_sync(0xffffffffu, largest);
  }
};

template <int kBlocks, bool kSecond>
__global__ void __launch_bounds__(kWalkerThreads, 1)
    look_by_wgmma(const __grid_constant__ TensorMap rows, const __grid_constant__ TensorMap columns,
                  Search search, float margin, const uint8_t* spare, int n_units) {
  if constexpr (kHasWarpgroups) {
    auto& shared = *reinterpret_cast<WalkShared*>(shared_memory());
    using Job = LookJob<kBlocks, kSecond>;
    Job job{search, margin, spare, n_units, shared.lists, {}, 0, {}};
    multiply<kBlocks, Job::kTile>(rows, columns, search.x.dim, shared.ring, job);
  } else {
    __trap();  // use_mainloop refuses
  }
}

template <bool kSecond>
void look(const Search& search, Mainloop mainloop, int64_t n_units, float margin,
          const uint8_t* spare, int sms, Stream stream) {
  if (mainloop == Mainloop::mma) {
    launch(look_by_mma<kSecond>, Grid{n_units}, kBlockThreads, sizeof(LookShared), stream, search,
           margin, spare);
    return;
  }
  const int64_t n_clusters = std::min<int64_t>(n_units, plan_sizes(mainloop, sms).sms);
  launch_clusters(
      look_by_wgmma<kWalkerCluster, kSecond>, n_clusters, kWalkerCluster, kWalkerThreads,
      sizeof(WalkShared), stream, map_rows(search.x, kBlockRows),
      map_rows(search.columns, LookJob<kWalkerCluster, kSecond>::kTile / kWalkerCluster), search,
      margin, spare, static_cast<int>(n_units));
}

}  // namespace

PlanSizes plan_sizes(Mainloop mainloop, int sms) {
  PlanSizes sizes;
  const int cluster = mainloop == Mainloop::mma ? 1 : kWalkerCluster;
  sizes.block_rows = cluster * kBlockRows;
  sizes.tile_columns = mainloop == Mainloop::mma ? kBlockColumns : kTileColumns;
  sizes.sms = std::max(1, sms / cluster);  // a cluster works as one
  return sizes;
}

void first_look(const Search& search, Mainloop mainloop, int64_t n_units, float margin, int sms,
                Stream stream) {
  look<false>(search, mainloop, n_units, margin, nullptr, sms, stream);
}

void second_look(const Search& search, Mainloop mainloop, int64_t n_units, float margin,
                 const uint8_t* spare, int sms, Stream stream) {
  look<true>(search, mainloop, n_units, margin, spare, sms, stream);
}

}  // namespace tamis::cuda
