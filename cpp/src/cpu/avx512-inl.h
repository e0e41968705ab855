// What avx512 and avx512vnni share; each includes it inside its own namespace.

void widen(const uint16_t* half, int64_t dim, float* out) {
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(half + i));
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(h));
  }
  if (i < dim) {
    const __mmask16 rest = static_cast<__mmask16>((1u << (dim - i)) - 1);
    const __m256i h = _mm256_maskz_loadu_epi16(rest, half + i);
    _mm512_mask_storeu_ps(out + i, rest, _mm512_cvtph_ps(h));
  }
}

void narrow(const float* wide, int64_t dim, uint16_t* half) {
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    const __m256i h = _mm512_cvtps_ph(_mm512_loadu_ps(wide + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(half + i), h);
  }
  if (i < dim) {
    const __mmask16 rest = static_cast<__mmask16>((1u << (dim - i)) - 1);
    const __m256i h =
        _mm512_cvtps_ph(_mm512_maskz_loadu_ps(rest, wide + i), _MM_FROUND_TO_NEAREST_INT);
    _mm256_mask_storeu_epi16(half + i, rest, h);
  }
}

inline __m512d low_pd(__m512 v) { return _mm512_cvtps_pd(_mm512_castps512_ps256(v)); }
inline __m512d high_pd(__m512 v) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1)); }

// A product of two float16 numbers has 22 bits: exact in float32.
double dot(const float* x, const uint16_t* y, int64_t dim) {
  __m512d s0 = _mm512_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 32 <= dim; i += 32) {
    const __m512 y0 = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + i)));
    const __m512 y1 =
        _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + i + 16)));
    const __m512 p0 = _mm512_mul_ps(_mm512_loadu_ps(x + i), y0);
    const __m512 p1 = _mm512_mul_ps(_mm512_loadu_ps(x + i + 16), y1);
    s0 = _mm512_add_pd(s0, low_pd(p0));
    s1 = _mm512_add_pd(s1, high_pd(p0));
    s2 = _mm512_add_pd(s2, low_pd(p1));
    s3 = _mm512_add_pd(s3, high_pd(p1));
  }
  for (; i < dim; i += 16) {
    const int64_t n = dim - i < 16 ? dim - i : 16;
    const __mmask16 rest = static_cast<__mmask16>((1u << n) - 1);
    const __m512 y0 = _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, y + i));
    const __m512 p0 = _mm512_mul_ps(_mm512_maskz_loadu_ps(rest, x + i), y0);
    s0 = _mm512_add_pd(s0, low_pd(p0));
    s1 = _mm512_add_pd(s1, high_pd(p0));
  }
  return _mm512_reduce_add_pd(_mm512_add_pd(_mm512_add_pd(s0, s1), _mm512_add_pd(s2, s3)));
}

#define TAMIS_EIGHT(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

