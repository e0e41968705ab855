#include <algorithm>
#include <cmath>

#include "cuda/device/collect.h"
#include "cuda/device/launch.h"
#include "cuda/device/mainloop.h"
#include "cuda/device/warpgroup_mainloop.h"
#include "cuda/find_candidates.h"
#include "cuda/tensor_map.h"

namespace tamis::cuda {
namespace {

constexpr int kBlocksPerSm = 2;  // of mma

// Sums become scores, -inf where there is no column. first: the tile's first column.
template <bool kBias, class Sums>
__device__ __forceinline__ void score(int64_t first, int64_t end, const float* bias, Sums& sums) {
  const auto n_columns = static_cast<int>(min(end - first, int64_t{0x7fff}));
  if (!kBias && n_columns > Sums::column(Sums::kColumns - 1)) return;  // scores as they are
#pragma unroll
  for (int c = 0; c < Sums::kColumns; ++c) {
    const int place = Sums::column(c);
    float offset = place < n_columns ? 0 : -INFINITY;
    if (kBias && place < n_columns) offset = bias[first + place];
#pragma unroll
    for (int r = 0; r < Sums::kRows; ++r) sums.at(r, c) = __fadd_rn(sums.at(r, c), offset);
  }
}

// What rows have already becomes -inf. row: the block's first; first: the tile's first column, of
// the problem.
template <class Sums>
__device__ __forceinline__ void drop(const Find& find, int64_t row, int32_t first, Sums& sums) {
  const Taken& taken = find.taken;
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    // Rows past the block's take no candidates; past the last one nothing may be read.
    const int64_t number = min(row + Sums::row(r), find.x.n_rows - 1);
    const int32_t* own = taken.columns + number * taken.top;
#pragma unroll 1
    for (int i = 0; i < taken.n; ++i) {
      const int32_t place = own[i] - first;
      if (place < Sums::column(0) || place > Sums::column(Sums::kColumns - 1)) continue;
#pragma unroll
      for (int c = 0; c < Sums::kColumns; ++c) {
        if (place == Sums::column(c)) sums.at(r, c) = -INFINITY;
      }
    }
  }
}

struct MatrixShared {
  Stages stages;
  Lists lists;
};

// blockIdx.x: 128 rows; blockIdx.y: a split of the columns; blockIdx.z: a problem.
template <bool kBias, bool kTaken>
__global__ void __launch_bounds__(kBlockThreads, kBlocksPerSm) find_by_mma(Find find) {
  auto& shared = *reinterpret_cast<MatrixShared*>(shared_memory());
  const int64_t n_rows = find.x.n_rows / find.n_problems;
  const int64_t n_columns = find.columns.n_rows / find.n_problems;
  const int64_t row = blockIdx.z * n_rows + static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const int64_t column_begin = blockIdx.z * n_columns;
  const int64_t column = column_begin + blockIdx.y * find.columns_per_split;
  const RowRange rows = {find.x.data, find.x.dim, row,
                         min(row + kBlockRows, (blockIdx.z + 1) * n_rows)};
  const RowRange columns = {find.columns.data, find.columns.dim, column,
                            min(column + find.columns_per_split, column_begin + n_columns)};
  const int n_own = static_cast<int>(rows.end - rows.begin);
  clear<BlockSharers>(shared.lists, n_own);
  multiply(rows, columns, shared.stages, [&](int64_t first, Sums& sums) {
    const auto place = static_cast<int32_t>(first - column_begin);
    if constexpr (kTaken) drop(find, row, place, sums);
    score<kBias>(first, columns.end, find.bias, sums);
    collect(shared.lists, sums, place, find.margin);
  });
  flush<BlockSharers>(shared.lists, find.to, row, n_own, static_cast<int>(blockIdx.y));
}

// What the warpgroup mainloop does. A walk: a split of the columns of one problem, for 128 of its
// rows in every block of a cluster; clusters next to each other take the same columns.
template <bool kBias, bool kTaken>
struct FindJob {
  const Find& find;
  int32_t n_rows, n_columns;  // of a problem
  int32_t row_groups;         // of a problem, a cluster's rows each
  Lists& lists;
  int32_t column_begin = 0;  // of the current walk's problem
  int32_t row_begin = 0;     // of the current walk's block

  __device__ __forceinline__ int first() const {
    return static_cast<int>(blockIdx.x) / kWalkerCluster;
  }
  __device__ __forceinline__ int step() const {
    return static_cast<int>(gridDim.x) / kWalkerCluster;
  }
  __device__ __forceinline__ int end() const {
    return row_groups * find.to.splits * find.n_problems;
  }

