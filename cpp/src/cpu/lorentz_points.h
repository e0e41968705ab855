// Rows as points: their norms, radii and states, and the pair formulas that keep every digit.
#pragma once

#include <cmath>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lorentz_kernels.h"

namespace tamis::cpu {

// A row as float64, times a power of two where its square would over- or underflow.
struct WideRow {
  std::vector<double> value;
  int exponent = 0;  // value = row * 2^-exponent
};

struct PointFacts {
  PointState state = PointState::ok;
  double norm = 0;    // of the values of the WideRow, without the time part
  double radius = 0;  // r, clamped
  double sinh = 0, cosh = 1;
};

// PointRows with the time part taken off.
class Points {
 public:
  explicit Points(const PointRows& rows)
      : rows_(rows),
        dim_(rows.n_columns - (rows.kind == Kind::lorentz)),
        skip_(rows.kind == Kind::lorentz) {}

  int64_t size() const { return rows_.n_rows; }
  int64_t dim() const { return dim_; }
  Kind kind() const { return rows_.kind; }
  Element element() const { return rows_.element; }
  double curvature() const { return rows_.curvature; }
  template <class T>
  const T* row(int64_t i) const {
    return static_cast<const T*>(rows_.data) + i * rows_.n_columns + skip_;
  }

  // Fills row.value [dim] and row.exponent.
  PointFacts widen(const Kernels& kernels, int64_t i, WideRow* row, float* scratch) const;
  // |x|^2, |y|^2 and x.y of row i here and row j there.
  void sums(const LorentzKernels& lorentz, int64_t i, const Points& other, int64_t j,
            double* out) const;
  // Whether a whole Lorentz point has its time part where its space part says.
  bool on_hyperboloid(const Kernels& kernels, int64_t i, double square) const;

 private:
  double time(const Kernels& kernels, int64_t i) const;

  PointRows rows_;
  int64_t dim_, skip_;
};

// A pair by the formulas of lorentz.h, from wide rows.
class WidePairs {
 public:
  WidePairs(const Kernels& kernels, const LorentzKernels& lorentz, const Points& apex,
            const Points& point);

  double value(int64_t i, int64_t j, Measure measure, double min_radius);

 private:
  double difference(const PointFacts& x, const PointFacts& y, double longer) const;

  const Kernels& kernels_;
  const LorentzKernels& lorentz_;
  const Points& apex_;
  const Points& point_;
  WideRow x_, y_;
  std::vector<float> scratch_;
};

double half_aperture(const PointFacts& apex, double min_radius);

}  // namespace tamis::cpu
