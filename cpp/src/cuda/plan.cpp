#include "cuda/plan.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "cuda/device/sight.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {
namespace {

constexpr int64_t kUnitsOfLoad = 8;  // see plan.h
constexpr int64_t kShort = 4;

int64_t pieces(int64_t whole, int64_t piece) { return (whole + piece - 1) / piece; }

class Planner {
 public:
  Planner(const Segments& rows, const Segments& columns, const Sight& sight, const PlanSizes& sizes)
      : rows_(rows), columns_(columns), sight_(sight), sizes_(sizes) {}

  Plan make() {
    for (int64_t s = 0; s < rows_.n_segments; ++s) add(s);
    cut();
    return std::move(plan_);
  }

 private:
  // The columns that some row of [begin, end) sees are among the first so many of its segment.
  int64_t seen(int64_t s, int64_t begin, int64_t end) const {
    const int64_t all = columns_.offsets[s + 1] - columns_.offsets[s];
    // Of earlier rows the last row sees the most, of all columns every row the same.
    const bool varies = sight_.kind == Sight::prefix && sight_.limits;
    int64_t most = 0;
    for (int64_t row = varies ? begin : end - 1; row < end; ++row) {
      most = std::max(most, columns_seen(sight_, row, rows_.offsets[s], all));
    }
    return most;
  }

  void add(int64_t s) {
    const int64_t begin = rows_.offsets[s], end = rows_.offsets[s + 1];
    if (begin == end) return;
    if (seen(s, begin, end) <= sizes_.direct_columns) {
      add_direct(s, begin, end);
      return;
    }
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    if (seen(s, begin, end) > kMost - sizes_.tile_columns) {
      throw Error("CUDA compares rows with at most 2^31 columns of a segment, got " +
                  std::to_string(seen(s, begin, end)));
    }
    for (int64_t row = begin; row < end; row += sizes_.block_rows) {
      const int64_t stop = std::min(row + sizes_.block_rows, end);
      const int64_t n_columns = seen(s, row, stop);
      const int64_t n_tiles = pieces(n_columns, sizes_.tile_columns);
      plan_.blocks.push_back(
          {row, begin, columns_.offsets[s], n_columns, 0, static_cast<int32_t>(stop - row), 0, s});
      plan_.n_tiles += n_tiles;
    }
  }

  void add_direct(int64_t s, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end;) {
      DirectStretch* last = plan_.stretches.empty() ? nullptr : &plan_.stretches.back();
      if (!last || last->row_end != row || last->row_end - last->row_begin >= sizes_.direct_rows) {
        plan_.stretches.push_back({s, row, row});
        last = &plan_.stretches.back();
      }
      row = std::min(end, last->row_begin + sizes_.direct_rows);
      last->row_end = row;
    }
  }

  void cut() {
    const int64_t longest = std::max<int64_t>(1, pieces(plan_.n_tiles, kUnitsOfLoad * sizes_.sms));
    for (size_t b = 0; b < plan_.blocks.size(); ++b) {
      RowBlock& block = plan_.blocks[b];
      const int64_t n_tiles = pieces(block.n_columns, sizes_.tile_columns);
      block.n_parts = static_cast<int32_t>(pieces(n_tiles, longest));
      block.first_list = plan_.n_lists;
      plan_.n_lists += int64_t{block.n_parts} * block.n_rows;
      for (int32_t p = 0; p < block.n_parts; ++p) {
        plan_.units.push_back({static_cast<int32_t>(b), p, static_cast<int32_t>(p * longest),
                               static_cast<int32_t>(std::min((p + 1) * longest, n_tiles))});
      }
    }
    const int64_t short_one = longest / kShort;
    const auto length = [&](const Unit& unit) {
      return std::max<int64_t>(unit.tile_end - unit.tile_begin, short_one);
    };
    std::stable_sort(plan_.units.begin(), plan_.units.end(),
                     [&](const Unit& a, const Unit& b) { return length(a) > length(b); });
  }

  const Segments& rows_;
  const Segments& columns_;
  const Sight& sight_;
  const PlanSizes& sizes_;
  Plan plan_;
};

}  // namespace

Plan make_plan(const Segments& rows, const Segments* columns, const Sight& sight,
               const PlanSizes& sizes) {
  return Planner(rows, columns ? *columns : rows, sight, sizes).make();
}

}  // namespace tamis::cuda
