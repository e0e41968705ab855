// The matrix pass, the shortlist and the assignment.
#include "cuda/device/collect.h"
#include "cuda/device/launch.h"
#include "cuda/device/mainloop.h"
#include "cuda/device/shortlist.h"
#include "cuda/device/warpgroup_mainloop.h"
#include "cuda/pack.h"
#include "cuda/splits.h"
#include "exports.h"
#include "tamis/cuda/kmeans.h"

namespace {

using namespace tamis;
using namespace tamis::cuda;
using emulation::guarded;

Metric metric_of(int64_t euclidean) { return euclidean != 0 ? Metric::euclidean : Metric::dot; }

template <bool kFine>
__global__ void all_sums(HalfRows x, HalfRows y, float* out) {
  auto& stages = *reinterpret_cast<Stages*>(shared_memory());
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const RowRange rows = {x.data, x.dim, begin, min(begin + kBlockRows, x.n_rows)};
  const int64_t n_columns = (y.n_rows + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
  multiply<kFine>(rows, {y.data, y.dim, 0, y.n_rows}, stages, [&](int64_t first, Sums& sums) {
    for (int r = 0; r < Sums::kRows; ++r) {
      for (int c = 0; c < Sums::kColumns; ++c) {
        out[(begin + Sums::row(r)) * n_columns + first + Sums::column(c)] = sums.at(r, c);
      }
    }
  });
}

// Approximate and exact scores, both given. approximate: [n_rows x n_columns]
struct Given {
  const float* approximate;
  const double* exact;
  int64_t n_rows, n_columns;
};

// kTile: columns at once, a tile of the mainloop that has such sums.
template <class Sums, int kTile>
__global__ void collect_given(Given given, int64_t columns_per_split, float margin,
                              CandidateLists to) {
  auto& lists = *reinterpret_cast<Lists*>(shared_memory());
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const int n_rows = static_cast<int>(min(given.n_rows - begin, int64_t{kBlockRows}));
  clear<typename Sums::Sharers>(lists, n_rows);
  const int64_t first = blockIdx.y * columns_per_split;
  const int64_t last = min(first + columns_per_split, given.n_columns);
  for (int64_t tile = first; tile < last; tile += kTile) {
    Sums::Sharers::sync();
    Sums scores;
    for (int r = 0; r < Sums::kRows; ++r) {
      for (int c = 0; c < Sums::kColumns; ++c) {
        const int64_t row = begin + Sums::row(r), column = tile + Sums::column(c);
        scores.at(r, c) = row < given.n_rows && column < last
                              ? given.approximate[row * given.n_columns + column]
                              : -INFINITY;
      }
    }
    collect(lists, scores, static_cast<int32_t>(tile), margin);
  }
  flush<typename Sums::Sharers>(lists, to, begin, n_rows, static_cast<int>(blockIdx.y));
}

__global__ void decide_given(Given given, float margin, CandidateLists lists, int32_t* labels,
                             int32_t* scored) {
  const int64_t row = blockIdx.x;
  int64_t n_scored = 0;
  Best best = {0, only_candidate(lists, row, margin)};
  if (best.column != kNoColumn) {
    best = best_of(lists, row, best.column, margin, n_scored,
                   [&](int32_t column) { return given.exact[row * given.n_columns + column]; });
  }
  if (threadIdx.x != 0) return;
  labels[row] = best.column;
  scored[row] = static_cast<int32_t>(n_scored);
}

}  // namespace

extern "C" {

// out: 1 byte count; then the copy, if any, is made in work.
TAMIS_EXPORT const char* emulated_packed(const uint16_t* x, int64_t n_rows, int64_t dim,
                                         int64_t* bytes, void* work) {
  return guarded([&] {
    *bytes = static_cast<int64_t>(packed_bytes({x, n_rows, dim}));
    if (work) packed({x, n_rows, dim}, work, {});
  });
}

// x, y: dim is a multiple of 8. out: [n_rows x n_columns], both rounded up to 128
TAMIS_EXPORT const char* emulated_sums(const uint16_t* x, int64_t n_rows, const uint16_t* y,
                                       int64_t n_columns, int64_t dim, int64_t fine, float* out) {
  return guarded([&] {
    launch(fine != 0 ? all_sums<true> : all_sums<false>,
           Grid{(n_rows + kBlockRows - 1) / kBlockRows}, kBlockThreads, sizeof(Stages), Stream{},
           HalfRows{x, n_rows, dim}, HalfRows{y, n_columns, dim}, out);
  });
}

// places: [128 x 4]
TAMIS_EXPORT const char* emulated_chunk_places(int32_t* places) {
  return guarded([&] {
    for (int row = 0; row < 128; ++row) {
      for (int chunk = 0; chunk < 4; ++chunk) *places++ = mainloop::chunk_place(row, chunk);
    }
  });
}

// keys, back: [n]; lowest, highest: of kLowestKey and kHighestKey
TAMIS_EXPORT const char* emulated_order_keys(const float* values, int64_t n, int32_t* keys,
                                             float* back, float* ends) {
  return guarded([&] {
    for (int64_t i = 0; i < n; ++i) {
      keys[i] = order_key(values[i]);
      back[i] = from_order_key(keys[i]);
    }
    ends[0] = from_order_key(kLowestKey);
    ends[1] = from_order_key(kHighestKey);
  });
}

// out: dot_error(dim), and margin_of(error), or fine_dot_error(dim) where error is below 0
TAMIS_EXPORT const char* emulated_errors(int64_t dim, double error, double* out) {
  return guarded([&] {
    out[0] = dot_error(dim);
    out[1] = error < 0 ? fine_dot_error(dim) : margin_of(error);
  });
}

TAMIS_EXPORT const char* emulated_compact(float* scores, int32_t* columns, int64_t stride,
                                          int64_t count, double threshold, int64_t* kept) {
  return guarded([&] {
    *kept = compact(scores, columns, static_cast<int>(stride), static_cast<int>(count),
                    static_cast<float>(threshold));
  });
}

TAMIS_EXPORT const char* emulated_tiles_per_split(int64_t row_blocks, int64_t column_tiles,
                                                  int64_t slots, int64_t* tiles) {
  return guarded([&] { *tiles = tiles_per_split(row_blocks, column_tiles, slots); });
}

// warps: not 0 where warps share rows, 0 where blocks do; columns_per_split: a multiple of 128.
// list: int64 [n_rows x splits x kCandidates]; count: int32 [n_rows x splits]; labels, scored:
// int32 [n_rows]
TAMIS_EXPORT const char* emulated_shortlist(const float* approximate, const double* exact,
                                            int64_t n_rows, int64_t n_columns, int64_t warps,
                                            int64_t columns_per_split, double error, void* list,
                                            int32_t* count, int32_t* labels, int32_t* scored) {
  return guarded([&] {
    const Given given = {approximate, exact, n_rows, n_columns};
    const int64_t splits = (n_columns + columns_per_split - 1) / columns_per_split;
    const CandidateLists lists = {static_cast<Candidate*>(list), count,
                                  static_cast<int32_t>(splits)};
    const float margin = margin_of(error);
    const auto collect_all = warps != 0 ? collect_given<WarpgroupSums, kTileColumns>
                                        : collect_given<Sums, kBlockColumns>;
    launch(collect_all, Grid{(n_rows + kBlockRows - 1) / kBlockRows, splits}, kBlockThreads,
           sizeof(Lists), Stream{}, given, columns_per_split, margin, lists);
    launch(decide_given, Grid{n_rows}, 32, 0, Stream{}, given, margin, lists, labels, scored);
  });
}

TAMIS_EXPORT const char* emulated_assign_work_bytes(const uint16_t* x, int64_t n_rows,
                                                    const uint16_t* centroids, int64_t n_clusters,
                                                    int64_t dim, int64_t euclidean,
                                                    int64_t n_problems, int64_t* bytes) {
  return guarded([&] {
    *bytes = static_cast<int64_t>(assign_work_bytes({x, n_rows, dim}, {centroids, n_clusters, dim},
                                                    metric_of(euclidean), n_problems));
  });
}

TAMIS_EXPORT const char* emulated_assign(const uint16_t* x, int64_t n_rows,
                                         const uint16_t* centroids, int64_t n_clusters, int64_t dim,
                                         int64_t euclidean, int64_t n_problems, int64_t top,
                                         int32_t* labels, double* scores, Counts* counts,
                                         void* work) {
  return guarded([&] {
    assign({x, n_rows, dim}, {centroids, n_clusters, dim}, metric_of(euclidean), n_problems,
           static_cast<int>(top), labels, scores, counts, work, {});
  });
}

TAMIS_EXPORT const char* emulated_score_labels(const uint16_t* x, int64_t n_rows,
                                               const uint16_t* centroids, int64_t n_clusters,
                                               int64_t dim, int64_t euclidean, int64_t n_problems,
                                               const int32_t* labels, double* scores) {
  return guarded([&] {
    score_labels({x, n_rows, dim}, {centroids, n_clusters, dim}, metric_of(euclidean), n_problems,
                 labels, scores, {});
  });
}

// half or wide is null.
TAMIS_EXPORT const char* emulated_assign_exact(const uint16_t* x, int64_t n_rows,
                                               const uint16_t* half, const double* wide,
                                               int64_t n_clusters, int64_t dim, int64_t euclidean,
                                               int64_t top, int32_t* labels, double* scores,
                                               int64_t* bytes, void* work) {
  return guarded([&] {
    const Centroids centroids = {{half, n_clusters, dim}, wide};
    const HalfRows rows = {x, n_rows, dim};
    *bytes = static_cast<int64_t>(assign_exact_work_bytes(rows, centroids, metric_of(euclidean)));
    if (!labels) return;
    assign_exact(rows, centroids, metric_of(euclidean), static_cast<int>(top), labels, scores, work,
                 {});
  });
}

}  // extern "C"
