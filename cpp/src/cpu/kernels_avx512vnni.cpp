// AVX-512 with VNNI: four int8 products a lane and instruction.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace tamis::cpu {
namespace avx512vnni {
namespace {

#include "cpu/avx512-inl.h"
#include "cpu/lanes-inl.h"

float dot_f32(const float* x, const uint16_t* y, int64_t dim) {
  __m512 sum = _mm512_setzero_ps(), other = sum;
  int64_t i = 0;
  for (; i + 32 <= dim; i += 32) {
    const __m256i* half = reinterpret_cast<const __m256i*>(y + i);
    sum = _mm512_fmadd_ps(_mm512_loadu_ps(x + i), _mm512_cvtph_ps(_mm256_loadu_si256(half)), sum);
    other = _mm512_fmadd_ps(_mm512_loadu_ps(x + i + 16),
                            _mm512_cvtph_ps(_mm256_loadu_si256(half + 1)), other);
  }
  for (; i < dim; i += 16) {
    const int64_t n = dim - i < 16 ? dim - i : 16;
    const __mmask16 rest = static_cast<__mmask16>((1u << n) - 1);
    sum = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, x + i),
                          _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, y + i)), sum);
  }
  return _mm512_reduce_add_ps(_mm512_add_ps(sum, other));
}

// Bounds: v = x * weight - center is computed in float32 (each element errs by at most 2^-24 of
// |x weight| twice and of |v| once, in all at most 2^-21 for |x weight| <= 1.01 and |v| <= 2.02);
// the float32 sums of squares below, sixteen lanes of dim / 16 terms, err by less than 2^-11 of
// their value for dim <= 65536, which 1 + 2^-10 covers.
Quantized pack_i8(const float* x, float weight, const float* center, int64_t dim, float* scratch,
                  uint32_t* panel) {
  const __m512 w = _mm512_set1_ps(weight);
  __m512 largest_lanes = _mm512_setzero_ps();
  for (int64_t i = 0; i < dim; i += 16) {
    const __mmask16 in = dim - i < 16 ? static_cast<__mmask16>((1u << (dim - i)) - 1) : 0xffff;
    __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(in, x + i), w);
    if (center) v = _mm512_sub_ps(v, _mm512_maskz_loadu_ps(in, center + i));
    _mm512_mask_storeu_ps(scratch + i, in, v);
    largest_lanes = _mm512_max_ps(largest_lanes, _mm512_abs_ps(v));
  }
  const float largest = _mm512_reduce_max_ps(largest_lanes);
  const bool usable = largest > 1e-30f;  // a row of zeros has scale 0 and error |v|
  const __m512 inverse = _mm512_set1_ps(usable ? 127.0f / largest : 0.0f);
  const float scale = usable ? largest / 127.0f : 0.0f;
  const __m512 scales = _mm512_set1_ps(scale);
  __m512 error = _mm512_setzero_ps(), square = error;
  __m512i total = _mm512_setzero_si512();
  for (int64_t i = 0; i < dim; i += 16) {
    const __mmask16 in = dim - i < 16 ? static_cast<__mmask16>((1u << (dim - i)) - 1) : 0xffff;
    const __m512 v = _mm512_maskz_loadu_ps(in, scratch + i);
    const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(v, inverse));
    const __m512 whole = _mm512_cvtepi32_ps(q);
    const __m512 rest = _mm512_fnmadd_ps(whole, scales, v);
    error = _mm512_fmadd_ps(rest, rest, error);
    square = _mm512_fmadd_ps(whole, whole, square);
    total = _mm512_add_epi32(total, q);
    const __m128i bytes = _mm512_cvtepi32_epi8(q);
    uint32_t* out = panel + (i / 4) * kPanel;
    out[0] = static_cast<uint32_t>(_mm_cvtsi128_si32(bytes));
    if (dim - i > 4) out[kPanel] = static_cast<uint32_t>(_mm_extract_epi32(bytes, 1));
    if (dim - i > 8) out[2 * kPanel] = static_cast<uint32_t>(_mm_extract_epi32(bytes, 2));
    if (dim - i > 12) out[3 * kPanel] = static_cast<uint32_t>(_mm_extract_epi32(bytes, 3));
  }
  constexpr float kUp = 1.0f + 1.0f / 1024;
  return {scale, __builtin_sqrtf(_mm512_reduce_add_ps(square)) * scale * kUp,
          __builtin_sqrtf(_mm512_reduce_add_ps(error)) * kUp + 1.0f / (1 << 21),
          _mm512_reduce_add_epi32(total)};
}

