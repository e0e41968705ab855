// The loops of LorentzKernels, compiled once per instruction set: included inside a namespace that
// defines kBytes. Every value depends on its own rows only, never on its place in a block. No
// standard library here, see lanes-inl.h.

#include "cpu/lorentz_math-inl.h"

constexpr int kAhead = 4096;  // bytes: the page that no hardware prefetcher has begun

template <class T>
void sums(const T* x, const T* y, int64_t dim, double* out) {
  D xx[4] = {}, yy[4] = {}, xy[4] = {};
  int64_t i = 0;
  for (; i + 4 * kDoubles <= dim; i += 4 * kDoubles) {
    // Rows are read one after the other, so this is mostly the next pair.
    _mm_prefetch(reinterpret_cast<const char*>(x + i) + kAhead, _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(y + i) + kAhead, _MM_HINT_T0);
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      const D a = widened(x + i + u * kDoubles), b = widened(y + i + u * kDoubles);
      xx[u] = fma(a, a, xx[u]);
      yy[u] = fma(b, b, yy[u]);
      xy[u] = fma(a, b, xy[u]);
    }
  }
  for (; i < dim; i += kDoubles) {
    T rest[2][kDoubles] = {};
    const int64_t n = dim - i < kDoubles ? dim - i : kDoubles;
    for (int64_t l = 0; l < n; ++l) {
      rest[0][l] = x[i + l];
      rest[1][l] = y[i + l];
    }
    const D a = widened(rest[0]), b = widened(rest[1]);
    xx[0] = fma(a, a, xx[0]);
    yy[0] = fma(b, b, yy[0]);
    xy[0] = fma(a, b, xy[0]);
  }
  out[0] = total((xx[0] + xx[1]) + (xx[2] + xx[3]));
  out[1] = total((yy[0] + yy[1]) + (yy[2] + yy[3]));
  out[2] = total((xy[0] + xy[1]) + (xy[2] + xy[3]));
}

void sums_half(const uint16_t* x, const uint16_t* y, int64_t dim, double* out) {
  sums(x, y, dim, out);
}
void sums_single(const float* x, const float* y, int64_t dim, double* out) { sums(x, y, dim, out); }
void sums_wide(const double* x, const double* y, int64_t dim, double* out) { sums(x, y, dim, out); }

void chords(const double* x, const double* y, double x_norm, double y_norm, int64_t dim,
            double* out) {
  D apart = {}, along = {}, longer = {};
  for (int64_t i = 0; i < dim; i += kDoubles) {
    double rest[2][kDoubles] = {};
    const int64_t n = dim - i < kDoubles ? dim - i : kDoubles;
    __builtin_memcpy(rest[0], x + i, static_cast<size_t>(n) * 8);
    __builtin_memcpy(rest[1], y + i, static_cast<size_t>(n) * 8);
    const D a = load(rest[0]), b = load(rest[1]);
    const D u = a / x_norm, v = b / y_norm;
    const D minus = u - v, plus = u + v;
    apart = fma(minus, minus, apart);
    along = fma(plus, plus, along);
    longer = fma(b - a, b + a, longer);
  }
  out[0] = total(apart);
  out[1] = total(along);
  out[2] = total(longer);
}

struct Hyperbolic {
  D sinh, cosh;
};

// Of the radius of a point whose vector has the square `square`.
inline Hyperbolic hyperbolic(Kind kind, double curvature, D square) {
  const D size = sqrt(square * curvature);
  if (kind == Kind::poincare) {
    const D p = least(size, all(0x1.fffc0004p-1));  // tanh(kLargestRadius / 2)
    const D scale = 1.0 / ((1.0 - p) * (1.0 + p));
    return {2.0 * p * scale, (1.0 + p * p) * scale};
  }
  D sinh;
  if (kind == Kind::tangent) {
    sinh = sinh_of(least(size, all(kLargestRadius)));
  } else {
    sinh = least(size, all(kLargestSinh));
  }
  return {sinh, sqrt(fma(sinh, sinh, all(1.0)))};
}

inline D half_aperture(D sinh, double min_radius) {
  const double edge = 2 * min_radius;
  const D rest = sinh - edge;
  const D aper = angle_of(all(edge), sqrt((rest > 0.0 ? rest : D{}) * (sinh + edge)));
  return rest > 0.0 ? aper : all(1.5707963267948966);
}

