// Points of hyperbolic space in the Lorentz model: distances, exterior angles, entailment, and the
// mean entailment against a reference set (the specificity of HYPE, arXiv 2404.17507).
//
// Curvature is -c. A point is a direction u (|u| = 1) and a radius r = sqrt(c) d(origin, point),
// at most kLargestRadius = asinh(2^15); a larger one is set to it and marked. With
//     h = |u_x - u_y|, w = h^2 / 2 = 1 - u_x.u_y, s = h |u_x + u_y| / 2, D = r_y - r_x
//   distance        d = (2 / sqrt c) asinh sqrt(Q),  Q = sinh^2(D/2) + sinh r_x sinh r_y w / 2
//   inner product   <x, y> = -(1 + 2 Q) / c
//   exterior angle  ext = atan2(s / cosh r_x, sinh D / (cosh r_x sinh r_y) - w), x the apex
//   half-aperture   aper = asin min(1, 2 K / sinh r_x), K the minimum radius (0.1 in MERU and HYPE)
//   energy          e = ext - aper; y is inside the cone of x where e <= 0
// (MERU, arXiv 2304.09172, in the coordinates that keep their digits.)
//
// Rules. An apex at the origin sees everything at pi/2 and has the aperture pi/2. The origin as a
// point is seen at pi by every other apex. A point is seen at 0 by a coincident apex: a cone holds
// its apex. A row with NaN or Inf, on or beyond the rim of the Poincare ball, or with a time part
// that is off the hyperboloid by more than 2^-8 of it, is marked: its results are NaN, and as a
// reference it is left out and counted.
//
// Error bounds. Determinism: every value is a function of its rows alone, the same bits for any
// tile and number of threads; instruction sets differ by less than 1e-6 rad (they sum in different
// orders, and polynomials are fused where there is FMA).
//   Paired. One pass sums |x|^2, |y|^2 and x.y in float64, so that g = u_x.u_y errs by at most
//   eps = (d/8 + 32) 2^-53. With t = tanh r_x / tanh r_y, a = 1 / cosh r_x and
//   rho^2 = a^2 s^2 + (g - t)^2, the derivatives of ext = atan2(a s, g - t) are
//       d ext / d g = -a (1 - g t) / (s rho^2),    d ext / d t = a s / rho^2,
//   so to first order |error| <= kappa eps, kappa = a (|1 - g t| + s^2 t) / (s rho^2); second order
//   terms are below kappa eps too, as s^2 > eps there. Pairs with kappa eps > 1e-8, or a distance
//   whose cosh loses more than 1e-8 of its cosh - 1, go to the formulas above, with h, u_x + u_y
//   and D summed from differences of elements. h errs by less than 1e-15, D by less than 1e-15 of
//   its value where no radius is clamped: angles are within 1e-6 rad, and distances within 1e-6 of
//   their value, for points that coincide or are 1e-6 or more (relative to |x|) apart, up to the
//   largest radius.
//   All pairs (angles, energies) and specificity. g comes from float32 products summed 64 at a
//   time: |error of g| <= eps32 = (min(d, 64) + ceil(d / 64) + 8) 2^-24 always, about 1e-7 in
//   practice. A single angle then errs by kappa eps32 + 3e-7, and kappa has no limit where points
//   nearly coincide. Pairs with kappa > kIllConditioned are therefore computed as paired ones, and
//       |error of one angle| <= kIllConditioned eps32 + 3e-7 <= 3.9e-5 rad  (d = 512)
//   to first order; 4e-6 is the most that was seen. The errors of a row's references are
//   independent but for the rounding of the row's own norm and radius (2e-7): means over 48
//   references or more are within 1e-6 rad (6e-7 is the most that was seen). Means over fewer are
//   sums of paired energies.
#pragma once

#include "tamis/array.h"

namespace tamis {

inline constexpr double kLargestRadius = 0x1.62e42fefc39efp+3;  // asinh(2^15)
inline constexpr double kLargestSinh = 32768;
inline constexpr float kIllConditioned = 8;

enum class Element : uint8_t { half, single, wide };  // float16 bits, float32, float64
enum class Kind : uint8_t {
  tangent,   // vectors at the origin: r = sqrt(c) |v|
  space,     // space parts x of hyperboloid points: sinh r = sqrt(c) |x|
  lorentz,   // whole points, the time part first: sqrt(1/c + |x|^2), x
  poincare,  // points of the ball of radius 1 / sqrt(c): tanh(r/2) = sqrt(c) |p|
};
enum class PointState : uint8_t { ok = 0, zero = 1, clamped = 2, not_finite = 3, outside = 4 };
inline bool usable(PointState state) { return state <= PointState::clamped; }

// C-contiguous rows. n_columns is one more than the dimension for Kind::lorentz.
struct PointRows {
  const void* data = nullptr;
  Element element = Element::single;
  int64_t n_rows = 0;
  int64_t n_columns = 0;
  Kind kind = Kind::tangent;
  double curvature = 1;  // c > 0
};

// radius: r = sqrt(c) d(origin, x), float64 [n_rows], clamped, NaN where marked.
// norm: |x| of the vector, ball or space part, float64 [n_rows]. state: PointState [n_rows].
void radii(const PointRows& x, double* radius, double* norm, uint8_t* state,
           const Context& context);

enum class Measure : uint8_t { inner, distance, angle, energy };

// value[i] of apex row i and point row i; both of one dimension, kind and curvature.
// value: float64 [n_rows].
void paired(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
            double* value, const Context& context);

// value[i * point.n_rows + j] of apex row i and point row j, float32. angle and energy from float32
// products (see above); inner and distance as in `paired`, rounded.
void all_pairs(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
               float* value, const Context& context);

// Per scored row, over all usable references: the sums of e, e^2 and max(e, 0), and how many
// e <= 0. Each [n_rows].
struct EnergySums {
  double* sum = nullptr;
  double* square = nullptr;
  double* clamped = nullptr;
  int64_t* entailed = nullptr;
};

// Energies of every row with every reference, both of one element, dimension, kind and curvature;
// the references are the apexes, or where rows_are_apexes the points. Sums run over the references
// in their order, in float64. No rows x references matrix: memory is the packed references, 4 bytes
// an element, and 192 packed rows per thread. A marked row gets NaN and 0. Returns how many pairs
// were computed as paired ones.
int64_t specificity(const PointRows& rows, const PointRows& references, bool rows_are_apexes,
                    double min_radius, const EnergySums& sums, const Context& context);

}  // namespace tamis
