#include <cmath>
#include <limits>

#include "cpu/lorentz_angles.h"
#include "tamis/lorentz.h"

namespace tamis {
namespace {

using cpu::AngleRunner;
using cpu::Columns;
using cpu::kPanel;
using cpu::PairRunner;
using cpu::Points;

constexpr int64_t kRowsAtOnce = 1024;
constexpr int64_t kFewReferences = 48;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

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
  const Columns columns = cpu::pack_columns(points, std::move(numbers), min_radius, context);
  return cpu::for_row_blocks(
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
