// Dot products of two float16 rows by one warp: the exact one, and a quick look before it.
#pragma once

#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"

namespace tamis::cuda {

namespace dots {

// sum += the two products of a pair of float16 numbers, which are exact in float32.
template <class Sum>
__device__ __forceinline__ void add_products(uint32_t x, uint32_t y, Sum& sum) {
  sum += static_cast<Sum>(half_to_float(static_cast<uint16_t>(x)) *
                          half_to_float(static_cast<uint16_t>(y)));
  sum += static_cast<Sum>(half_to_float(static_cast<uint16_t>(x >> 16)) *
                          half_to_float(static_cast<uint16_t>(y >> 16)));
}

template <class Sum>
__device__ __forceinline__ Sum warp_sum(const uint16_t* x, const uint16_t* y, int64_t dim) {
  Sum sum = 0;
  for (int64_t i = static_cast<int64_t>(threadIdx.x % 32) * 8; i < dim; i += 256) {
    const uint4 a = *reinterpret_cast<const uint4*>(x + i);
    const uint4 b = *reinterpret_cast<const uint4*>(y + i);
    add_products(a.x, b.x, sum);
    add_products(a.y, b.y, sum);
    add_products(a.z, b.z, sum);
    add_products(a.w, b.w, sum);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  return sum;
}

}  // namespace dots

// All lanes call these and get the same value. x, y: [dim], 16-byte aligned, dim a multiple of 8,
// but where it says otherwise.

// Exact: a product is a multiple of 2^-48, and sums of rows of about unit norm never round in
// float64; any order gives the same bits.
__device__ __forceinline__ double warp_dot(const uint16_t* x, const uint16_t* y, int64_t dim) {
  return dots::warp_sum<double>(x, y, dim);
}

// Exact, for rows of any address and width.
__device__ __forceinline__ double warp_dot_of_any(const uint16_t* x, const uint16_t* y,
                                                  int64_t dim) {
  double sum = 0;
  for (int64_t i = threadIdx.x % 32; i < dim; i += 32) {
    sum = add(sum, multiply(half_to_double(x[i]), half_to_double(y[i])));
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  return sum;
}

// In float32, within quick_dot_error (shortlist.h), at a fraction of the cost.
__device__ __forceinline__ float quick_warp_dot(const uint16_t* x, const uint16_t* y, int64_t dim) {
  return dots::warp_sum<float>(x, y, dim);
}

}  // namespace tamis::cuda