void finish(const PairRule& rule, PairBlock* block, int n) {
  for (int i = 0; i < n; i += kDoubles) {
    const D xx = load(block->xx + i), yy = load(block->yy + i), xy = load(block->xy + i);
    D g = xy / (sqrt(xx) * sqrt(yy));
    g = least(most(g, all(-1.0)), all(1.0));
    const Hyperbolic x = hyperbolic(rule.kind, rule.curvature, xx),
                     y = hyperbolic(rule.kind, rule.curvature, yy);
    L good = (xx > 0x1p-900) & (xx < 0x1p900) & (yy > 0x1p-900) & (yy < 0x1p900);
    if (rule.kind == Kind::poincare) {
      good &= (xx * rule.curvature < 1.0) & (yy * rule.curvature < 1.0);
    }
    D value;
    if (rule.measure == Measure::inner || rule.measure == Measure::distance) {
      const D apart = x.cosh * y.cosh;
      const D q = fma(-(x.sinh * y.sinh), g, apart);  // cosh of the distance
      const D excess = q - 1.0;
      if (rule.measure == Measure::inner) {
        value = -q / rule.curvature;
        good &= apart * rule.eps < q * 0.5e-8;
      } else {
        const D half = most(excess, D{}) * 0.5;
        const D root = sqrt(half);
        value =
            log1p_of(root + half / (1.0 + sqrt(1.0 + half))) * (2 / __builtin_sqrt(rule.curvature));
        good &= apart * rule.eps < excess * 0.5e-8;
      }
    } else {
      // ext = atan2(a s, g - t), both sides times tanh r_y: see the header for kappa.
      const D x_tanh = x.sinh / x.cosh, y_tanh = y.sinh / y.cosh;
      const D square = (1.0 - g) * (1.0 + g), s = sqrt(square);
      const D p = y_tanh / x.cosh, up = p * s, right = fma(g, y_tanh, -x_tanh);
      const D kappa = p * fma(square, x_tanh, abs(fma(-g, x_tanh, y_tanh)));
      good &= kappa * rule.eps < 1e-8 * s * fma(up, up, right * right);
      value = angle_of(up, right);
      if (rule.measure == Measure::energy) value -= half_aperture(x.sinh, rule.min_radius);
    }
    store(block->value + i, value);
    store(block->doubt + i, ~good);
  }
}

template <bool kRowsAreApexes>
void angles_of(const AngleTile& facts, float* tile, uint64_t* doubt) {
  for (int r = 0; r < facts.n_rows; ++r) {
    const F scale = all(facts.row_scale[r]);
    const F row_tanh = all(facts.row_tanh[r]), row_sech = all(facts.row_sech[r]);
    uint64_t bits = 0;
    for (int c = 0; c < kPanel; c += kFloats) {
      const F column_tanh = load(facts.column_tanh + c), column_sech = load(facts.column_sech + c);
      const F x_tanh = kRowsAreApexes ? row_tanh : column_tanh;
      const F y_tanh = kRowsAreApexes ? column_tanh : row_tanh;
      const F x_sech = kRowsAreApexes ? row_sech : column_sech;
      F g = load(tile + r * kPanel + c) * (scale * load(facts.column_scale + c));
      g = min(max(g, all(-1.0f)), all(1.0f));
      const F square = (1.0f - g) * (1.0f + g), s = sqrt(square);
      const F p = x_sech * y_tanh, up = p * s, right = fma(g, y_tanh, -x_tanh);
      const F kappa = p * fma(square, x_tanh, abs(fma(-g, x_tanh, y_tanh)));
      const I good = kappa < kIllConditioned * s * fma(up, up, right * right);
      bits |= (mask_bits(good) ^ ((1ull << kFloats) - 1)) << c;
      store(tile + r * kPanel + c, angle_of(up, right));
    }
    doubt[r] = bits;
  }
}

void angles(const AngleTile& facts, float* tile, uint64_t* doubt) {
  if (facts.rows_are_apexes) {
    angles_of<true>(facts, tile, doubt);
  } else {
    angles_of<false>(facts, tile, doubt);
  }
}

void accumulate(const EnergyRow& row, EnergyLanes* lanes) {
  for (int part = 0; part < 8; part += kDoubles) {
    D sum = load(lanes->sum + part), square = load(lanes->square + part),
      clamped = load(lanes->clamped + part), entailed = load(lanes->entailed + part);
    for (int c = part; c < kPanel; c += 8) {
      const D aper = row.aper ? load(row.aper + c) : all(row.row_aper);
      const D counted = load(row.counted + c);
      const D e = (widen_floats(row.angle + c) - aper) * counted;
      sum += e;
      square = fma(e, e, square);
      clamped += e > D{} ? e : D{};
      entailed += e <= D{} ? counted : D{};
    }
    store(lanes->sum + part, sum);
    store(lanes->square + part, square);
    store(lanes->clamped + part, clamped);
    store(lanes->entailed + part, entailed);
  }
}
