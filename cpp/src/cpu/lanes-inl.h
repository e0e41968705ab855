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

// Bounds: v = x * weight - center is computed in float32 (each element errs by at most 2^-24 of
// |x weight| twice and of |v| once, in all at most 2^-21 for |x weight| <= 1.01 and |v| <= 2.02;
// the caller scales larger rows); the float32 sums of squares below err by less than 2^-11 of
// their value for dim <= 65536 (sixteen partial sums), which 1 + 2^-10 covers.
Quantized pack_i8(const float* x, float weight, const float* center, int64_t dim, float* scratch,
                  uint32_t* panel) {
  float largest = 0;
  if (center) {
    for (int64_t i = 0; i < dim; ++i) scratch[i] = x[i] * weight - center[i];
  } else {
    for (int64_t i = 0; i < dim; ++i) scratch[i] = x[i] * weight;
  }
  for (int64_t i = 0; i < dim; ++i) {
    const float magnitude = __builtin_fabsf(scratch[i]);
    largest = magnitude > largest ? magnitude : largest;
  }
  const bool usable = largest > 1e-30f;  // a row of zeros has scale 0 and error |v|
  const float inverse = usable ? 127.0f / largest : 0.0f;
  const float scale = usable ? largest / 127.0f : 0.0f;
  float error[16] = {0}, square[16] = {0};
  int32_t total = 0;
  int8_t q[64];
  for (int64_t i = 0; i < dim; i += 64) {
    const int64_t n = dim - i < 64 ? dim - i : 64;
    if (n == 64) {
      int32_t sum = 0;
      for (int l = 0; l < 64; ++l) {
        // Adding 1.5 * 2^23 rounds to an integer, nearest even, whatever the instruction set.
        const float v = scratch[i + l];
        const float whole = (v * inverse + 12582912.0f) - 12582912.0f;
        const float rest = v - whole * scale;
        error[l & 15] += rest * rest;
        square[l & 15] += whole * whole;
        const int32_t integer = static_cast<int32_t>(whole);
        sum += integer;
        q[l] = static_cast<int8_t>(integer);
      }
      total += sum;
    } else {
      for (int l = 0; l < 64; ++l) q[l] = 0;
      for (int l = 0; l < n; ++l) {
        const float v = scratch[i + l];
        const float whole = (v * inverse + 12582912.0f) - 12582912.0f;
        const float rest = v - whole * scale;
        error[l & 15] += rest * rest;
        square[l & 15] += whole * whole;
        total += static_cast<int32_t>(whole);
        q[l] = static_cast<int8_t>(whole);
      }
    }
    uint32_t words[16];
    __builtin_memcpy(words, q, 64);
    const int64_t n_words = (n + 3) / 4;
    uint32_t* out = panel + (i / 4) * kPanel;
    for (int64_t w = 0; w < n_words; ++w) out[w * kPanel] = words[w];
  }
  float error_sum = 0, square_sum = 0;
  for (int l = 0; l < 16; ++l) {
    error_sum += error[l];
    square_sum += square[l];
  }
  constexpr float kUp = 1.0f + 1.0f / 1024;
  return {scale, __builtin_sqrtf(square_sum) * scale * kUp,
          __builtin_sqrtf(error_sum) * kUp + 1.0f / (1 << 21), total};
}
