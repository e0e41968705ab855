// AVX2 with FMA and F16C.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace tamis::cpu {
namespace avx2 {
namespace {

void widen(const uint16_t* half, int64_t dim, float* out) {
  int64_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(half + i));
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(h));
  }
  for (; i < dim; ++i) out[i] = _cvtsh_ss(half[i]);
}

void narrow(const float* wide, int64_t dim, uint16_t* half) {
  int64_t i = 0;
  for (; i + 8 <= dim; i += 8) {
    const __m128i h = _mm256_cvtps_ph(_mm256_loadu_ps(wide + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(half + i), h);
  }
  for (; i < dim; ++i) half[i] = _cvtss_sh(wide[i], _MM_FROUND_TO_NEAREST_INT);
}

// A product of two float16 numbers has 22 bits: exact in float32.
double dot(const float* x, const uint16_t* y, int64_t dim) {
  __m256d s0 = _mm256_setzero_pd(), s1 = s0, s2 = s0, s3 = s0;
  int64_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    const __m256 y0 = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(y + i)));
    const __m256 y1 = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(y + i + 8)));
    const __m256 p0 = _mm256_mul_ps(_mm256_loadu_ps(x + i), y0);
    const __m256 p1 = _mm256_mul_ps(_mm256_loadu_ps(x + i + 8), y1);
    s0 = _mm256_add_pd(s0, _mm256_cvtps_pd(_mm256_castps256_ps128(p0)));
    s1 = _mm256_add_pd(s1, _mm256_cvtps_pd(_mm256_extractf128_ps(p0, 1)));
    s2 = _mm256_add_pd(s2, _mm256_cvtps_pd(_mm256_castps256_ps128(p1)));
    s3 = _mm256_add_pd(s3, _mm256_cvtps_pd(_mm256_extractf128_ps(p1, 1)));
  }
  double lanes[4];
  _mm256_storeu_pd(lanes, _mm256_add_pd(_mm256_add_pd(s0, s1), _mm256_add_pd(s2, s3)));
  double sum = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  for (; i < dim; ++i) sum += static_cast<double>(x[i] * _cvtsh_ss(y[i]));
  return sum;
}

#include "cpu/lanes-inl.h"

// 6 rows x 16 columns in registers; columns of a panel in three passes, 12 KB of them in L1.
template <bool kFirst>
void tile_block(const float* a, const float* b, int64_t groups, int n_rows, float* tile) {
  for (int column = 0; column < kPanel; column += 16) {
    for (int row = 0; row < n_rows; row += 6) {
      __m256 sum[6][2];
      for (int r = 0; r < 6; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_ps();
      const float* x = a + row;
      const float* y = b + column;
      // The next block of the column panel, 8 lines for each of the 24 micro-tiles of this one.
      const float* next = b + kBlockGroups * kPanel + ((column / 16) * 8 + row / 6) * 128;
      for (int line = 0; line < 8; ++line) {
        _mm_prefetch(reinterpret_cast<const char*>(next + line * 16), _MM_HINT_T0);
      }
      for (int64_t k = 0; k < groups; ++k, x += kPanel, y += kPanel) {
        const __m256 y0 = _mm256_load_ps(y), y1 = _mm256_load_ps(y + 8);
#pragma GCC unroll 6
        for (int r = 0; r < 6; ++r) {
          const __m256 xr = _mm256_broadcast_ss(x + r);
          sum[r][0] = _mm256_fmadd_ps(xr, y0, sum[r][0]);
          sum[r][1] = _mm256_fmadd_ps(xr, y1, sum[r][1]);
        }
      }
      for (int r = 0; r < 6; ++r) {
        float* out = tile + (row + r) * kPanel + column;
        if (kFirst) {
          _mm256_store_ps(out, sum[r][0]);
          _mm256_store_ps(out + 8, sum[r][1]);
        } else {
          _mm256_store_ps(out, _mm256_add_ps(_mm256_load_ps(out), sum[r][0]));
          _mm256_store_ps(out + 8, _mm256_add_ps(_mm256_load_ps(out + 8), sum[r][1]));
        }
      }
    }
  }
}

void tile_f32(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
              float* tile) {
  const float* a = reinterpret_cast<const float*>(rows);
  const float* b = reinterpret_cast<const float*>(columns);
  for (int64_t k = 0; k < groups; k += kBlockGroups) {
    const int64_t n = groups - k < kBlockGroups ? groups - k : kBlockGroups;
    if (k == 0) {
      tile_block<true>(a, b, n, n_rows, tile);
    } else {
      tile_block<false>(a + k * kPanel, b + k * kPanel, n, n_rows, tile);
    }
  }
}

int scan_f32(const float* tile, const Scan& scan, Hit* hits) {
  int n_hits = 0;
  for (int r = 0; r < scan.n_rows; ++r) {
    const __m256 scale = _mm256_set1_ps(scan.row_scale[r]);
    __m256 score[6];
    uint64_t above = 0;
    __m256 threshold = _mm256_set1_ps(scan.row_threshold[r]);
    for (int v = 0; v < 6; ++v) {
      const __m256 s = _mm256_mul_ps(scale, _mm256_loadu_ps(scan.column_scale + v * 8));
      score[v] = _mm256_fmadd_ps(_mm256_load_ps(tile + r * kPanel + v * 8), s,
                                 _mm256_loadu_ps(scan.column_bias + v * 8));
      above |=
          static_cast<uint64_t>(_mm256_movemask_ps(_mm256_cmp_ps(score[v], threshold, _CMP_GE_OQ)))
          << (v * 8);
    }
    above &= scan.row_sight[r];
    if (!above) continue;
    float values[kPanel];
    for (int v = 0; v < 6; ++v) _mm256_storeu_ps(values + v * 8, score[v]);
    float largest = -__builtin_inff();
    for (uint64_t rest = above; rest; rest &= rest - 1) {
      const float value = values[__builtin_ctzll(rest)];
      largest = value > largest ? value : largest;
    }
    const float lifted = largest - scan.row_margin[r];
    if (lifted > scan.row_threshold[r]) scan.row_threshold[r] = lifted;
    for (; above; above &= above - 1) {
      const int c = __builtin_ctzll(above);
      if (values[c] >= scan.row_threshold[r]) {
        hits[n_hits++] = {static_cast<uint8_t>(r), static_cast<uint8_t>(c), values[c]};
      }
    }
  }
  return n_hits;
}

}  // namespace
}  // namespace avx2

const Kernels kAvx2 = {
    .name = "avx2",
    .widen = avx2::widen,
    .narrow = avx2::narrow,
    .dot = avx2::dot,
    .dot_wide = avx2::dot_wide,
    .norm_squared = avx2::norm_squared,
    .divide = avx2::divide,
    .add = avx2::add,
    .tile_f32 = avx2::tile_f32,
    .scan_f32 = avx2::scan_f32,
    .dot_f32 = nullptr,
    .pack_i8 = nullptr,
    .tile_i8 = nullptr,
    .scan_i8 = nullptr,
};

}  // namespace tamis::cpu
