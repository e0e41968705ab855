// Plain C++, for any x86-64 processor.
#include "cpu/kernels.h"

namespace tamis::cpu {
namespace scalar {
namespace {

float widen_one(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t exponent = (half >> 10) & 31, mantissa = half & 0x3ff;
  float value;
  if (exponent == 0) {
    value = static_cast<float>(mantissa) * 0x1p-24f;
  } else {
    const uint32_t bits = exponent == 31 ? 0x7f800000u | (mantissa << 13)
                                         : ((exponent + 112) << 23) | (mantissa << 13);
    __builtin_memcpy(&value, &bits, 4);
  }
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  bits |= sign;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}

uint16_t narrow_one(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  float magnitude;
  __builtin_memcpy(&magnitude, &bits, 4);
  if (bits < 0x38800000) {  // below 2^-14: adding 0.5 rounds to a multiple of 2^-24
    const float shifted = magnitude + 0.5f;
    uint32_t rounded;
    __builtin_memcpy(&rounded, &shifted, 4);
    return sign | static_cast<uint16_t>(rounded - 0x3f000000);
  }
  const uint32_t odd = (bits >> 13) & 1;
  return sign | static_cast<uint16_t>((bits + 0xfff + odd - 0x38000000) >> 13);
}

void widen(const uint16_t* half, int64_t dim, float* out) {
  for (int64_t i = 0; i < dim; ++i) out[i] = widen_one(half[i]);
}

void narrow(const float* wide, int64_t dim, uint16_t* half) {
  for (int64_t i = 0; i < dim; ++i) half[i] = narrow_one(wide[i]);
}

double dot(const float* x, const uint16_t* y, int64_t dim) {
  double sum = 0;
  for (int64_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i] * widen_one(y[i]));
  return sum;
}

#include "cpu/lanes-inl.h"

void tile_f32(const uint32_t* rows, const uint32_t* columns, int64_t groups, int n_rows,
              float* tile) {
  const float* a = reinterpret_cast<const float*>(rows);
  const float* b = reinterpret_cast<const float*>(columns);
  for (int64_t begin = 0; begin < groups; begin += kBlockGroups) {
    const int64_t end = begin + kBlockGroups < groups ? begin + kBlockGroups : groups;
    for (int r = 0; r < n_rows; ++r) {
      float sum[kPanel] = {0};
      for (int64_t k = begin; k < end; ++k) {
        const float x = a[k * kPanel + r];
        for (int c = 0; c < kPanel; ++c) sum[c] += x * b[k * kPanel + c];
      }
      float* out = tile + r * kPanel;
      for (int c = 0; c < kPanel; ++c) out[c] = begin ? out[c] + sum[c] : sum[c];
    }
  }
}

int scan_f32(const float* tile, const Scan& scan, Hit* hits) {
  int n_hits = 0;
  for (int r = 0; r < scan.n_rows; ++r) {
    float score[kPanel];
    bool any = false;
    float largest = -__builtin_inff();
    for (int c = 0; c < kPanel; ++c) {
      score[c] =
          tile[r * kPanel + c] * (scan.row_scale[r] * scan.column_scale[c]) + scan.column_bias[c];
      if ((scan.row_sight[r] >> c & 1) && score[c] >= scan.row_threshold[r]) {
        any = true;
        largest = score[c] > largest ? score[c] : largest;
      }
    }
    if (!any) continue;
    const float lifted = largest - scan.row_margin[r];
    if (lifted > scan.row_threshold[r]) scan.row_threshold[r] = lifted;
    for (int c = 0; c < kPanel; ++c) {
      if ((scan.row_sight[r] >> c & 1) && score[c] >= scan.row_threshold[r]) {
        hits[n_hits++] = {static_cast<uint8_t>(r), static_cast<uint8_t>(c), score[c]};
      }
    }
  }
  return n_hits;
}

}  // namespace
}  // namespace scalar

const Kernels kScalar = {
    .name = "scalar",
    .widen = scalar::widen,
    .narrow = scalar::narrow,
    .dot = scalar::dot,
    .dot_wide = scalar::dot_wide,
    .norm_squared = scalar::norm_squared,
    .divide = scalar::divide,
    .add = scalar::add,
    .tile_f32 = scalar::tile_f32,
    .scan_f32 = scalar::scan_f32,
    .dot_f32 = nullptr,
    .pack_i8 = nullptr,
    .tile_i8 = nullptr,
    .scan_i8 = nullptr,
};

}  // namespace tamis::cpu
