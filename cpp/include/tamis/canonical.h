// Canonical rows: an embedding, L2-normalised in float64 and rounded once to float16.
//
// |x|^2 is summed in float64, element i into partial sum i mod 8, then
// ((s0+s4)+(s2+s6)) + ((s1+s5)+(s3+s7)), without FMA; each element is divided by |x| and rounded
// once from float64 to float16, nearest even. A row whose elements are all float16 numbers and
// whose norm lies in [1-2^-10, 1+2^-10] is taken as it is. A row whose |x|^2 is not finite, or is
// below 2^-900, is first divided by the power of two of its largest element.
#pragma once

#include "tamis/array.h"

namespace tamis {

enum class RowState : uint8_t { as_is = 0, rounded = 1, zero = 2, not_finite = 3 };

// x: [n_rows x dim], float16 bits, float32 or float64. rows: float16 bits [n_rows x dim], or null
// to classify only; a bad row comes back as zeros. state: RowState [n_rows].
void canonical(const uint16_t* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context);
void canonical(const float* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context);
void canonical(const double* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context);

// |x|^2 of every row, in the order above. squares: float64 [n_rows].
void squared_norms(const double* x, int64_t n_rows, int64_t dim, double* squares,
                   const Context& context);

}  // namespace tamis
