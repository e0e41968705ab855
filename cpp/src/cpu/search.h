// The ladder: for every row, the exactly best columns, found by approximate tiles and decided in
// float64.
//
// A row keeps a floor, a proven lower bound on its best score (the `top`-th best), and a short
// list of columns whose approximate score plus the error bound reaches it. At the end of a column
// chunk the list is rescored in float64, best first, and the floor rises to exact scores. A row
// that would rescore too much climbs from int8 to float32; there the list is rescored whenever it
// is full, so nothing is ever lost. Which rung a row takes changes no bit of its result.
#pragma once

#include <vector>

#include "cpu/operand.h"
#include "tamis/max_cosine.h"

namespace tamis::cpu {

// Rows [row_begin, row_end) are compared with columns [column_begin, column_end).
struct Stretch {
  int64_t row_begin, row_end;
  int64_t column_begin, column_end;
};

struct Search {
  const Kernels* kernels = nullptr;
  Operand rows, columns;
  bool same = false;  // rows and columns are one operand
  Sight sight;
  int top = 1;
  double* scores = nullptr;    // [rows.n x top], best first; -inf where nothing was found
  int64_t* indices = nullptr;  // [rows.n x top]; -1 where nothing was found
};

// Fills scores and indices for the rows of the stretches.
Counts run(const Search& search, const std::vector<Stretch>& stretches, const Context& context);

}  // namespace tamis::cpu
