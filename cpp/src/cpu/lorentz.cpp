#include "tamis/lorentz.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "cpu/level.h"
#include "cpu/lorentz_panels.h"
#include "cpu/parallel.h"

namespace tamis {
namespace {

using cpu::AnglePanels;
using cpu::kPairBlock;
using cpu::kPanel;
using cpu::Points;

constexpr int64_t kRowsAtOnce = 1024;
constexpr int64_t kBlockPanels = 4;  // row panels that meet a column panel while it is in cache
constexpr int64_t kFewReferences = 48;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

cpu::PairRule pair_rule(const Points& points, Measure measure, double min_radius) {
  const double eps = (static_cast<double>(points.dim()) / 8 + 32) * 0x1p-53;
  return {measure, points.kind(), points.curvature(), min_radius, eps};
}

// Values of pairs, 64 at a time, for one thread.
class PairRunner {
 public:
  PairRunner(const Points& apex, const Points& point, Measure measure, double min_radius)
      : kernels_(cpu::kernels()),
        lorentz_(cpu::lorentz_kernels()),
        apex_(apex),
        point_(point),
        rule_(pair_rule(apex, measure, min_radius)),
        wide_(kernels_, lorentz_, apex, point) {}

  // Pairs (apex + k * apex_step, point + k * point_step) for k < n <= 64; store(k, value).
  template <class Store>
  void run(int64_t apex, int64_t apex_step, int64_t point, int64_t point_step, int n,
           const Store& store) {
    for (int k = 0; k < n; ++k) {
      const int64_t i = apex + k * apex_step, j = point + k * point_step;
      double sums[3];
      apex_.sums(lorentz_, i, point_, j, sums);
      if (apex_.kind() == Kind::lorentz && !(apex_.on_hyperboloid(kernels_, i, sums[0]) &&
                                             point_.on_hyperboloid(kernels_, j, sums[1]))) {
        sums[0] = kNaN;
      }
      block_.xx[k] = sums[0];
      block_.yy[k] = sums[1];
      block_.xy[k] = sums[2];
    }
    const int padded = (n + 7) / 8 * 8;
    for (int k = n; k < padded; ++k) block_.xx[k] = block_.yy[k] = block_.xy[k] = 0;
    lorentz_.finish(rule_, &block_, padded);
    for (int k = 0; k < n; ++k) {
      store(k, block_.doubt[k] ? wide_.value(apex + k * apex_step, point + k * point_step,
                                             rule_.measure, rule_.min_radius)
                               : block_.value[k]);
    }
  }

