// Vectors of one register for the Lorentz loops; included inside a namespace that defines kBytes.
// Arithmetic, comparisons and selection are the compiler's; what its vectors lack is here. fma()
// is fused where the instruction set can.

typedef float F __attribute__((vector_size(kBytes)));
typedef float ShortF __attribute__((vector_size(kBytes / 2)));
typedef int32_t I __attribute__((vector_size(kBytes)));
typedef double D __attribute__((vector_size(kBytes)));
typedef int64_t L __attribute__((vector_size(kBytes)));

constexpr int kFloats = kBytes / 4, kDoubles = kBytes / 8;

#if defined(__AVX512F__)
inline F sqrt(F v) { return _mm512_sqrt_ps(v); }
inline D sqrt(D v) { return _mm512_sqrt_pd(v); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline D fma(D a, D b, D c) { return _mm512_fmadd_pd(a, b, c); }
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
inline F min(F a, F b) { return _mm512_min_ps(a, b); }
inline uint64_t mask_bits(I m) { return _mm512_movepi32_mask(reinterpret_cast<__m512i>(m)); }
inline D widen_floats(const float* p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
inline D widen_halves(const uint16_t* p) {
  return _mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
#elif defined(__AVX2__)
inline F sqrt(F v) { return _mm256_sqrt_ps(v); }
inline D sqrt(D v) { return _mm256_sqrt_pd(v); }
inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
inline D fma(D a, D b, D c) { return _mm256_fmadd_pd(a, b, c); }
inline F max(F a, F b) { return _mm256_max_ps(a, b); }
inline F min(F a, F b) { return _mm256_min_ps(a, b); }
inline uint64_t mask_bits(I m) {
  return static_cast<uint64_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(m)));
}
inline D widen_floats(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
inline D widen_halves(const uint16_t* p) {
  return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
#else
inline F sqrt(F v) { return _mm_sqrt_ps(v); }
inline D sqrt(D v) { return _mm_sqrt_pd(v); }
inline F fma(F a, F b, F c) { return a * b + c; }
inline D fma(D a, D b, D c) { return a * b + c; }
inline F max(F a, F b) { return _mm_max_ps(a, b); }
inline F min(F a, F b) { return _mm_min_ps(a, b); }
inline uint64_t mask_bits(I m) {
  return static_cast<uint64_t>(_mm_movemask_ps(reinterpret_cast<__m128>(m)));
}
inline D widen_floats(const float* p) { return D{p[0], p[1]}; }
inline float widen_half(uint16_t half) {
  const uint32_t exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
  const uint32_t bits =
      exponent == 31 ? 0x7f800000u | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
  float value;
  __builtin_memcpy(&value, &bits, 4);
  if (exponent == 0) value = static_cast<float>(mantissa) * 0x1p-24f;
  return half & 0x8000 ? -value : value;
}
inline D widen_halves(const uint16_t* p) { return D{widen_half(p[0]), widen_half(p[1])}; }
#endif

inline F all(float v) { return v - F{}; }
inline D all(double v) { return v - D{}; }
inline F load(const float* p) {
  F v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline D load(const double* p) {
  D v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
inline void store(float* p, F v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store(double* p, D v) { __builtin_memcpy(p, &v, sizeof v); }
inline void store(int64_t* p, L v) { __builtin_memcpy(p, &v, sizeof v); }

inline D widened(const uint16_t* p) { return widen_halves(p); }
inline D widened(const float* p) { return widen_floats(p); }
inline D widened(const double* p) { return load(p); }

inline F abs(F v) { return v < F{} ? -v : v; }
inline D abs(D v) { return v < D{} ? -v : v; }
inline D least(D a, D b) { return a < b ? a : b; }
inline D most(D a, D b) { return a > b ? a : b; }

inline double total(D v) {
  double sum = 0;
  for (int l = 0; l < kDoubles; ++l) sum += v[l];
  return sum;
}
