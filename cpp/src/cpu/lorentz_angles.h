// Angles of all pairs, tile by tile; the matrix is the caller's business.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "cpu/lorentz_pairs.h"
#include "cpu/lorentz_panels.h"
#include "cpu/parallel.h"

namespace tamis::cpu {

inline constexpr int64_t kBlockPanels = 4;  // row panels that a column panel in cache meets

// Angles of all pairs of scored rows and columns, tile by tile.
class AngleRunner {
 public:
  AngleRunner(const Points& rows, const Points& columns, bool rows_are_apexes, double min_radius)
      : kernels_(kernels()),
        lorentz_(lorentz_kernels()),
        rows_(rows),
        rows_are_apexes_(rows_are_apexes),
        min_radius_(min_radius),
        panels_(rows.dim(), kBlockPanels),
        exact_(rows_are_apexes ? rows : columns, rows_are_apexes ? columns : rows, Measure::angle,
               min_radius),
        scratch_(static_cast<size_t>(rows.dim())) {}

  // Takes rows [begin, end), at most 4 panels of them.
  void take(int64_t begin, int64_t end) {
    begin_ = begin;
    end_ = end;
    for (int64_t panel = 0; panel * kPanel < end - begin; ++panel) {
      int64_t numbers[kPanel];
      std::iota(numbers, numbers + kPanel, begin + panel * kPanel);
      panels_.pack(kernels_, rows_, numbers, n_rows(panel), min_radius_, panel, &row_,
                   scratch_.data());
    }
  }
  int64_t n_panels() const { return (end_ - begin_ + kPanel - 1) / kPanel; }
  int n_rows(int64_t panel) const {
    return static_cast<int>(std::min<int64_t>(kPanel, end_ - begin_ - panel * kPanel));
  }
  const AnglePanels& panels() const { return panels_; }

  // The angles of a row panel with a column panel, whose rows are numbers[0..count).
  const float* tile(int64_t panel, const AnglePanels& columns, int64_t column_panel,
                    const int64_t* numbers, int count) {
    const int n = n_rows(panel);
    kernels_.tile_f32(panels_.words(panel), columns.words(column_panel), rows_.dim(), n, tile_);
    lorentz_.angles({panels_.scale(panel), panels_.tanh(panel), panels_.sech(panel),
                     columns.scale(column_panel), columns.tanh(column_panel),
                     columns.sech(column_panel), rows_are_apexes_, n},
                    tile_, doubt_);
    const uint64_t inside = ~0ull >> (64 - count);
    for (int r = 0; r < n; ++r) {
      if (!panels_.usable(panel, r)) continue;
      for (uint64_t rest = doubt_[r] & inside; rest; rest &= rest - 1) {
        const int c = __builtin_ctzll(rest);
        if (!columns.usable(column_panel, c)) continue;
        const int64_t row = begin_ + panel * kPanel + r, column = numbers[c];
        exact_.run(rows_are_apexes_ ? row : column, 0, rows_are_apexes_ ? column : row, 0, 1,
                   [&](int, double v) { tile_[r * kPanel + c] = static_cast<float>(v); });
        ++n_rescored_;
      }
      // Columns without a point: 0 / 0 on their way here.
      for (int c = count; c < kPanel; ++c) tile_[r * kPanel + c] = 0;
    }
    return tile_;
  }
  int64_t n_rescored() const { return n_rescored_; }

 private:
  const Kernels& kernels_;
  const LorentzKernels& lorentz_;
  const Points& rows_;
  const bool rows_are_apexes_;
  const double min_radius_;
  AnglePanels panels_;
  PairRunner exact_;
  WideRow row_;
  std::vector<float> scratch_;
  int64_t begin_ = 0, end_ = 0, n_rescored_ = 0;
  alignas(64) float tile_[kPanel * kPanel];
  uint64_t doubt_[kPanel];
};

// The columns of all pairs: packed once, shared by all threads.
struct Columns {
  std::vector<int64_t> numbers;
  AnglePanels panels;

  int64_t n_panels() const { return (static_cast<int64_t>(numbers.size()) + kPanel - 1) / kPanel; }
  int count(int64_t panel) const {
    return static_cast<int>(
        std::min<int64_t>(kPanel, static_cast<int64_t>(numbers.size()) - panel * kPanel));
  }
};

inline Columns pack_columns(const Points& points, std::vector<int64_t> numbers, double min_radius,
                            const Context& context) {
  const Kernels& kernels = cpu::kernels();
  const int64_t n_panels = (static_cast<int64_t>(numbers.size()) + kPanel - 1) / kPanel;
  Columns columns{std::move(numbers), AnglePanels(points.dim(), n_panels)};
  parallel_for(n_panels, context, [&](int64_t panel, int) {
    WideRow wide;
    std::vector<float> scratch(static_cast<size_t>(points.dim()));
    columns.panels.pack(kernels, points, columns.numbers.data() + panel * kPanel,
                        columns.count(panel), min_radius, panel, &wide, scratch.data());
  });
  return columns;
}

// Calls run(runner, thread's number) for blocks of rows that its runner has taken.
template <class Run>
int64_t for_row_blocks(const Points& rows, const Points& columns, bool rows_are_apexes,
                       double min_radius, const Context& context, const Run& run) {
  // Small enough for every thread to have some, large enough to reuse the column panels.
  const int64_t panels = (rows.size() + kPanel - 1) / kPanel;
  const int64_t share = (panels + context.n_threads - 1) / std::max(1, context.n_threads);
  const int64_t step = kPanel * std::clamp<int64_t>(share, 1, kBlockPanels);
  std::vector<std::unique_ptr<AngleRunner>> runners(static_cast<size_t>(context.n_threads));
  parallel_for((rows.size() + step - 1) / step, context, [&](int64_t task, int thread) {
    auto& runner = runners[static_cast<size_t>(thread)];
    if (!runner) {
      runner = std::make_unique<AngleRunner>(rows, columns, rows_are_apexes, min_radius);
    }
    const int64_t begin = task * step;
    runner->take(begin, std::min(rows.size(), begin + step));
    run(*runner, begin);
  });
  int64_t n_rescored = 0;
  for (const auto& runner : runners) n_rescored += runner ? runner->n_rescored() : 0;
  return n_rescored;
}

}  // namespace tamis::cpu