 private:
  const cpu::Kernels& kernels_;
  const cpu::LorentzKernels& lorentz_;
  const Points& apex_;
  const Points& point_;
  const cpu::PairRule rule_;
  cpu::WidePairs wide_;
  cpu::PairBlock block_;
};

// Angles of all pairs of scored rows and columns, tile by tile.
class AngleRunner {
 public:
  AngleRunner(const Points& rows, const Points& columns, bool rows_are_apexes, double min_radius)
      : kernels_(cpu::kernels()),
        lorentz_(cpu::lorentz_kernels()),
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
  const cpu::Kernels& kernels_;
  const cpu::LorentzKernels& lorentz_;
  const Points& rows_;
  const bool rows_are_apexes_;
  const double min_radius_;
  AnglePanels panels_;
  PairRunner exact_;
  cpu::WideRow row_;
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

Columns pack_columns(const Points& points, std::vector<int64_t> numbers, double min_radius,
                     const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  const int64_t n_panels = (static_cast<int64_t>(numbers.size()) + kPanel - 1) / kPanel;
  Columns columns{std::move(numbers), AnglePanels(points.dim(), n_panels)};
  cpu::parallel_for(n_panels, context, [&](int64_t panel, int) {
    cpu::WideRow wide;
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
  cpu::parallel_for((rows.size() + step - 1) / step, context, [&](int64_t task, int thread) {
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

// Sums in float64 all the way: a mean over few angles has little to average its errors out.
void few_references(const Points& rows, const Points& references, bool rows_are_apexes,
                    double min_radius, const EnergySums& sums, const Context& context) {
  const int m = static_cast<int>(references.size());
  cpu::parallel_for((rows.size() + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t task, int) {
    PairRunner runner(rows_are_apexes ? rows : references, rows_are_apexes ? references : rows,
                      Measure::energy, min_radius);
    const int64_t end = std::min(rows.size(), (task + 1) * kRowsAtOnce);
    for (int64_t i = task * kRowsAtOnce; i < end; ++i) {
      double sum = 0, square = 0, clamped = 0;
      int64_t used = 0, entailed = 0;
      const auto add = [&](int, double e) {
        if (std::isnan(e)) return;
        ++used;
        sum += e;
        square += e * e;
        clamped += std::max(e, 0.0);
        entailed += e <= 0;
      };
      if (rows_are_apexes) {
        runner.run(i, 0, 0, 1, m, add);
      } else {
        runner.run(0, 1, i, 0, m, add);
      }
      sums.sum[i] = used ? sum : kNaN;
      sums.square[i] = used ? square : kNaN;
      sums.clamped[i] = used ? clamped : kNaN;
      sums.entailed[i] = entailed;
    }
  });
}

}  // namespace

void radii(const PointRows& x, double* radius, double* norm, uint8_t* state,
           const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  const Points points(x);
  cpu::parallel_for((x.n_rows + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t task, int) {
    cpu::WideRow wide;
    std::vector<float> scratch(static_cast<size_t>(points.dim()));
    const int64_t end = std::min(x.n_rows, (task + 1) * kRowsAtOnce);
    for (int64_t i = task * kRowsAtOnce; i < end; ++i) {
      const cpu::PointFacts facts = points.widen(kernels, i, &wide, scratch.data());
      radius[i] = facts.radius;
      norm[i] = std::ldexp(facts.norm, wide.exponent);
      state[i] = static_cast<uint8_t>(facts.state);
    }
  });
}

void paired(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
            double* value, const Context& context) {
  const Points apexes(apex), points(point);
  const int64_t n = apex.n_rows;
  cpu::parallel_for((n + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t task, int) {
    PairRunner runner(apexes, points, measure, min_radius);
    const int64_t end = std::min(n, (task + 1) * kRowsAtOnce);
    for (int64_t i = task * kRowsAtOnce; i < end; i += kPairBlock) {
      const int count = static_cast<int>(std::min<int64_t>(kPairBlock, end - i));
      runner.run(i, 1, i, 1, count, [&](int k, double v) { value[i + k] = v; });
    }
  });
}

void all_pairs(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
               float* value, const Context& context) {
  const Points apexes(apex), points(point);
  const int64_t m = point.n_rows;
  if (measure == Measure::inner || measure == Measure::distance) {
    cpu::parallel_for(apex.n_rows, context, [&](int64_t i, int) {
      PairRunner runner(apexes, points, measure, min_radius);
      for (int64_t j = 0; j < m; j += kPairBlock) {
        const int count = static_cast<int>(std::min<int64_t>(kPairBlock, m - j));
        runner.run(i, 0, j, 1, count,
                   [&](int k, double v) { value[i * m + j + k] = static_cast<float>(v); });
      }
    });
    return;
  }
  std::vector<int64_t> numbers(static_cast<size_t>(m));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  const Columns columns = pack_columns(points, std::move(numbers), min_radius, context);
  for_row_blocks(
      apexes, points, true, min_radius, context, [&](AngleRunner& runner, int64_t begin) {
        for (int64_t p = 0; p < columns.n_panels(); ++p) {
          for (int64_t q = 0; q < runner.n_panels(); ++q) {
            const float* tile = runner.tile(q, columns.panels, p,
                                            columns.numbers.data() + p * kPanel, columns.count(p));
            for (int r = 0; r < runner.n_rows(q); ++r) {
              const double aper = measure == Measure::energy ? runner.panels().aper(q)[r] : 0;
              const bool row_usable = runner.panels().usable(q, r);
              float* out = value + (begin + q * kPanel + r) * m + p * kPanel;
              for (int c = 0; c < columns.count(p); ++c) {
                const bool both = row_usable && columns.panels.usable(p, c);
                out[c] = static_cast<float>(both ? tile[r * kPanel + c] - aper : kNaN);
              }
            }
          }
        }
      });
}

int64_t specificity(const PointRows& rows, const PointRows& references, bool rows_are_apexes,
                    double min_radius, const EnergySums& sums, const Context& context) {
  const cpu::LorentzKernels& lorentz = cpu::lorentz_kernels();
  const Points scored(rows), points(references);
  if (references.n_rows < kFewReferences) {
    few_references(scored, points, rows_are_apexes, min_radius, sums, context);
    return rows.n_rows * references.n_rows;
  }
  std::vector<double> radius(static_cast<size_t>(references.n_rows)), norm(radius);
  std::vector<uint8_t> state(radius.size());
  radii(references, radius.data(), norm.data(), state.data(), context);
  std::vector<int64_t> numbers;
  for (int64_t j = 0; j < references.n_rows; ++j) {
    if (usable(static_cast<PointState>(state[static_cast<size_t>(j)]))) numbers.push_back(j);
  }
  const Columns columns = pack_columns(points, std::move(numbers), min_radius, context);
  return for_row_blocks(
      scored, points, rows_are_apexes, min_radius, context,
      [&](AngleRunner& runner, int64_t begin) {
        std::vector<cpu::EnergyLanes> lanes(static_cast<size_t>(runner.n_panels()) * kPanel);
        for (int64_t p = 0; p < columns.n_panels(); ++p) {
          for (int64_t q = 0; q < runner.n_panels(); ++q) {
            const float* tile = runner.tile(q, columns.panels, p,
                                            columns.numbers.data() + p * kPanel, columns.count(p));
            for (int r = 0; r < runner.n_rows(q); ++r) {
              lorentz.accumulate(
                  {tile + r * kPanel, rows_are_apexes ? nullptr : columns.panels.aper(p),
                   runner.panels().aper(q)[r], columns.panels.counted(p)},
                  &lanes[static_cast<size_t>(q * kPanel + r)]);
            }
          }
        }
        for (int64_t r = 0; r < runner.n_panels() * kPanel && begin + r < rows.n_rows; ++r) {
          const bool good = runner.panels().usable(r / kPanel, static_cast<int>(r % kPanel));
          const cpu::EnergyLanes& own = lanes[static_cast<size_t>(r)];
          const auto total = [&](const double* v) {
            return good ? ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7])) : kNaN;
          };
          sums.sum[begin + r] = total(own.sum);
          sums.square[begin + r] = total(own.square);
          sums.clamped[begin + r] = total(own.clamped);
          sums.entailed[begin + r] = good ? static_cast<int64_t>(total(own.entailed)) : 0;
        }
      });
}

}  // namespace tamis
