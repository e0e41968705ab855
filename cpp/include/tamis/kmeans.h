// Assignment of rows to centroids, the centroid update and the inertia: the parts of Lloyd's
// k-means. Every result is the float64 one, bit for bit, on any instruction set, thread count and
// split of the rows: float64 dots and sums of float16 rows are exact (multiples of 2^-48).
#pragma once

#include <vector>

#include "tamis/array.h"

namespace tamis {

enum class Metric { dot, euclidean };

// Centroids [n_rows x dim]: float16 bits, or float64 where they are not float16 numbers.
struct Centroids {
  HalfRows half;
  const double* wide = nullptr;  // takes the place of half.data where it is set
};

// The `top` best centroids of every row, best first, ties to the lowest index.
//   dot:        score = x.c                 euclidean: score = x.c - |c|^2/2
// both in float64; for wide centroids summed in the order of canonical.h.
// labels: int32 [n_rows x top]; scores: float64 [n_rows x top]. guess: int32 [n_rows], a centroid
// that is probably good for each row, or null; it saves work and changes no result.
Counts assign(const HalfRows& x, const Centroids& centroids, Metric metric, int top,
              const int32_t* guess, int32_t* labels, double* scores, const Context& context);

// Next centroids: float16(sum / |sum|) where spherical, else float16(sum / count); sums are float64
// and exact, |sum| is summed in the order of canonical.h. A cluster whose sum is zero (spherical)
// or that is empty keeps its centroid. next: float16 bits [n_clusters x dim].
void update_centroids(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                      bool spherical, uint16_t* next, const Context& context);

// sum |x - c|^2 in units of 2^-48, exact: high * 2^64 + low.
struct Inertia {
  int64_t high = 0;
  uint64_t low = 0;
};
Inertia inertia(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                const Context& context);

}  // namespace tamis
