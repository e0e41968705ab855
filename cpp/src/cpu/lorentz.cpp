#include "tamis/lorentz.h"

#include <cmath>
#include <limits>

#include "cpu/lorentz_angles.h"

namespace tamis {
namespace {

using cpu::AngleRunner;
using cpu::Columns;
using cpu::kPairBlock;
using cpu::kPanel;
using cpu::PairRunner;
using cpu::Points;

constexpr int64_t kRowsAtOnce = 1024;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

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
  const Columns columns = cpu::pack_columns(points, std::move(numbers), min_radius, context);
  cpu::for_row_blocks(
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

}  // namespace tamis
