// Rows times columns on tensor cores, tile by tile: float16 factors, float32 sums, the matrix never
// written. A block of 256 threads owns 128 rows and walks tiles of 128 columns; what becomes of a
// tile's sums is the caller's.
//
// Both operands come through shared memory in slices of 32 elements, four slices in flight by
// cp.async, across tiles too: the first slices of the next tile load while the caller reads the
// sums of this one. A warp multiplies 64 rows by 32 columns.
#pragma once

#include <cstdint>

#include "cuda/device/launch.h"
#include "cuda/device/matrix.h"

namespace tamis::cuda {

inline constexpr int kBlockRows = 128;
inline constexpr int kBlockColumns = 128;
inline constexpr int kBlockThreads = 256;

// Rows [begin, end) of a matrix: dim is a multiple of 8, data is 16-byte aligned.
struct RowRange {
  const uint16_t* data;  // float16 bits [at least end x dim]
  int64_t dim;
  int64_t begin, end;
};

namespace mainloop {

inline constexpr int kSlice = 32;  // elements of a row in one stage: 4 chunks of 16 bytes
inline constexpr int kChunk = 8;
inline constexpr int kChunks = kSlice / kChunk;
inline constexpr int kStages = 4;
inline constexpr int kWarpRows = 64, kWarpColumns = 32;
inline constexpr int kWarpsAcross = kBlockColumns / kWarpColumns;
inline constexpr int kLoadRows = kBlockThreads / kChunks;  // loaded at once

static_assert(kBlockRows == kBlockColumns);
static_assert(kBlockRows / kWarpRows * kWarpsAcross * 32 == kBlockThreads);

// Where a chunk of a row lies in a stage: one chunk of eight rows, as ldmatrix reads them, and all
// chunks of two rows, as copies write them, cover all 32 banks once. Sixteen rows further down the
// place in the row is the same.
__host__ __device__ constexpr int chunk_place(int row, int chunk) {
  return row * kSlice + (chunk ^ ((row >> 1) & (kChunks - 1))) * kChunk;
}

}  // namespace mainloop

// Slices of both operands, in the block's shared memory. 64 KiB, 128-byte aligned.
struct Stages {
  uint16_t rows[mainloop::kStages][kBlockRows * mainloop::kSlice];
  uint16_t columns[mainloop::kStages][kBlockColumns * mainloop::kSlice];
};

// The threads that share the rows of a tile, 128 of them: all of the block.
struct BlockSharers {
  static constexpr int kThreads = kBlockThreads, kRows = kBlockRows;

  static __device__ __forceinline__ int thread() { return static_cast<int>(threadIdx.x); }
  static __device__ __forceinline__ int first_row() { return 0; }
  static __device__ __forceinline__ void sync() { __syncthreads(); }
  // A barrier, too.
  static __device__ __forceinline__ bool any(bool mine) { return __syncthreads_or(mine) != 0; }
};

// One thread's part of a tile: 8 rows by 8 columns, at (row(r), column(c)). r and c must be
// constants once loops are unrolled: the sums are registers.
struct Sums {
  using Sharers = BlockSharers;
  static constexpr int kRows = 8, kColumns = 8;

  float part[4][4][4];  // [16 rows][8 columns][as mma_m16n8k16 has them]

  __device__ __forceinline__ float& at(int r, int c) {
    return part[r >> 1][c >> 1][(r & 1) * 2 + (c & 1)];
  }
  __device__ __forceinline__ float at(int r, int c) const {
    return part[r >> 1][c >> 1][(r & 1) * 2 + (c & 1)];
  }
  static __device__ __forceinline__ int row(int r) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return static_cast<int>(warp / mainloop::kWarpsAcross * mainloop::kWarpRows + lane / 4) + r * 8;
  }
  static __device__ __forceinline__ int column(int c) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    return static_cast<int>(warp % mainloop::kWarpsAcross * mainloop::kWarpColumns + lane % 4 * 2) +
           (c >> 1) * 8 + (c & 1);
  }
};

namespace mainloop {

// Loads slices of up to 128 rows: one chunk of two rows a thread. What lies past the last row or
// the last element is zero.
class Loader {
 public:
  __device__ __forceinline__ explicit Loader(const RowRange& range)
      : from_(range.data + (range.begin + row()) * range.dim + element()),
        rows_left_(static_cast<int>(min(range.end - range.begin, kMostRows)) - row()) {}

