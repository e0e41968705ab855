// The centroid update, the inertia and the test for convergence on a GPU: the definitions of
// tamis/kmeans.h, the same bits.
//
// No order of rows, blocks or threads can show. A float16 number is a multiple of 2^-24, so a
// float64 sum of them is exact while it stays below 2^53 units of 2^-24: with elements of at most 1
// that is 2^29 = 5.3e8 rows in one cluster. Integer sums (inertia, counts) wrap nowhere.
//
// Pointers are device memory; work is queued on the stream and nothing waits for it. Rows hold
// finite numbers. A row whose label names no cluster belongs to none.
//
// n_problems, 1 to 65535: so many problems of one size in one call, their rows one after
// another, their clusters too. n_rows and n_clusters are those of all together, multiples of
// n_problems; a label counts from the first cluster of its row's own problem.
#pragma once

#include <cstddef>

#include "tamis/cuda/device.h"
#include "tamis/kmeans.h"

namespace tamis::cuda {

// update_centroids of tamis/kmeans.h. labels: int32 [x.n_rows]; next: float16 bits
// [n_clusters x dim], which may be centroids.data; work: 256-byte aligned.
size_t update_work_bytes(int64_t n_rows, int64_t dim, int64_t n_clusters);
void update_centroids(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                      bool spherical, uint16_t* next, void* work, Stream stream);

// The same in parts, for rows that come block by block: both zeros at first, add_rows for every
// block, then next_centroids.
struct ClusterSums {
  double* sum = nullptr;     // [n_clusters x dim]
  int64_t* count = nullptr;  // [n_clusters]
};
// Rows are ordered by label (a counting sort), then every warp sums some of one cluster's.
// Memory: 8 bytes per row and 24 per cluster. work: 256-byte aligned.
size_t add_rows_work_bytes(int64_t n_rows, int64_t n_clusters);
void add_rows(const HalfRows& x, const int32_t* labels, int64_t n_clusters, int64_t n_problems,
              const ClusterSums& sums, void* work, Stream stream);
void next_centroids(const ClusterSums& sums, const HalfRows& centroids, bool spherical,
                    uint16_t* next, Stream stream);

// Adds sum |x - c|^2 of each problem, exact, to its total. labels: int32 [x.n_rows]; total:
// [n_problems], zero at first.
void add_inertia(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                 int64_t n_problems, Inertia* total, Stream stream);

// Adds the number of labels that differ from those before to each problem's `changed`: 0 ends its
// iteration. labels, before: int32 [n_rows]; changed: [n_problems], zero at first.
void count_changed(const int32_t* labels, const int32_t* before, int64_t n_rows, int64_t n_problems,
                   int64_t* changed, Stream stream);

}  // namespace tamis::cuda
