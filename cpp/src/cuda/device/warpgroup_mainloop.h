// Rows times columns by wgmma: what mainloop.h does, for sm_90a. Persistent blocks of 384 threads
// walk from 128 rows to the next; a tile has 256 columns, 128 for fine sums, and what becomes of
// its sums is the job's.
//
// One thread copies slices of 64 elements by TMA into a ring of four stages. Two warpgroups
// multiply 64 rows each by the same columns. Nothing but the ring ties them: a row's sums are those
// of four lanes, so a warp reads the sums of its 16 rows by itself, while the other warpgroup
// multiplies on; the second one starts two slices late for that. Two blocks of a cluster walk the
// same columns, and each copies half of them to both.
#pragma once

#include <cstdint>

#include "cuda/device/collect.h"
#include "cuda/device/launch.h"
#include "cuda/device/warpgroup.h"

namespace tamis::cuda {

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
inline constexpr bool kHasWarpgroups = true;
#else
inline constexpr bool kHasWarpgroups = false;
#endif

inline constexpr int kTileColumns = 256;
inline constexpr int kFineTileColumns = 128;  // of fine sums: twice the registers for each
inline constexpr int kWalkerThreads = 384;    // two warpgroups that multiply, one that copies

inline constexpr int kWalkerCluster = 2;  // blocks that share columns

// 128 rows from `row` on, and tiles of columns from `column` on.
struct Walk {
  int32_t row, column, n_tiles;
};

// The four lanes that share a row are of one warp, so is all that sharers wait for.
struct WarpSharers {
  static constexpr int kThreads = 32, kRows = 16;

  static __device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x % 32); }
  static __device__ __forceinline__ int first_row() {
    return static_cast<int>(threadIdx.x / 32) * kRows;
  }
  static __device__ __forceinline__ void sync() { __syncwarp(); }
  static __device__ __forceinline__ bool any(bool mine) {
    __syncwarp();  // what was read before may be written after
    return __any_sync(0xffffffffu, mine) != 0;
  }
};

// One thread's part of a tile: 2 rows by a quarter of the columns, as those of mainloop.h.
template <int kTile>
struct SumsOfTile {
  using Sharers = WarpSharers;
  static constexpr int kRows = 2, kColumns = kTile / 4;

  float part[kTile / 2];  // as wgmma has them

  __device__ __forceinline__ float& at(int r, int c) {
    return part[(c >> 1) * 4 + r * 2 + (c & 1)];
  }
  __device__ __forceinline__ float at(int r, int c) const {
    return part[(c >> 1) * 4 + r * 2 + (c & 1)];
  }
  static __device__ __forceinline__ int row(int r) {
    return Sharers::first_row() + Sharers::thread() / 4 + r * 8;
  }
  static __device__ __forceinline__ int column(int c) {
    return (c >> 1) * 8 + Sharers::thread() % 4 * 2 + (c & 1);
  }
};

using WarpgroupSums = SumsOfTile<kTileColumns>;
using FineWarpgroupSums = SumsOfTile<kFineTileColumns>;

namespace warpgroup {

inline constexpr int kStages = 4;
inline constexpr int kConsumers = 2;     // warpgroups
inline constexpr int kLead = 2;          // slices by which the first is ahead
inline constexpr int kWarps = 4;         // of a warpgroup
inline constexpr int kGroupRows = 64;    // of a warpgroup
inline constexpr int kInstruction = 16;  // elements
inline constexpr int kFineSlice = 32;    // elements, as fine_dot_error has them

static_assert(kConsumers * kGroupRows == kBlockRows && kLead <= kStages);
static_assert((kConsumers + 1) * kWarps * 32 == kWalkerThreads);

}  // namespace warpgroup

// Slices of both operands, and who waits for whom. At the beginning of the block's shared memory:
// 1024-byte aligned. 193 KiB.
struct alignas(1024) Ring {
  uint16_t rows[warpgroup::kStages][kBlockRows * kBoxElements];
  uint16_t columns[warpgroup::kStages][kTileColumns * kBoxElements];
  Barrier full[warpgroup::kStages];   // the slice has come
  Barrier empty[warpgroup::kStages];  // all have read it, in all blocks of the cluster
  Barrier ahead;                      // the first warpgroup has its lead
};

