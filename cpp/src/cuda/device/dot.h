// The exact dot product of two float16 rows. A product is a multiple of 2^-48 and exact in float32;
// sums of rows of about unit norm never round in float64, so any order gives the same bits.
#pragma once

#include "cuda/device/half.h"
#include "cuda/device/launch.h"

namespace tamis::cuda {

namespace dots {

// sum + the two products of a pair of float16 numbers.
__device__ __forceinline__ double add_products(double sum, uint32_t x, uint32_t y) {
  const float low =
      half_to_float(static_cast<uint16_t>(x)) * half_to_float(static_cast<uint16_t>(y));
  const float high =
      half_to_float(static_cast<uint16_t>(x >> 16)) * half_to_float(static_cast<uint16_t>(y >> 16));
  return sum + static_cast<double>(low) + static_cast<double>(high);
}

}  // namespace dots

// One warp; every lane gets the dot product. x, y: [dim], 16-byte aligned, dim a multiple of 8.
__device__ __forceinline__ double warp_dot(const uint16_t* x, const uint16_t* y, int64_t dim) {
  double sum = 0;
  for (int64_t i = static_cast<int64_t>(threadIdx.x % 32) * 8; i < dim; i += 256) {
    const uint4 a = *reinterpret_cast<const uint4*>(x + i);
    const uint4 b = *reinterpret_cast<const uint4*>(y + i);
    sum = dots::add_products(sum, a.x, b.x);
    sum = dots::add_products(sum, a.y, b.y);
    sum = dots::add_products(sum, a.z, b.z);
    sum = dots::add_products(sum, a.w, b.w);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  return sum;
}

}  // namespace tamis::cuda
