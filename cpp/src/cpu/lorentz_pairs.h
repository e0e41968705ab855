// Values of single pairs: vector code where it is good enough, else the formulas that keep all
// digits.
#pragma once

#include <limits>

#include "cpu/level.h"
#include "cpu/lorentz_points.h"

namespace tamis::cpu {

inline PairRule pair_rule(const Points& points, Measure measure, double min_radius) {
  const double eps = (static_cast<double>(points.dim()) / 8 + 32) * 0x1p-53;
  return {measure, points.kind(), points.curvature(), min_radius, eps};
}

// Values of pairs, 64 at a time, for one thread.
class PairRunner {
 public:
  PairRunner(const Points& apex, const Points& point, Measure measure, double min_radius)
      : kernels_(kernels()),
        lorentz_(lorentz_kernels()),
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
        sums[0] = std::numeric_limits<double>::quiet_NaN();
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
  const Kernels& kernels_;
  const LorentzKernels& lorentz_;
  const Points& apex_;
  const Points& point_;
  const PairRule rule_;
  WidePairs wide_;
  PairBlock block_;
};

}  // namespace tamis::cpu