// Of a block that collects candidates.
struct WalkShared {
  Ring ring;
  Lists lists;
};

namespace warpgroup {

// The stages in turn, and the parity of the phase of their barriers.
struct Turn {
  unsigned stage = 0, parity = 0;

  __device__ __forceinline__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

template <int kCluster>
__device__ __forceinline__ void prepare(const TensorMap& rows, const TensorMap& columns,
                                        Ring& ring) {
  if (threadIdx.x == 0) {
    prefetch(rows);
    prefetch(columns);
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(ring.full[stage], 1);
      barrier_init(ring.empty[stage], kCluster * kConsumers * kWarps);
    }
    barrier_init(ring.ahead, kWarps);
    barriers_are_ready();
  }
  if constexpr (kCluster > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
}

// One warp, of which one thread copies.
template <int kCluster, int kTile, class Job>
__device__ __forceinline__ void copy_walks(const TensorMap& rows, const TensorMap& columns,
                                           int n_slices, Ring& ring, Job& job) {
  const bool leads = threadIdx.x % 32 == 0;
  const int part = kCluster > 1 ? static_cast<int>(cluster_block()) : 0;  // of a tile's columns
  constexpr int kPart = kTile / kCluster;
  Turn turn;
#pragma unroll 1
  for (int i = job.first(); i < job.end(); i += job.step()) {
    const Walk walk = job.walk(i);
    const int n = leads ? walk.n_tiles * n_slices : 0;
    int column = walk.column + part * kPart, slice = 0;
#pragma unroll 1
    for (int k = 0; k < n; ++k) {
      Barrier& full = ring.full[turn.stage];
      barrier_wait(ring.empty[turn.stage], turn.parity ^ 1);
      barrier_expect(full, (kBlockRows + kTile) * kBoxRowBytes);
      copy_box(ring.rows[turn.stage], rows, slice * kBoxElements, walk.row, full);
      uint16_t* to = ring.columns[turn.stage] + part * kPart * kBoxElements;
      if constexpr (kCluster > 1) {
        copy_box_to(to, columns, slice * kBoxElements, column, full, (1 << kCluster) - 1);
      } else {
        copy_box(to, columns, slice * kBoxElements, column, full);
      }
      turn.next();
      if (++slice == n_slices) {
        slice = 0;
        column += kTile;
      }
    }
    __syncwarp();
  }
  if (!leads) return;
#pragma unroll 1
  for (int stage = 0; stage < kStages; ++stage) {  // no arrival is left behind
    barrier_wait(ring.empty[turn.stage], turn.parity ^ 1);
    turn.next();
  }
}

__device__ __forceinline__ void multiply(WarpgroupSums& sums, uint64_t a, uint64_t b, int adds) {
  wgmma_m64n256k16(sums.part, a, b, adds);
}
__device__ __forceinline__ void multiply(FineWarpgroupSums& sums, uint64_t a, uint64_t b,
                                         int adds) {
  wgmma_m64n128k16(sums.part, a, b, adds);
}

// The warpgroup's rows of a stage times its columns, elements [begin, end), later. first: the sums
// are not added to.
template <class Sums>
__device__ __forceinline__ void multiply_stage(const Ring& ring, unsigned stage, int begin, int end,
                                               bool first, Sums& sums) {
  const uint16_t* rows = ring.rows[stage] + threadIdx.x / 128 * kGroupRows * kBoxElements;
  wgmma_begin(sums.part);
#pragma unroll
  for (int k = begin; k < end; k += kInstruction) {
    multiply(sums, operand(rows, k), operand(ring.columns[stage], k), !first || k > begin ? 1 : 0);
  }
  wgmma_commit();
}

// One warp of a warpgroup: it has read the stage.
template <int kCluster>
__device__ __forceinline__ void leave(Ring& ring, unsigned stage) {
  const unsigned lane = threadIdx.x % 32;
  if constexpr (kCluster > 1) {
    if (lane < kCluster) barrier_arrive_in(ring.empty[stage], lane);
  } else {
    if (lane == 0) barrier_arrive(ring.empty[stage]);
  }
}

// Who has the lead counts its slices, and says when it has it.
__device__ __forceinline__ void take_lead(Ring& ring, int& until_lead) {
  if (--until_lead == 0 && threadIdx.x % 32 == 0) barrier_arrive(ring.ahead);
}

// Sums of one tile.
template <int kCluster>
__device__ __forceinline__ void multiply_tile(int n_slices, Ring& ring, Turn& turn, int& until_lead,
                                              WarpgroupSums& sums) {
  unsigned before = 0;
#pragma unroll 1
  for (int slice = 0; slice < n_slices; ++slice) {
    barrier_wait(ring.full[turn.stage], turn.parity);
    multiply_stage(ring, turn.stage, 0, kBoxElements, slice == 0, sums);
    take_lead(ring, until_lead);
    wgmma_wait<1>(sums.part);
    if (slice > 0) leave<kCluster>(ring, before);
    before = turn.stage;
    turn.next();
  }
  wgmma_wait<0>(sums.part);
  leave<kCluster>(ring, before);
}

// Fine sums: those of half a slice by themselves, then added to nearest.
template <int kCluster>
__device__ __forceinline__ void multiply_tile(int n_slices, Ring& ring, Turn& turn, int& until_lead,
                                              FineWarpgroupSums& sums) {
  sums = {};
#pragma unroll 1
  for (int slice = 0; slice < n_slices; ++slice) {
    barrier_wait(ring.full[turn.stage], turn.parity);
#pragma unroll
    for (int k = 0; k < kBoxElements; k += kFineSlice) {
      FineWarpgroupSums more;
      multiply_stage(ring, turn.stage, k, k + kFineSlice, true, more);
      wgmma_wait<0>(more.part);
      if (k + kFineSlice == kBoxElements) leave<kCluster>(ring, turn.stage);
#pragma unroll
      for (int i = 0; i < kFineTileColumns / 2; ++i) {
        sums.part[i] = __fadd_rn(sums.part[i], more.part[i]);
      }
    }
    take_lead(ring, until_lead);
    turn.next();
  }
}

// Two warpgroups.
template <int kCluster, int kTile, class Job>
__device__ __forceinline__ void multiply_walks(int n_slices, Ring& ring, Job& job) {
  const bool is_first = threadIdx.x < 128;
  int until_lead = is_first ? kLead : 0;
  if (!is_first) barrier_wait(ring.ahead, 0);
  Turn turn;
#pragma unroll 1
  for (int i = job.first(); i < job.end(); i += job.step()) {
    const Walk walk = job.walk(i);
    if (walk.n_tiles == 0) continue;
    __syncwarp();
    job.begin(i);
#pragma unroll 1
    for (int tile = 0; tile < walk.n_tiles; ++tile) {
      SumsOfTile<kTile> sums;
      multiply_tile<kCluster>(n_slices, ring, turn, until_lead, sums);
      __syncwarp();
      job.collect(walk.column + tile * kTile, sums);
    }
    job.finish(i);
  }
  if (until_lead > 0 && threadIdx.x % 32 == 0) barrier_arrive(ring.ahead);  // it never had the lead
}

}  // namespace warpgroup

// All threads of all blocks. rows: with boxes of 128 rows; columns: of kTile / kCluster, where
// kTile is kTileColumns, or kFineTileColumns for fine sums (fine_dot_error in shortlist.h). The job
// says what to do: walks first(), first() + step(), ... before end(), the same for
// all blocks of a cluster but for their rows; walk(i), called by whole warps; and, called by the
// warps that own rows (WarpSharers) where a walk has tiles, begin(i), collect(column, sums) for
// every tile, finish(i). A __syncwarp comes before begin and before each collect.
template <int kCluster, int kTile = kTileColumns, class Job>
__device__ __forceinline__ void multiply(const TensorMap& rows, const TensorMap& columns,
                                         int64_t dim, Ring& ring, Job& job) {
  using namespace warpgroup;
  const int n_slices = static_cast<int>((dim + kBoxElements - 1) / kBoxElements);
  prepare<kCluster>(rows, columns, ring);
  if (threadIdx.x < kConsumers * 128) {
    registers_for_many();
    multiply_walks<kCluster, kTile>(n_slices, ring, job);
  } else {
    registers_for_few();
    if (threadIdx.x < kConsumers * 128 + 32) {
      copy_walks<kCluster, kTile>(rows, columns, n_slices, ring, job);
    }
  }
  if constexpr (kCluster > 1) cluster_sync();  // nobody arrives, or copies, in a block that is gone
}

}  // namespace tamis::cuda
