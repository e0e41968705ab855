// One side of a comparison, and the float64 judge that decides it.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "cpu/kernels.h"
#include "tamis/array.h"

namespace tamis::cpu {

// Rows to compare. score(i, j) = x_i.y_j / (|x_i| |y_j|) where both sides carry norms, else
// x_i.y_j - penalty_j.
struct Operand {
  int64_t n = 0;
  int64_t dim = 0;
  const uint16_t* half = nullptr;   // float16 bits [n x dim]
  const double* wide = nullptr;     // or float64 [n x dim]
  double* norm = nullptr;           // |y| in float64 [n]; 0 where it is not known yet
  const double* penalty = nullptr;  // |y|^2 / 2 in float64 [n]

  const uint16_t* half_row(int64_t i) const { return half + i * dim; }
  const double* wide_row(int64_t i) const { return wide + i * dim; }
};

// |x| of a float16 row: the square root of the exact |x|^2. x: the row as float32.
inline double norm_of(const Kernels& kernels, const float* x, const uint16_t* row, int64_t dim) {
  return std::sqrt(kernels.dot(x, row, dim));
}

// The norms of all rows of x.
std::vector<double> norms(const Kernels& kernels, const HalfRows& x, const Context& context);

// Fills in the norm of a row where it is not known. In every phase of a search a row is touched by
// one thread only, until its norm is known.
inline void need_norm(const Kernels& kernels, const Operand& operand, const float* x, int64_t row) {
  if (operand.norm && operand.norm[row] == 0) {
    operand.norm[row] = norm_of(kernels, x, operand.half_row(row), operand.dim);
  }
}

// The score that decides. x is row i of rows as float32 (exact).
inline double exact_score(const Kernels& kernels, const Operand& rows, const Operand& columns,
                          const float* x, int64_t i, int64_t j) {
  const double dot = columns.wide ? kernels.dot_wide(x, columns.wide_row(j), columns.dim)
                                  : kernels.dot(x, columns.half_row(j), columns.dim);
  if (columns.norm) return dot / (rows.norm[i] * columns.norm[j]);
  return columns.penalty ? dot - columns.penalty[j] : dot;
}

}  // namespace tamis::cpu
