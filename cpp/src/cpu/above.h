// Pairs above a threshold, tile by tile.
#pragma once

#include <vector>

#include "cpu/panels.h"

namespace tamis::cpu {

struct Edge {
  int64_t later, earlier;
  float cosine;  // NaN where it was not asked for and not needed
};

// One thread's work. A pair is above the threshold iff float32(cosine) > threshold; approximate
// scores that settle this need no float64.
class Above {
 public:
  Above(const Kernels& kernels, const Operand& x, float threshold, bool with_cosine);

  Format format() const { return format_; }
  // Packs rows [begin, begin + count) as a panel.
  void pack(Panels& panels, int64_t panel, int64_t begin, int count, const Center& center);

  // Appends the pairs of row panel x column panel with column < row, in (row, column) order.
  // Rows [row, row + n_rows) and columns [column, column + n_columns) of x.
  void find(const Panels& rows, int64_t row_panel, int64_t row, int n_rows, const Panels& columns,
            int64_t column_panel, int64_t column, int n_columns, std::vector<Edge>& edges);

 private:
  const Kernels& kernels_;
  const Operand& x_;
  float threshold_;
  bool with_cosine_;
  Format format_;
  std::vector<float> scratch_, wide_, row_threshold_, row_margin_;
  std::vector<uint64_t> sight_;
  std::vector<Hit> hits_;
  std::unique_ptr<float, void (*)(void*)> tile_;
};

}  // namespace tamis::cpu
