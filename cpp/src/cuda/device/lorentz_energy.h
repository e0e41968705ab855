// Angles of pairs from u_x.u_y in float32, and sums of energies in float64. See tamis/lorentz.h.
#pragma once

#include <cmath>

#include "cuda/device/lorentz_rows.h"

namespace tamis::cuda {

inline constexpr double kRightAngle = kPi / 2;

// The angle of (x, y), y >= 0: the polynomial of the CPU's. NaN where both are 0.
__device__ __forceinline__ double angle_of(float y, float x) {
  constexpr float kAtan[9] = {0.99999988638f,  -0.33332597020f, 0.19985906677f,
                              -0.14161228744f, 0.10498944819f,  -0.07234855315f,
                              0.03978120411f,  -0.01440134799f, 0.00245672248f};
  const float size = std::fabs(x);
  const bool steep = y > size;
  const float q = (steep ? size : y) / (steep ? y : size);
  const float z = q * q;
  float sum = kAtan[8];
#pragma unroll
  for (int k = 7; k >= 0; --k) sum = std::fma(sum, z, kAtan[k]);
  const float part = q * sum;
  // pi and its half in float64: what they lose in float32 would be the same in every angle.
  const double low = x < 0 ? kPi : 0.0;
  return (steep ? kRightAngle : low) + ((x < 0) != steep ? -part : part);
}

// The angle of a pair, and whether it is too ill-conditioned for g.
__device__ __forceinline__ double angle_from(float g, float x_tanh, float x_sech, float y_tanh,
                                             bool& doubtful) {
  g = g < -1 ? -1.0f : g > 1 ? 1.0f : g;
  const float square = (1 - g) * (1 + g), s = std::sqrt(square);
  const float p = x_sech * y_tanh, up = p * s, right = std::fma(g, y_tanh, -x_tanh);
  const float kappa = p * std::fma(square, x_tanh, std::fabs(std::fma(-g, x_tanh, y_tanh)));
  doubtful = !(kappa < kIllConditioned * s * std::fma(up, up, right * right));
  return angle_of(up, right);
}

// Sums over the references of a row.
struct Totals {
  double sum, square, clamped;
  long long entailed;

  __device__ __forceinline__ void add_energy(double e) {
    sum += e;
    square += e * e;
    clamped += e > 0 ? e : 0.0;
    entailed += e <= 0 ? 1 : 0;
  }
  __device__ __forceinline__ void add_totals(const Totals& more) {
    sum += more.sum;
    square += more.square;
    clamped += more.clamped;
    entailed += more.entailed;
  }
  __device__ __forceinline__ Totals of_lane(int step) const {
    return {__shfl_xor_sync(kWholeWarp, sum, step), __shfl_xor_sync(kWholeWarp, square, step),
            __shfl_xor_sync(kWholeWarp, clamped, step),
            __shfl_xor_sync(kWholeWarp, entailed, step)};
  }
};

}  // namespace tamis::cuda
