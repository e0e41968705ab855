// Values of single pairs of points: from float64 sums where these are good enough, else by the
// formulas that keep all digits. See tamis/lorentz.h for both, and for kappa.
#pragma once

#include "cuda/device/lorentz_rows.h"

namespace tamis::cuda {

struct PairRule {
  Measure measure;
  Kind kind;
  double curvature;
  double min_radius;
  double eps;  // bound on the error of u_x.u_y: a lane adds dim / 32 products, and 5 more follow
};

inline PairRule pair_rule(const PointRows& rows, Measure measure, double min_radius) {
  const auto dim = static_cast<double>(rows.n_columns - (rows.kind == Kind::lorentz));
  return {measure, rows.kind, rows.curvature, min_radius, (dim / 8 + 32) * 0x1p-53};
}

// |x|^2, |y|^2 and x.y.
struct PairSums {
  double xx = 0, yy = 0, xy = 0;
};

struct PairValue {
  double value = kNaN;
  bool good = false;
};

__device__ inline double half_aperture(double sinh, double min_radius) {
  const double edge = 2 * min_radius;
  if (!(sinh > edge)) return kPi / 2;
  return atan2(edge, sqrt((sinh - edge) * (sinh + edge)));
}

struct Hyperbolic {
  double sinh, cosh;
};

// Of the radius of a point whose vector has the square `square`.
__device__ inline Hyperbolic hyperbolic(const PairRule& rule, double square) {
  const double size = sqrt(square * rule.curvature);
  if (rule.kind == Kind::poincare) {
    constexpr double kLargest = 0x1.fffc0004p-1;  // tanh(kLargestRadius / 2)
    const double p = size < kLargest ? size : kLargest;
    const double scale = 1 / ((1 - p) * (1 + p));
    return {2 * p * scale, (1 + p * p) * scale};
  }
  double own = size < kLargestSinh ? size : kLargestSinh;
  if (rule.kind == Kind::tangent) own = sinh(size < kLargestRadius ? size : kLargestRadius);
  return {own, sqrt(fma(own, own, 1.0))};
}

// Of one pair, by one thread.
__device__ inline PairValue value_of(const PairRule& rule, const PairSums& sums) {
  PairValue found;
  bool good = in_range(sums.xx) && in_range(sums.yy);
  if (rule.kind == Kind::poincare) {
    good = good && sums.xx * rule.curvature < 1 && sums.yy * rule.curvature < 1;
  }
  if (!good) return found;
  double g = sums.xy / (sqrt(sums.xx) * sqrt(sums.yy));
  g = g < -1 ? -1 : g > 1 ? 1 : g;
  const Hyperbolic x = hyperbolic(rule, sums.xx), y = hyperbolic(rule, sums.yy);
  if (rule.measure == Measure::inner || rule.measure == Measure::distance) {
    const double apart = x.cosh * y.cosh;
    const double q = fma(-(x.sinh * y.sinh), g, apart);  // cosh of the distance
    const double excess = q - 1;
    if (rule.measure == Measure::inner) {
      found.value = -q / rule.curvature;
      found.good = apart * rule.eps < q * 0.5e-8;
    } else {
      found.value = 2 / sqrt(rule.curvature) * asinh(sqrt((excess > 0 ? excess : 0) / 2));
      found.good = apart * rule.eps < excess * 0.5e-8;
    }
    return found;
  }
  // ext = atan2(a s, g - t), both sides times tanh r_y.
  const double x_tanh = x.sinh / x.cosh, y_tanh = y.sinh / y.cosh;
  const double square = (1 - g) * (1 + g), s = sqrt(square);
  const double p = y_tanh / x.cosh, up = p * s, right = fma(g, y_tanh, -x_tanh);
  const double kappa = p * fma(square, x_tanh, fabs(fma(-g, x_tanh, y_tanh)));
  found.good = kappa * rule.eps < 1e-8 * s * fma(up, up, right * right);
  found.value = atan2(up, right);
  if (rule.measure == Measure::energy) found.value -= half_aperture(x.sinh, rule.min_radius);
  return found;
}

// |u_x - u_y|^2, |u_x + u_y|^2 and |y|^2 - |x|^2.
struct Chords {
  double apart = 2, along = 2, longer = 0;  // of two directions at a right angle
};

// The whole warp's; every lane gets them.
template <class T>
__device__ inline Chords chords(const Points<T>& apex, int64_t i, const PointFacts& x,
                                const Points<T>& point, int64_t j, const PointFacts& y) {
  double apart = 0, along = 0, longer = 0;
  for_elements(apex, i, point, j, [&](double a, double b) {
    if (x.exponent != 0) a = ldexp(a, -x.exponent);
    if (y.exponent != 0) b = ldexp(b, -y.exponent);
    const double u = divide(a, x.norm), v = divide(b, y.norm);
    const double minus = subtract(u, v), plus = add(u, v);
    apart = fma(minus, minus, apart);
    along = fma(plus, plus, along);
    longer = fma(subtract(b, a), add(b, a), longer);
  });
  return {warp_sum(apart), warp_sum(along), warp_sum(longer)};
}

// r_y - r_x.
__device__ inline double radius_difference(const PairRule& rule, const PointFacts& x,
                                           const PointFacts& y, double longer) {
  const bool whole =
      x.state == PointState::ok && y.state == PointState::ok && x.exponent == 0 && y.exponent == 0;
  if (!whole) return y.radius - x.radius;
  const double sqrt_c = sqrt(rule.curvature);
  const double step = sqrt_c * longer / (x.norm + y.norm);
  if (rule.kind == Kind::tangent) return step;
  const double a = sqrt_c * x.norm, b = sqrt_c * y.norm;
  if (rule.kind == Kind::poincare) return 2 * atanh(step / (1 - a * b));
  return asinh(step * (a + b) / (b * x.cosh + a * y.cosh));
}

__device__ inline double wide_value(const PairRule& rule, const PointFacts& x, const PointFacts& y,
                                    const Chords& between) {
  const double d = radius_difference(rule, x, y, between.longer), w = between.apart / 2;
  if (rule.measure == Measure::inner || rule.measure == Measure::distance) {
    const double half = sinh(d / 2);
    const double q = half * half + x.sinh * y.sinh * w / 2;
    if (rule.measure == Measure::inner) return -(1 + 2 * q) / rule.curvature;
    return 2 / sqrt(rule.curvature) * asinh(sqrt(q));
  }
  double angle = kPi;  // the origin, seen from elsewhere
  if (x.norm == 0) {
    angle = kPi / 2;
  } else if (y.norm > 0) {
    const double s = sqrt(between.apart * between.along) / 2;
    angle = atan2(s * y.sinh, sinh(d) - w * x.cosh * y.sinh);
  }
  return rule.measure == Measure::angle ? angle : angle - half_aperture(x.sinh, rule.min_radius);
}

// The whole warp's: apex i and point j from differences of elements. Every lane gets the value.
template <class T>
__device__ inline double wide_pair(const PairRule& rule, const Points<T>& apex, int64_t i,
                                   const Points<T>& point, int64_t j) {
  const PointFacts x = facts_of(apex, i, square_of(apex, i)),
                   y = facts_of(point, j, square_of(point, j));
  if (!is_usable(x.state) || !is_usable(y.state)) return kNaN;
  Chords between;
  if (x.norm > 0 && y.norm > 0) between = chords(apex, i, x, point, j, y);
  return wide_value(rule, x, y, between);
}

}  // namespace tamis::cuda
