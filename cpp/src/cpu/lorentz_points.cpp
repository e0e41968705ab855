#include "cpu/lorentz_points.h"

#include <algorithm>
#include <limits>

#include "cpu/level.h"

namespace tamis::cpu {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = 3.141592653589793;

// Radius, sinh and cosh of a point whose vector has this norm; marks what lies outside.
void place(Kind kind, double sqrt_c, double norm, PointFacts* facts) {
  const double size = sqrt_c * norm;
  facts->radius = size;
  if (kind == Kind::poincare) {
    if (!(size < 1)) {
      facts->state = PointState::outside;
      facts->radius = kNaN;
      return;
    }
    facts->radius = 2 * std::atanh(size);
  } else if (kind != Kind::tangent) {
    facts->radius = std::asinh(size);
  }
  if (facts->radius > kLargestRadius) {
    facts->state = PointState::clamped;
    facts->radius = kLargestRadius;
  }
  facts->sinh = kind == Kind::space || kind == Kind::lorentz ? std::min(size, kLargestSinh)
                                                             : std::sinh(facts->radius);
  facts->cosh = std::sqrt(1 + facts->sinh * facts->sinh);
}

}  // namespace

const LorentzKernels& lorentz_kernels() {
  const Kernels* level = &kernels();
  if (level == &kScalar) return kLorentzScalar;
  return level == &kAvx2 ? kLorentzAvx2 : kLorentzAvx512;
}

double Points::time(const Kernels& kernels, int64_t i) const {
  const auto at = [&]<class T>(const T*) { return row<T>(i)[-1]; };
  if (rows_.element == Element::wide) return at(static_cast<const double*>(nullptr));
  if (rows_.element == Element::single) return at(static_cast<const float*>(nullptr));
  const uint16_t half = at(static_cast<const uint16_t*>(nullptr));
  float value;
  kernels.widen(&half, 1, &value);
  return value;
}

bool Points::on_hyperboloid(const Kernels& kernels, int64_t i, double square) const {
  if (rows_.kind != Kind::lorentz) return true;
  const double expected = std::sqrt(1 / rows_.curvature + square);
  return std::fabs(time(kernels, i) - expected) <= 0x1p-8 * expected;
}

void Points::sums(const LorentzKernels& lorentz, int64_t i, const Points& other, int64_t j,
                  double* out) const {
  switch (rows_.element) {
    case Element::half:
      return lorentz.sums_half(row<uint16_t>(i), other.row<uint16_t>(j), dim_, out);
    case Element::single:
      return lorentz.sums_single(row<float>(i), other.row<float>(j), dim_, out);
    case Element::wide:
      return lorentz.sums_wide(row<double>(i), other.row<double>(j), dim_, out);
  }
}

PointFacts Points::widen(const Kernels& kernels, int64_t i, WideRow* out, float* scratch) const {
  std::vector<double>& value = out->value;
  value.resize(static_cast<size_t>(dim_));
  if (rows_.element == Element::wide) {
    std::copy_n(row<double>(i), dim_, value.data());
  } else if (rows_.element == Element::single) {
    std::copy_n(row<float>(i), dim_, value.data());
  } else {
    kernels.widen(row<uint16_t>(i), dim_, scratch);
    std::copy_n(scratch, dim_, value.data());
  }
  out->exponent = 0;
  PointFacts facts;
  double square = kernels.norm_squared(value.data(), dim_);
  if (!(square > 0x1p-900 && square < 0x1p900)) {
    double largest = 0;
    for (const double v : value) {
      if (!std::isfinite(v)) {
        facts.state = PointState::not_finite;
        facts.radius = facts.norm = kNaN;
        return facts;
      }
      largest = std::max(largest, std::fabs(v));
    }
    if (largest > 0) {
      std::frexp(largest, &out->exponent);
      for (double& v : value) v = std::ldexp(v, -out->exponent);
      square = kernels.norm_squared(value.data(), dim_);
    } else {
      facts.state = PointState::zero;
    }
  }
  facts.norm = std::sqrt(square);
  if (rows_.kind == Kind::lorentz) {
    const double t = time(kernels, i);
    const bool on = on_hyperboloid(kernels, i, std::ldexp(square, 2 * out->exponent));
    if (!on) {
      facts.state = std::isfinite(t) ? PointState::outside : PointState::not_finite;
      facts.radius = kNaN;
      return facts;
    }
  }
  place(rows_.kind, std::sqrt(rows_.curvature), std::ldexp(facts.norm, out->exponent), &facts);
  return facts;
}

double half_aperture(const PointFacts& apex, double min_radius) {
  const double edge = 2 * min_radius;
  if (!(apex.sinh > edge)) return kPi / 2;
  return std::atan2(edge, std::sqrt((apex.sinh - edge) * (apex.sinh + edge)));
}

WidePairs::WidePairs(const Kernels& kernels, const LorentzKernels& lorentz, const Points& apex,
                     const Points& point)
    : kernels_(kernels),
      lorentz_(lorentz),
      apex_(apex),
      point_(point),
      scratch_(static_cast<size_t>(apex.dim())) {}

// r_y - r_x; longer = |y|^2 - |x|^2 of the wide rows.
double WidePairs::difference(const PointFacts& x, const PointFacts& y, double longer) const {
  const bool whole = x.state == PointState::ok && y.state == PointState::ok && x_.exponent == 0 &&
                     y_.exponent == 0;
  if (!whole) return y.radius - x.radius;
  const double sqrt_c = std::sqrt(apex_.curvature());
  const double step = sqrt_c * longer / (x.norm + y.norm);
  if (apex_.kind() == Kind::tangent) return step;
  const double a = sqrt_c * x.norm, b = sqrt_c * y.norm;
  if (apex_.kind() == Kind::poincare) return 2 * std::atanh(step / (1 - a * b));
  return std::asinh(step * (a + b) / (b * x.cosh + a * y.cosh));
}

double WidePairs::value(int64_t i, int64_t j, Measure measure, double min_radius) {
  const PointFacts x = apex_.widen(kernels_, i, &x_, scratch_.data());
  const PointFacts y = point_.widen(kernels_, j, &y_, scratch_.data());
  if (!usable(x.state) || !usable(y.state)) return kNaN;
  double h2 = 2, sum2 = 2, longer = 0;  // of two directions at a right angle
  if (x.norm > 0 && y.norm > 0) {
    double out[3];
    lorentz_.chords(x_.value.data(), y_.value.data(), x.norm, y.norm, apex_.dim(), out);
    h2 = out[0];
    sum2 = out[1];
    longer = out[2];
  }
  const double d = difference(x, y, longer), w = h2 / 2;
  if (measure == Measure::inner || measure == Measure::distance) {
    const double half = std::sinh(d / 2);
    const double q = half * half + x.sinh * y.sinh * w / 2;
    if (measure == Measure::inner) return -(1 + 2 * q) / apex_.curvature();
    return 2 / std::sqrt(apex_.curvature()) * std::asinh(std::sqrt(q));
  }
  double angle = kPi;  // the origin, seen from elsewhere
  if (x.norm == 0) {
    angle = kPi / 2;
  } else if (y.norm > 0) {
    const double s = std::sqrt(h2 * sum2) / 2;
    angle = std::atan2(s * y.sinh, std::sinh(d) - w * x.cosh * y.sinh);
  }
  return measure == Measure::angle ? angle : angle - half_aperture(x, min_radius);
}

}  // namespace tamis::cpu
