// Float64 arithmetic as it is written: every operation rounded once, nothing fused. On the host the
// plain operators, in files compiled with -ffp-contract=off.
#pragma once

#include <cmath>

#include "cuda/device/words.h"

namespace tamis::cuda {

__host__ __device__ inline double add(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dadd_rn(a, b);
#else
  return a + b;
#endif
}

__host__ __device__ inline double subtract(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dsub_rn(a, b);
#else
  return a - b;
#endif
}

__host__ __device__ inline double multiply(double a, double b) {
#ifdef __CUDA_ARCH__
  return __dmul_rn(a, b);
#else
  return a * b;
#endif
}

__host__ __device__ inline double divide(double a, double b) {
#ifdef __CUDA_ARCH__
  return __ddiv_rn(a, b);
#else
  return a / b;
#endif
}

__host__ __device__ inline double square_root(double a) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(a);
#else
  return std::sqrt(a);
#endif
}

__host__ __device__ inline double add_square(double sum, double value) {
  return add(sum, multiply(value, value));
}

// The canonical order of a sum: element i was added to sums[i mod 8].
__host__ __device__ inline double combine(const double (&sums)[8]) {
  return add(add(add(sums[0], sums[4]), add(sums[2], sums[6])),
             add(add(sums[1], sums[5]), add(sums[3], sums[7])));
}

}  // namespace tamis::cuda
