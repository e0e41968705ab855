// Assignment of rows to centroids on a GPU: the twin of assign in tamis/kmeans.h, with the same
// bits.
//
// All pointers are device memory of the current device, and all work is queued on the stream; these
// functions allocate nothing and never wait. work: as many bytes as the ..._work_bytes function
// says for the same arguments on the same device, 256-byte aligned, free again once the stream has
// come so far.
#pragma once

#include <cstddef>

#include "tamis/cuda/device.h"
#include "tamis/kmeans.h"

namespace tamis::cuda {

// The `top` best centroids of every row, best first, ties to the lowest index; scores as in
// tamis/kmeans.h. Each takes a pass of its own. top: 1 to n_clusters of a problem. Rows and
// centroids have norms of at most 1 + 2^-9 (zero rows are legal) and no NaN; n_clusters is from 1
// to 2^31 - 1, dim at least 1. On tensor cores, decided in float64; the n x k matrix is never
// stored. Work is 136 bytes a row for half a million rows at a time (on a large GPU), 132 more for
// each split of the columns where rows are few; where dim is not a multiple of 8, or data not
// 16-byte aligned, it holds a copy of the centroids and of so many rows, too.
//
// n_problems problems of one size may be done together: their rows lie one after another, and so do
// their centroids; both numbers are multiples of n_problems, labels count from the problem's first
// centroid. labels: int32 [n_rows x top]; scores: float64 [n_rows x top], or null: then a row whose
// best is certain from the matrix pass is not read again; counts: added to, or null.
size_t assign_work_bytes(const HalfRows& x, const HalfRows& centroids, Metric metric,
                         int64_t n_problems);
void assign(const HalfRows& x, const HalfRows& centroids, Metric metric, int64_t n_problems,
            int top, int32_t* labels, double* scores, Counts* counts, void* work, Stream stream);

// The scores of labels that are there, the same bits, of one problem or more. A row whose label is
// no centroid's keeps what is in scores. labels: int32 [n_rows]; scores: float64 [n_rows].
void score_labels(const HalfRows& x, const HalfRows& centroids, Metric metric, int64_t n_problems,
                  const int32_t* labels, double* scores, Stream stream);

inline constexpr int kMostTop = 64;

// The `top` best centroids of every row, best first, by float64 scores alone: for float64
// centroids of any norm, and for more than one centroid a row. top: 1 to the smaller of n_clusters
// and kMostTop. labels: int32 [n_rows x top]; scores: float64 [n_rows x top].
size_t assign_exact_work_bytes(const HalfRows& x, const Centroids& centroids, Metric metric);
void assign_exact(const HalfRows& x, const Centroids& centroids, Metric metric, int top,
                  int32_t* labels, double* scores, void* work, Stream stream);

}  // namespace tamis::cuda
