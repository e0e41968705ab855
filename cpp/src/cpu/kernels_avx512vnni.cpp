// AVX-512 with VNNI: four int8 products a lane and instruction.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace tamis::cpu {
namespace avx512vnni {
namespace {

#include "cpu/avx512-inl.h"
#include "cpu/lanes-inl.h"

// sum += y * x, four bytes a lane, y unsigned, x signed. As an instruction, because gcc 12 copies
// every sum through memory around the intrinsic.
inline void multiply_add(__m512i& sum, __m512i y, __m512i x) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(y), "v"(x));
}

// vpdpbusd multiplies unsigned by signed bytes: columns become q + 128 by flipping their top bit,
// and start[r] = -128 * (sum of row r) takes the surplus back. Sums are exact: 255 * 127 * dim
// stays below 2^31 for dim <= 65536.
void tile_i8(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
             const int32_t* start, int32_t* tile) {
  const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
  for (int64_t begin = 0; begin < groups; begin += kBlockGroups) {
    const int64_t n = groups - begin < kBlockGroups ? groups - begin : kBlockGroups;
    for (int row = 0; row < n_rows; row += 8) {
      int32_t* out = tile + row * kPanel;
      if (begin == 0) {
        for (int r = 0; r < 8; ++r) {
          const __m512i value = _mm512_set1_epi32(start[row + r]);
          for (int v = 0; v < 3; ++v) _mm512_store_si512(out + r * kPanel + v * 16, value);
        }
      }
      // Named registers: arrays of vectors were seen to be kept in memory.
#define TAMIS_LOAD(r)                                         \
  __m512i a##r = _mm512_load_si512(out + r * kPanel),         \
          b##r = _mm512_load_si512(out + r * kPanel + 16),    \
          c##r = _mm512_load_si512(out + r * kPanel + 32);
      TAMIS_EIGHT(TAMIS_LOAD)
      const int32_t* x = reinterpret_cast<const int32_t*>(rows) + begin * kPanel + row;
      const uint32_t* y = columns + begin * kPanel;
      for (int64_t k = 0; k < n; ++k, x += kPanel, y += kPanel) {
        const __m512i y0 = _mm512_xor_si512(_mm512_load_si512(y), flip),
                      y1 = _mm512_xor_si512(_mm512_load_si512(y + 16), flip),
                      y2 = _mm512_xor_si512(_mm512_load_si512(y + 32), flip);
#define TAMIS_STEP(r)                              \
  {                                                \
    const __m512i xr = _mm512_set1_epi32(x[r]);    \
    multiply_add(a##r, y0, xr);                 \
    multiply_add(b##r, y1, xr);                 \
    multiply_add(c##r, y2, xr);                 \
  }
        TAMIS_EIGHT(TAMIS_STEP)
      }
#define TAMIS_STORE(r)                              \
  _mm512_store_si512(out + r * kPanel, a##r);       \
  _mm512_store_si512(out + r * kPanel + 16, b##r);  \
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
    "avx512vnni",         avx512vnni::widen,        avx512vnni::narrow,  avx512vnni::dot,
    avx512vnni::dot_wide, avx512vnni::norm_squared, avx512vnni::divide,  avx512vnni::add,
    avx512vnni::pack_i8,  avx512vnni::tile_f32,     avx512vnni::tile_i8, avx512vnni::scan_f32,
    avx512vnni::scan_i8,
};

}  // namespace tamis::cpu