  // to: a stage, [128 x kSlice]
  __device__ __forceinline__ void load(const RowRange& range, uint16_t* to, int slice) const {
    const int dim = static_cast<int>(range.dim);
    const uint16_t* from = from_ + slice * kSlice;
    uint16_t* place = to + chunk_place(row(), element() / kChunk);
    const bool inside = slice * kSlice + element() < dim;
#pragma unroll
    for (int i = 0; i < kBlockRows / kLoadRows; ++i) {
      cp_async_16(place + i * kLoadRows * kSlice, from + i * kLoadRows * range.dim,
                  inside && i * kLoadRows < rows_left_ ? 16 : 0);
    }
  }

  __device__ __forceinline__ void move_down(const RowRange& range) {
    from_ += kBlockRows * range.dim;
    rows_left_ -= kBlockRows;
  }

 private:
  static constexpr int64_t kMostRows = 0x7fffffff;

  static __device__ __forceinline__ int row() { return static_cast<int>(threadIdx.x / kChunks); }
  static __device__ __forceinline__ int element() {
    return static_cast<int>(threadIdx.x % kChunks) * kChunk;
  }

  const uint16_t* from_;
  int rows_left_;
};

// sums += rows x columns over one slice.
__device__ __forceinline__ void multiply_slice(const uint16_t* rows, const uint16_t* columns,
                                               Sums& sums) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int row = warp / kWarpsAcross * kWarpRows + lane % 16;
  const int column = warp % kWarpsAcross * kWarpColumns + lane % 8 + lane / 16 * 8;
  const int row_place = chunk_place(row, lane / 16);
  const int column_place = chunk_place(column, lane / 8 % 2);
#pragma unroll
  for (int k = 0; k < kChunks; k += 2) {
    // chunk_place(row + 16 m, chunk + k)
    const uint16_t* row_from = rows + (row_place ^ (k * kChunk));
    const uint16_t* column_from = columns + (column_place ^ (k * kChunk));
    uint32_t b[2][4];
#pragma unroll
    for (int n = 0; n < 2; ++n) ldmatrix_x4(b[n], column_from + n * 16 * kSlice);
#pragma unroll
    for (int m = 0; m < 4; ++m) {
      uint32_t a[4];
      ldmatrix_x4(a, row_from + m * 16 * kSlice);
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        mma_m16n8k16(sums.part[m][n], a, b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
      }
    }
  }
}

// Rounded to nearest, other than the matrix instruction's own sums.
__device__ __forceinline__ void add(const Sums& more, Sums& sums) {
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
#pragma unroll
    for (int c = 0; c < Sums::kColumns; ++c) {
      sums.at(r, c) = __fadd_rn(sums.at(r, c), more.at(r, c));
    }
  }
}

}  // namespace mainloop

// For every tile of 128 columns, from columns.begin on, all threads call
// epilogue(int64_t first_column, Sums& sums). Sums of rows and columns past the end are zero. rows:
// at most 128. A barrier comes before the first call and between any two; a second multiply() with
// the same stages needs one before it. Fine sums (fine_dot_error in shortlist.h) take 64 more
// registers.
template <bool kFine = false, class Epilogue>
__device__ __forceinline__ void multiply(const RowRange& rows, const RowRange& columns,
                                         Stages& stages, Epilogue&& epilogue) {
  using namespace mainloop;
  const int n_slices = static_cast<int>((rows.dim + kSlice - 1) / kSlice);
  const int n_tiles =
      static_cast<int>((columns.end - columns.begin + kBlockColumns - 1) / kBlockColumns);
  int tiles_left = n_tiles, slice = 0;  // to load
  const Loader row_loader(rows);
  Loader column_loader(columns);
  const auto load = [&](unsigned stage) {
    if (tiles_left > 0) {
      row_loader.load(rows, stages.rows[stage], slice);
      column_loader.load(columns, stages.columns[stage], slice);
      if (++slice == n_slices) {
        slice = 0;
        --tiles_left;
        column_loader.move_down(columns);
      }
    }
    cp_async_commit();  // an empty group too: the waits count groups
  };
#pragma unroll 1
  for (unsigned stage = 0; stage < kStages - 1; ++stage) load(stage);
  unsigned stage = 0;
#pragma unroll 1
  for (int tile = 0; tile < n_tiles; ++tile) {
    Sums sums = {};
#pragma unroll 1
    for (int i = 0; i < n_slices; ++i) {
      cp_async_wait<kStages - 2>();
      __syncthreads();  // the slice is there for all, and all have read the one before
      load((stage + kStages - 1) % kStages);
      if constexpr (kFine) {
        Sums of_slice = {};
        multiply_slice(stages.rows[stage], stages.columns[stage], of_slice);
        add(of_slice, sums);
      } else {
        multiply_slice(stages.rows[stage], stages.columns[stage], sums);
      }
      stage = (stage + 1) % kStages;
    }
    epilogue(columns.begin + tile * int64_t{kBlockColumns}, sums);
  }
  cp_async_wait<0>();
}

}  // namespace tamis::cuda
