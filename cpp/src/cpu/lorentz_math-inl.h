// Elementary functions on vectors, each with a bound on its error. Polynomials are minimax (Remez)
// or Taylor, in Horner's scheme.

#include "cpu/lorentz_vector-inl.h"

template <class V, class Number, int kTerms>
inline V polynomial(V z, const Number (&c)[kTerms]) {
  V sum = all(c[kTerms - 1]);
  for (int k = kTerms - 2; k >= 0; --k) sum = fma(sum, z, all(c[k]));
  return sum;
}

// The angle of (x, y), y >= 0, in [0, pi]. The polynomial errs by 5.8e-9, all of it by less than
// 3e-7 rad (pi in float32 alone is off by 9e-8). NaN where both are 0.
inline F angle_of(F y, F x) {
  static constexpr float kAtan[9] = {0.99999988638f,  -0.33332597020f, 0.19985906677f,
                                     -0.14161228744f, 0.10498944819f,  -0.07234855315f,
                                     0.03978120411f,  -0.01440134799f, 0.00245672248f};
  const F size = abs(x);
  const F q = min(y, size) / max(y, size);
  const F z = q * q;
  F angle = q * polynomial(z, kAtan);
  angle = y > size ? all(1.57079632679f) - angle : angle;
  return x < F{} ? all(3.14159265359f) - angle : angle;
}

// The same in float64: the polynomial, on [0, tan(pi/8)], errs by 5e-15, all of it by 1e-14.
inline D angle_of(D y, D x) {
  static constexpr double kAtan[9] = {
      0x1.ffffffffff7e4p-1,  -0x1.55555553ed3a9p-2, 0x1.99999874221e0p-3,
      -0x1.249212a71bc7ep-3, 0x1.c7116f5190c8ap-4,  -0x1.73b48837c51fbp-4,
      0x1.34e5a6f9af765p-4,  -0x1.db2d772b2bf90p-5, 0x1.e5c7fa20c0ebbp-6};
  const D size = abs(x);
  const D low = least(y, size), high = most(y, size);
  const L upper = low > high * 0.41421356237309503;
  // atan(q) = pi/4 + atan((q - 1) / (q + 1))
  const D q = (upper ? low - high : low) / (upper ? low + high : high);
  D angle = q * polynomial(q * q, kAtan);
  angle = upper ? angle + 0.78539816339744831 : angle;
  angle = y > size ? 1.5707963267948966 - angle : angle;
  return x < D{} ? 3.1415926535897931 - angle : angle;
}

// e^x for 0 <= x <= 12, relative error below 1e-15: 2^n e^f with |f| <= ln 2 / 2, twelve terms.
inline D exp_of(D x) {
  static constexpr double kExp[13] = {1,
                                      1,
                                      1.0 / 2,
                                      1.0 / 6,
                                      1.0 / 24,
                                      1.0 / 120,
                                      1.0 / 720,
                                      1.0 / 5040,
                                      1.0 / 40320,
                                      1.0 / 362880,
                                      1.0 / 3628800,
                                      1.0 / 39916800,
                                      1.0 / 479001600};
  const D shifted = x * 1.4426950408889634 + 0x1.8p52;  // the low bits are round(x / ln 2)
  const D n = shifted - 0x1.8p52;
  const D f = fma(n, all(-1.9082149292705877e-10), fma(n, all(-0.69314718036912382), x));
  const D value = polynomial(f, kExp);
  return reinterpret_cast<D>(reinterpret_cast<L>(value) + (reinterpret_cast<L>(shifted) << 52));
}

// sinh x for 0 <= x <= 12, relative error below 3e-15: its series up to 1, exponentials above.
inline D sinh_of(D x) {
  static constexpr double kSinh[9] = {1,
                                      1.0 / 6,
                                      1.0 / 120,
                                      1.0 / 5040,
                                      1.0 / 362880,
                                      1.0 / 39916800,
                                      1.0 / 6227020800,
                                      1.0 / 1307674368000,
                                      1.0 / 355687428096000};
  const D e = exp_of(x);
  return x < 1.0 ? x * polynomial(x * x, kSinh) : (e - 1.0 / e) * 0.5;
}

// log(1 + u) for 0 <= u < 2^40, relative error below 1e-15.
inline D log1p_of(D u) {
  static constexpr double kLog[11] = {1,        1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9, 1.0 / 11,
                                      1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  const D y = 1.0 + u;
  // y = 2^k m with m in [sqrt(1/2), sqrt 2)
  const L bits = reinterpret_cast<L>(y);
  const L k = (bits - 0x3fe6a09e667f3bcdLL) >> 52;
  const D m = reinterpret_cast<D>(bits - (k << 52));
  const D f = k == 0 ? u : m - 1.0;
  const D s = f / (f + 2.0);
  const D near = 2.0 * s * polynomial(s * s, kLog);
  return fma(__builtin_convertvector(k, D), all(0.69314718055994531), near);
}
