// The largest cosine inside ragged segments of canonical rows, and the pairs above a threshold.
//
//   cosine(x, y) = x.y / (|x| |y|)   in float64: the exact dot, one product, one division
//
// The n x n matrix is never stored: tiles of 48 x 48 scores are scanned and dropped. Beside the
// results, memory is 8 bytes a row and the packed columns in work: one byte per element, or four
// where there are no int8 products, 16 MiB of them at a time, or 4 MiB for
// each thread where segments are small.
#pragma once

#include "tamis/array.h"

namespace tamis {

// Ragged segments. offsets: int64 [n_segments + 1], ascending.
struct Segments {
  const int64_t* offsets = nullptr;
  int64_t n_segments = 0;
};

// Which columns a row may see.
struct Sight {
  enum Kind {
    earlier,  // the rows before it in its segment
    prefix,   // the first limits[row] columns of its segment
    all,      // every column of its segment
  } kind = earlier;
  const int64_t* limits = nullptr;  // int64 [n_rows], for prefix
  bool but_self = false;            // never the column of its own number
};

// For each row of x, the largest cosine to a column it sees, ties to the lowest column; -inf and
// -1 where it sees none. Columns are the rows of x itself (earlier, prefix, all) or of `other`
// (prefix, all), segment by segment. cosine: float64 [n_rows]; index: int64 [n_rows].
Counts max_cosine(const HalfRows& x, const Segments& segments, const HalfRows* other,
                  const Segments* other_segments, const Sight& sight, double* cosine,
                  int64_t* index, const Context& context);

// cosine[t] of x[i[t]] and y[j[t]]. i, j: int64 [n_pairs]; cosine: float64 [n_pairs].
void paired_cosine(const HalfRows& x, const int64_t* i, const HalfRows& y, const int64_t* j,
                   int64_t n_pairs, double* cosine, const Context& context);

struct Pair {
  int64_t i, j;  // i < j
  float cosine;
};

// Pairs of one segment, i < j, begin <= j < end, with float32(cosine) > threshold, ordered by
// (j, i); i runs from segment_begin. Returns the row to go on with: end, or an earlier one where
// the rows before it have about two million pairs.
using PairSink = std::function<void(const Pair*, int64_t n_pairs)>;
int64_t pairs_above(const HalfRows& x, int64_t segment_begin, int64_t begin, int64_t end,
                    float threshold, const PairSink& sink, const Context& context);

// In row order, a row is kept iff no earlier kept row of its segment has float32(cosine) above the
// threshold. keep: uint8 [n_rows].
void greedy_keep(const HalfRows& x, const Segments& segments, float threshold, uint8_t* keep,
                 const Context& context);

// The lowest row of each row's connected component; edges are the pairs above the threshold inside
// a segment. component: int64 [n_rows].
void components(const HalfRows& x, const Segments& segments, float threshold, int64_t* component,
                const Context& context);

}  // namespace tamis
