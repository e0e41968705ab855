// Canonical rows on a GPU: the definition of tamis/canonical.h, the same bits.
//
// Pointers are device memory; work is queued on the stream and nothing waits for it. One pass reads
// a row for |x|^2, a second one divides it, mostly out of the cache. Unit float16 rows, 16-byte
// aligned and of a dim that 8 divides, are read (and copied) at the speed of memory.
#pragma once

#include "tamis/canonical.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {

enum class Element { half, bfloat16, float32, float64 };

// x: [n_rows x dim] of `element`, aligned as one element is. rows: float16 bits [n_rows x dim], or
// null to classify only; a bad row comes back as zeros. state: RowState [n_rows].
void canonical(const void* x, Element element, int64_t n_rows, int64_t dim, uint16_t* rows,
               uint8_t* state, Stream stream);

// |x|^2 of every row, summed in the canonical order; exact where it is below 2^5.
// squares: float64 [n_rows].
void squared_norms(const HalfRows& x, double* squares, Stream stream);

}  // namespace tamis::cuda
