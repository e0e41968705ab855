// Float16 numbers by their bits: widened exactly, narrowed from float64 in one rounding.
#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/device/words.h"

namespace tamis::cuda {

namespace bits {

__host__ __device__ inline float to_float(uint32_t word) {
#ifdef __CUDA_ARCH__
  return __uint_as_float(word);
#else
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
#endif
}

__host__ __device__ inline uint64_t of_double(double value) {
#ifdef __CUDA_ARCH__
  return static_cast<uint64_t>(__double_as_longlong(value));
#else
  uint64_t word;
  std::memcpy(&word, &value, sizeof word);
  return word;
#endif
}

}  // namespace bits

// A NaN stays one; its payload is not kept.
__host__ __device__ inline float half_to_float(uint16_t half) {
#ifdef __CUDA_ARCH__
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
  return value;
#else
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
  if (exponent == 31) return bits::to_float(sign | (fraction != 0 ? 0x7fc00000u : 0x7f800000u));
  if (exponent != 0) return bits::to_float(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;  // exact
  return sign != 0 ? -magnitude : magnitude;
#endif
}

__host__ __device__ inline double half_to_double(uint16_t half) {
  return static_cast<double>(half_to_float(half));
}

// Rounded to nearest, ties to even, never through float32. NaN becomes 0x7e00, with its sign.
__host__ __device__ inline uint16_t double_to_half(double value) {
  const uint64_t word = bits::of_double(value);
  const uint32_t sign = static_cast<uint32_t>(word >> 48) & 0x8000u;
  const uint64_t magnitude = word & 0x7fffffffffffffffull;
  if (magnitude > 0x7ff0000000000000ull) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x40effe0000000000ull) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520
  const int exponent = static_cast<int>(magnitude >> 52) - 1023;
  if (exponent < -25) return static_cast<uint16_t>(sign);  // below half of the smallest
  // Normal: the fraction loses 42 bits. Subnormal: one more for every step below 2^-14.
  const int dropped = exponent >= -14 ? 42 : 28 - exponent;
  const uint64_t significand = (magnitude & 0xfffffffffffffull) | 0x10000000000000ull;
  uint64_t kept = significand >> dropped;
  const uint64_t rest = significand & ((1ull << dropped) - 1), half = 1ull << (dropped - 1);
  kept += rest > half || (rest == half && (kept & 1) != 0) ? 1 : 0;
  // A normal number's leading bit adds one to the exponent field; so does a carry of the rounding.
  const uint32_t field = exponent >= -14 ? static_cast<uint32_t>(exponent + 14) << 10 : 0;
  return static_cast<uint16_t>(sign | (field + static_cast<uint32_t>(kept)));
}

}  // namespace tamis::cuda
