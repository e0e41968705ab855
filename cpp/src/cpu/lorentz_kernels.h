// The inner loops of the Lorentz kernels, one table per instruction set; see kernels.h.
#pragma once

#include "cpu/kernels.h"
#include "tamis/lorentz.h"

namespace tamis::cpu {

inline constexpr int kPairBlock = 64;

// Pairs whose rows are summed and whose values are wanted.
struct alignas(64) PairBlock {
  double xx[kPairBlock], yy[kPairBlock], xy[kPairBlock];
  double value[kPairBlock];
  int64_t doubt[kPairBlock];  // not 0: the value is not good enough
};

struct PairRule {
  Measure measure;
  Kind kind;
  double curvature;
  double min_radius;
  double eps;  // bound on the error of u_x.u_y
};

// A tile of 48 x 48 dot products, rows scored against columns. Numbers of a point: tanh of its
// radius; of an apex: tanh and 1 / cosh.
struct AngleTile {
  const float* row_scale;     // [48] cosine = tile * row_scale * column_scale
  const float* row_tanh;      // [48]
  const float* row_sech;      // [48]
  const float* column_scale;  // [48]
  const float* column_tanh;   // [48]
  const float* column_sech;   // [48]
  bool rows_are_apexes;
  int n_rows;
};

// One row of angles to be added to the sums of its scored row.
struct EnergyRow {
  const float* angle;     // [48]
  const double* aper;     // [48] of the columns where these are the apexes, else null
  double row_aper;        // of the row, where it is the apex
  const double* counted;  // [48] 1, or 0 where there is no column
};

struct alignas(64) EnergyLanes {
  double sum[8], square[8], clamped[8], entailed[8];
};

struct LorentzKernels {
  // out = |x|^2, |y|^2, x.y in float64.
  void (*sums_half)(const uint16_t* x, const uint16_t* y, int64_t dim, double* out);
  void (*sums_single)(const float* x, const float* y, int64_t dim, double* out);
  void (*sums_wide)(const double* x, const double* y, int64_t dim, double* out);
  // out = |x/x_norm - y/y_norm|^2, |x/x_norm + y/y_norm|^2, (y - x).(y + x).
  void (*chords)(const double* x, const double* y, double x_norm, double y_norm, int64_t dim,
                 double* out);
  // Values of the first n pairs of a block, n a multiple of 8.
  void (*finish)(const PairRule& rule, PairBlock* block, int n);
  // Dot products to angles, in place. Bit c of doubt[r]: kappa > kIllConditioned. doubt: [48].
  void (*angles)(const AngleTile& facts, float* tile, uint64_t* doubt);
  void (*accumulate)(const EnergyRow& row, EnergyLanes* lanes);
};

extern const LorentzKernels kLorentzScalar;
extern const LorentzKernels kLorentzAvx2;
extern const LorentzKernels kLorentzAvx512;

// Those of the level in use.
const LorentzKernels& lorentz_kernels();

}  // namespace tamis::cpu
