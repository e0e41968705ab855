// The fixed-order float64 loops, compiled once per instruction set: eight partial sums, element i
// into sum i mod 8, no FMA (-ffp-contract=off). Included inside a namespace that provides
// widen() and narrow(); plain loops that the compiler turns into vectors. No standard library
// here: an inline function of it, compiled for one instruction set, could be linked into another.

inline double combine(const double* s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

double norm_squared(const double* x, int64_t dim) {
  double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (int l = 0; l < 8; ++l) s[l] += x[i + l] * x[i + l];
  }
  for (int l = 0; i + l < dim; ++l) s[l] += x[i + l] * x[i + l];
  return combine(s);
}

double dot_wide(const float* x, const double* y, int64_t dim) {
  double s[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    for (int l = 0; l < 8; ++l) s[l] += static_cast<double>(x[i + l]) * y[i + l];
  }
  for (int l = 0; i + l < dim; ++l) s[l] += static_cast<double>(x[i + l]) * y[i + l];
  return combine(s);
}

// float64 to float16 in one rounding: first to float32 by rounding to odd (a dropped bit sets the
// last one), then to float16, nearest even. 24 >= 11 + 2 bits make the second rounding the only
// one. Values below float32's range are zero in float16 either way.
inline float round_to_odd(double value) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, 8);
  const uint64_t dropped = bits & 0x1fffffffull;
  bits = (bits & ~0x1fffffffull) | (static_cast<uint64_t>(dropped != 0) << 29);
  __builtin_memcpy(&value, &bits, 8);
  return static_cast<float>(value);
}

void divide(const double* x, double divisor, int64_t dim, uint16_t* half) {
  float odd[64];
  for (int64_t i = 0; i < dim; i += 64) {
    const int64_t n = dim - i < 64 ? dim - i : 64;
    for (int64_t l = 0; l < n; ++l) odd[l] = round_to_odd(x[i + l] / divisor);
    narrow(odd, n, half + i);
  }
}

void add(const uint16_t* half, int64_t dim, double* sum) {
  float wide[64];
  for (int64_t i = 0; i < dim; i += 64) {
    const int64_t n = dim - i < 64 ? dim - i : 64;
    widen(half + i, n, wide);
    for (int64_t l = 0; l < n; ++l) sum[i + l] += static_cast<double>(wide[l]);
  }
}
