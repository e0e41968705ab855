// Rows that are bit-identical to others, which no shortlist can tell apart.
#pragma once

#include <cstddef>

#include "tamis/array.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {

// Where two rows are bit-identical to a later one, the later one is nobody's best column: a row
// that sees the first so many columns of a segment, itself perhaps not, sees at least one of the
// two, at a lower index. mark_spare sets spare[row] to 1 for such later rows in segments with
// wanted[s] not 0, and to 0 for all others. It reads rows of wanted segments only, by way of a
// hash; what it marks was compared to the bit.
//
// rows: packed; offsets: [n_segments + 1]; wanted: [n_segments + 1], the last 0 where all are;
// spare: [rows.n_rows]; all in device memory, like work, which is 16-byte aligned. 44 bytes a row.
// key_bits: of the hash; tests take few, for rows that differ and have one key.
size_t mark_spare_work_bytes(int64_t n_rows);
void mark_spare(const HalfRows& rows, const int64_t* offsets, int64_t n_segments,
                const int32_t* wanted, uint8_t* spare, void* work, Stream stream,
                int key_bits = 64);

}  // namespace tamis::cuda
