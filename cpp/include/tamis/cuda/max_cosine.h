// The largest cosine inside ragged segments on a GPU: the definition of tamis/max_cosine.h, the
// same bits.
//
// Cost, for every 128 rows and 128 columns that any of the rows sees: 2 * 128 * 128 * dim
// operations on tensor cores, about half of the square where rows see earlier rows only; then 2 *
// dim in float64 for each candidate, one to two a row of ordinary data. Where one of 128 rows has
// more than 16 candidates, as near-copies do, the 128 are looked at a second time, once more the
// same cost, by finer sums (for 768 dimensions they err 17 times less) and without rows that are
// bit-identical to two earlier ones. Of 20,000 near-copies at cosines of 0.9988 to 0.9993, dim 768,
// a row then has 3 candidates, and 3 rows in a thousand more than 16. Only such a row, among
// columns that tie or nearly tie without being copies, is compared with every column in float64: 2
// * dim a column.
#pragma once

#include <cstddef>
#include <memory>

#include "tamis/cuda/device.h"
#include "tamis/max_cosine.h"

namespace tamis::cuda {

// One comparison, planned on the host: which rows with which columns. It may be run again and
// again, for any rows of the same segments, also by several threads with work of their own.
class MaxCosine {
 public:
  // All pointers are host memory. segments and other_segments (null: columns are rows of x) are
  // copied; sight.limits is read here only, and may be null for prefix: then tiles of columns are
  // planned for, and passed over on the device. sight.but_self is for rows of x as columns.
  // Segments have less than 2^31 - 128 columns.
  MaxCosine(const Segments& segments, const Segments* other_segments, const Sight& sight,
            int64_t dim, const Device& device);
  ~MaxCosine();

  // Device memory that a run with these rows needs: about 150 bytes a row, 60 a column (of x itself
  // where there is no other set), 20 a segment, and 132 for each of at most 1024 rows a
  // multiprocessor; where dim is not a multiple of 8, or an address not one of 16 bytes, a copy of
  // the rows, too.
  size_t work_bytes(const HalfRows& x, const HalfRows* other) const;

  // Pointers are device memory of the current device; work is queued on the stream and nothing
  // waits for it. other: null iff other_segments was. limits: as on the host, null unless prefix.
  // cosine: float64 [n_rows]; index: int64 [n_rows]; counts: added to, or null, climbed being the
  // second looks and the comparisons with every column; work: 256-byte aligned.
  void run(const HalfRows& x, const HalfRows* other, const int64_t* limits, double* cosine,
           int64_t* index, Counts* counts, void* work, Stream stream) const;

 private:
  struct Comparison;
  std::unique_ptr<const Comparison> comparison_;
};

// cosine[t] of x[i[t]] and y[j[t]]. Everything is device memory. i, j: int64 [n_pairs]; cosine:
// float64 [n_pairs].
void paired_cosine(const HalfRows& x, const int64_t* i, const HalfRows& y, const int64_t* j,
                   int64_t n_pairs, double* cosine, Stream stream);

}  // namespace tamis::cuda