  __device__ __forceinline__ Walk walk(int i) {
    column_begin = problem(i) * n_columns;
    const int64_t begin = split(i) * find.columns_per_split;
    const auto n = static_cast<int32_t>(min(find.columns_per_split, n_columns - begin));
    return {problem(i) * n_rows + place(i), column_begin + static_cast<int32_t>(begin),
            (n + kTileColumns - 1) / kTileColumns};
  }
  __device__ __forceinline__ void begin(int i) {
    clear<WarpSharers>(lists, n_own(i));
    row_begin = problem(i) * n_rows + place(i);
  }
  __device__ __forceinline__ void collect(int32_t column, WarpgroupSums& sums) {
    if constexpr (kTaken) drop(find, row_begin, column - column_begin, sums);
    score<kBias>(column, column_begin + n_columns, find.bias, sums);
    cuda::collect(lists, sums, column - column_begin, find.margin);
  }
  __device__ __forceinline__ void finish(int i) {
    flush<WarpSharers>(lists, find.to, int64_t{problem(i)} * n_rows + place(i), n_own(i), split(i));
  }

 private:
  __device__ __forceinline__ int split(int i) const { return i / row_groups % find.to.splits; }
  __device__ __forceinline__ int problem(int i) const { return i / row_groups / find.to.splits; }
  // Of the block's first row, in its problem: past the end where there is none.
  __device__ __forceinline__ int32_t place(int i) const {
    const int block = static_cast<int>(blockIdx.x) % kWalkerCluster;
    return (i % row_groups * kWalkerCluster + block) * kBlockRows;
  }
  __device__ __forceinline__ int n_own(int i) const {
    return max(0, min(n_rows - place(i), kBlockRows));
  }
};

template <bool kBias, bool kTaken>
__global__ void __launch_bounds__(kWalkerThreads, 1)
    find_by_wgmma(const __grid_constant__ TensorMap rows, const __grid_constant__ TensorMap columns,
                  Find find, int32_t n_rows, int32_t n_columns, int32_t row_groups) {
  if constexpr (kHasWarpgroups) {
    auto& shared = *reinterpret_cast<WalkShared*>(shared_memory());
    FindJob<kBias, kTaken> job{find, n_rows, n_columns, row_groups, shared.lists};
    multiply<kWalkerCluster>(rows, columns, find.x.dim, shared.ring, job);
  } else {
    __trap();  // use_mainloop refuses
  }
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <bool kBias, bool kTaken>
void find_with(const Find& find, Mainloop mainloop, int sms, Stream stream) {
  const Pace pace = pace_of(mainloop, sms);
  const int64_t n_rows = find.x.n_rows / find.n_problems;
  const int64_t n_columns = find.columns.n_rows / find.n_problems;
  const int64_t row_groups = ceil_div(n_rows, pace.rows);
  if (mainloop == Mainloop::mma) {
    launch(find_by_mma<kBias, kTaken>, Grid{row_groups, find.to.splits, find.n_problems},
           kBlockThreads, sizeof(MatrixShared), stream, find);
    return;
  }
  const int64_t n_walks = row_groups * find.to.splits * find.n_problems;
  launch_clusters(
      find_by_wgmma<kBias, kTaken>, std::min(n_walks, pace.groups_at_once), kWalkerCluster,
      kWalkerThreads, sizeof(WalkShared), stream, map_rows(find.x, kBlockRows),
      map_rows(find.columns, kTileColumns / kWalkerCluster), find, static_cast<int32_t>(n_rows),
      static_cast<int32_t>(n_columns), static_cast<int32_t>(row_groups));
}

}  // namespace

Pace pace_of(Mainloop mainloop, int sms) {
  if (mainloop == Mainloop::mma) {
    return {kBlockRows, kBlockColumns, int64_t{kBlocksPerSm} * sms};
  }
  return {kWalkerCluster * kBlockRows, kTileColumns, std::max(1, sms / kWalkerCluster)};
}

void find_candidates(const Find& find, Mainloop mainloop, int sms, Stream stream) {
  const bool taken = find.taken.n > 0;
  if (find.bias != nullptr) {
    return taken ? find_with<true, true>(find, mainloop, sms, stream)
                 : find_with<true, false>(find, mainloop, sms, stream);
  }
  return taken ? find_with<false, true>(find, mainloop, sms, stream)
               : find_with<false, false>(find, mainloop, sms, stream);
}

}  // namespace tamis::cuda