// 8 rows x 48 columns in 24 registers; 64 groups of both panels, 24 KB, stay in L1.
void tile_f32(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
              float* tile) {
  for (int64_t begin = 0; begin < groups; begin += kBlockGroups) {
    const int64_t n = groups - begin < kBlockGroups ? groups - begin : kBlockGroups;
    for (int row = 0; row < n_rows; row += 8) {
      // Named registers: arrays of vectors were seen to be kept in memory.
#define TAMIS_ZERO(r) __m512 a##r = _mm512_setzero_ps(), b##r = a##r, c##r = a##r;
      TAMIS_EIGHT(TAMIS_ZERO)
      const float* x = reinterpret_cast<const float*>(rows) + begin * kPanel + row;
      const float* y = reinterpret_cast<const float*>(columns) + begin * kPanel;
      // The next block of the column panel: a sixth of it, half a line in every step.
      const char* next =
          reinterpret_cast<const char*>(columns + (begin + kBlockGroups) * kPanel) + row * 256;
      for (int64_t k = 0; k < n; ++k, x += kPanel, y += kPanel, next += 32) {
        _mm_prefetch(next, _MM_HINT_T0);
        const __m512 y0 = _mm512_load_ps(y), y1 = _mm512_load_ps(y + 16),
                     y2 = _mm512_load_ps(y + 32);
#define TAMIS_STEP(r)                       \
  {                                         \
    const __m512 xr = _mm512_set1_ps(x[r]); \
    a##r = _mm512_fmadd_ps(xr, y0, a##r);   \
    b##r = _mm512_fmadd_ps(xr, y1, b##r);   \
    c##r = _mm512_fmadd_ps(xr, y2, c##r);   \
  }
        TAMIS_EIGHT(TAMIS_STEP)
      }
      float* out = tile + row * kPanel;
      if (begin == 0) {
#define TAMIS_STORE(r)                          \
  _mm512_store_ps(out + r * kPanel, a##r);      \
  _mm512_store_ps(out + r * kPanel + 16, b##r); \
  _mm512_store_ps(out + r * kPanel + 32, c##r);
        TAMIS_EIGHT(TAMIS_STORE)
      } else {
#define TAMIS_ADD(r)                                                 \
  a##r = _mm512_add_ps(a##r, _mm512_load_ps(out + r * kPanel));      \
  b##r = _mm512_add_ps(b##r, _mm512_load_ps(out + r * kPanel + 16)); \
  c##r = _mm512_add_ps(c##r, _mm512_load_ps(out + r * kPanel + 32));
        TAMIS_EIGHT(TAMIS_ADD)
        TAMIS_EIGHT(TAMIS_STORE)
      }
#undef TAMIS_ZERO
#undef TAMIS_STEP
#undef TAMIS_STORE
#undef TAMIS_ADD
    }
  }
}

inline __m512 load_scores(const float* tile) { return _mm512_load_ps(tile); }
inline __m512 load_scores(const int32_t* tile) {
  return _mm512_cvtepi32_ps(_mm512_load_si512(tile));
}

template <class Number>
int scan_tile(const Number* tile, const Scan& scan, Hit* hits) {
  const __m512 scale0 = _mm512_loadu_ps(scan.column_scale),
               scale1 = _mm512_loadu_ps(scan.column_scale + 16),
               scale2 = _mm512_loadu_ps(scan.column_scale + 32),
               bias0 = _mm512_loadu_ps(scan.column_bias),
               bias1 = _mm512_loadu_ps(scan.column_bias + 16),
               bias2 = _mm512_loadu_ps(scan.column_bias + 32);
  int n_hits = 0;
  for (int r = 0; r < scan.n_rows; ++r) {
    const __m512 row_scale = _mm512_set1_ps(scan.row_scale[r]);
    const Number* row = tile + r * kPanel;
    const __m512 f0 = _mm512_fmadd_ps(load_scores(row), _mm512_mul_ps(row_scale, scale0), bias0);
    const __m512 f1 =
        _mm512_fmadd_ps(load_scores(row + 16), _mm512_mul_ps(row_scale, scale1), bias1);
    const __m512 f2 =
        _mm512_fmadd_ps(load_scores(row + 32), _mm512_mul_ps(row_scale, scale2), bias2);
    const uint64_t sight = scan.row_sight[r];
    const __mmask16 m0 = static_cast<__mmask16>(sight), m1 = static_cast<__mmask16>(sight >> 16),
                    m2 = static_cast<__mmask16>(sight >> 32);
    __m512 threshold = _mm512_set1_ps(scan.row_threshold[r]);
    __mmask16 h0 = _mm512_mask_cmp_ps_mask(m0, f0, threshold, _CMP_GE_OQ),
              h1 = _mm512_mask_cmp_ps_mask(m1, f1, threshold, _CMP_GE_OQ),
              h2 = _mm512_mask_cmp_ps_mask(m2, f2, threshold, _CMP_GE_OQ);
    if (!(h0 | h1 | h2)) continue;
    // A row without a threshold would hit 48 times; from then on a hit or two are best just listed.
    if (scan.row_threshold[r] == -__builtin_inff()) {
      const __m512 low = threshold;
      const __m512 top = _mm512_max_ps(
          _mm512_mask_mov_ps(low, h0, f0),
          _mm512_max_ps(_mm512_mask_mov_ps(low, h1, f1), _mm512_mask_mov_ps(low, h2, f2)));
      const float lifted = _mm512_reduce_max_ps(top) - scan.row_margin[r];
      if (lifted > scan.row_threshold[r]) scan.row_threshold[r] = lifted;
      threshold = _mm512_set1_ps(scan.row_threshold[r]);
      h0 = _mm512_mask_cmp_ps_mask(h0, f0, threshold, _CMP_GE_OQ);
      h1 = _mm512_mask_cmp_ps_mask(h1, f1, threshold, _CMP_GE_OQ);
      h2 = _mm512_mask_cmp_ps_mask(h2, f2, threshold, _CMP_GE_OQ);
    }
    uint64_t above = static_cast<uint64_t>(h0) | static_cast<uint64_t>(h1) << 16 |
                     static_cast<uint64_t>(h2) << 32;
    alignas(64) float values[kPanel];
    _mm512_store_ps(values, f0);
    _mm512_store_ps(values + 16, f1);
    _mm512_store_ps(values + 32, f2);
    for (; above; above &= above - 1) {
      const int c = __builtin_ctzll(above);
      hits[n_hits++] = {static_cast<uint8_t>(r), static_cast<uint8_t>(c), values[c]};
      const float lifted = values[c] - scan.row_margin[r];
      if (lifted > scan.row_threshold[r]) scan.row_threshold[r] = lifted;
    }
  }
  return n_hits;
}

int scan_f32(const float* tile, const Scan& scan, Hit* hits) { return scan_tile(tile, scan, hits); }