// sum += y * x, four bytes a lane, y unsigned, x signed. As an instruction, because gcc 12 copies
// every sum through memory around the intrinsic.
inline void multiply_add(__m512i& sum, __m512i y, __m512i x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(y), "v"(x));
}

// Groups between two visits of the tile: a block of a column panel is 36 KB, and stays in L1.
constexpr int kBlockWords = 192;

// vpdpbusd multiplies unsigned by signed bytes: columns become q + 128 by flipping their top bit,
// and start[r] = -128 * (sum of row r) takes the surplus back. Sums are exact: 255 * 127 * dim
// stays below 2^31 for dim <= 65536.
void tile_i8(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
             const int32_t* start, int32_t* tile) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int64_t begin = 0; begin < groups; begin += kBlockWords) {
    const int64_t n = groups - begin < kBlockWords ? groups - begin : kBlockWords;
    for (int row = 0; row < n_rows; row += 8) {
      int32_t* out = tile + row * kPanel;
      if (begin == 0) {
        for (int r = 0; r < 8; ++r) {
          const __m512i value = _mm512_set1_epi32(start[row + r]);
          for (int v = 0; v < 3; ++v) _mm512_store_si512(out + r * kPanel + v * 16, value);
        }
      }
      // Named registers: arrays of vectors were seen to be kept in memory.
#define TAMIS_LOAD(r)                                      \
  __m512i a##r = _mm512_load_si512(out + r * kPanel),      \
          b##r = _mm512_load_si512(out + r * kPanel + 16), \
          c##r = _mm512_load_si512(out + r * kPanel + 32);
      TAMIS_EIGHT(TAMIS_LOAD)
      const int32_t* x = reinterpret_cast<const int32_t*>(rows) + begin * kPanel + row;
      const uint32_t* y = columns + begin * kPanel;
      for (int64_t k = 0; k < n; ++k, x += kPanel, y += kPanel) {
        const __m512i y0 = _mm512_xor_si512(_mm512_load_si512(y), flip),
                      y1 = _mm512_xor_si512(_mm512_load_si512(y + 16), flip),
                      y2 = _mm512_xor_si512(_mm512_load_si512(y + 32), flip);
#define TAMIS_STEP(r)                           \
  {                                             \
    const __m512i xr = _mm512_set1_epi32(x[r]); \
    multiply_add(a##r, y0, xr);                 \
    multiply_add(b##r, y1, xr);                 \
    multiply_add(c##r, y2, xr);                 \
  }
        TAMIS_EIGHT(TAMIS_STEP)
      }
#define TAMIS_STORE(r)                             \
  _mm512_store_si512(out + r * kPanel, a##r);      \
  _mm512_store_si512(out + r * kPanel + 16, b##r); \
  _mm512_store_si512(out + r * kPanel + 32, c##r);
      TAMIS_EIGHT(TAMIS_STORE)
#undef TAMIS_LOAD
#undef TAMIS_STEP
#undef TAMIS_STORE
    }
  }
}

int scan_i8(const int32_t* tile, const Scan& scan, Hit* hits) {
  return scan_tile(tile, scan, hits);
}

}  // namespace
}  // namespace avx512vnni

const Kernels kAvx512Vnni = {
    .name = "avx512vnni",
    .widen = avx512vnni::widen,
    .narrow = avx512vnni::narrow,
    .dot = avx512vnni::dot,
    .dot_wide = avx512vnni::dot_wide,
    .norm_squared = avx512vnni::norm_squared,
    .divide = avx512vnni::divide,
    .add = avx512vnni::add,
    .tile_f32 = avx512vnni::tile_f32,
    .scan_f32 = avx512vnni::scan_f32,
    .dot_f32 = avx512vnni::dot_f32,
    .pack_i8 = avx512vnni::pack_i8,
    .tile_i8 = avx512vnni::tile_i8,
    .scan_i8 = avx512vnni::scan_i8,
};

}  // namespace tamis::cpu
