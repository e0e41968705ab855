// Rows of PointRows read by a warp, and the facts of a point: see tamis/lorentz.h.
//
// A row is cut in chunks of 16 bytes and lane l takes chunks l, l + 32, ...: sums have one order,
// whether a chunk can be read at once or not.
#pragma once

#include <cmath>
#include <limits>

#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/row_lanes.h"
#include "tamis/lorentz.h"

namespace tamis::cuda {

inline constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();
inline constexpr double kPi = 3.141592653589793;

__device__ inline double widened(uint16_t half) { return half_to_double(half); }
__device__ inline double widened(float value) { return static_cast<double>(value); }
__device__ inline double widened(double value) { return value; }

template <class T>
inline constexpr int kChunk = static_cast<int>(16 / sizeof(T));
template <class T>
struct alignas(16) Chunk {
  T value[kChunk<T>];
};

// PointRows of element T: float16 bits, float or double.
template <class T>
struct Points {
  const T* data;  // [n_rows x n_columns]
  int64_t n_rows, n_columns;
  Kind kind;
  double curvature;
  bool wide;  // every row is 16-byte aligned and a whole number of chunks

  explicit Points(const PointRows& rows)
      : data(static_cast<const T*>(rows.data)),
        n_rows(rows.n_rows),
        n_columns(rows.n_columns),
        kind(rows.kind),
        curvature(rows.curvature),
        wide(rows.n_columns % kChunk<T> == 0 && reinterpret_cast<uintptr_t>(rows.data) % 16 == 0) {}

  // Elements [at, at + kChunk) of row i: zeros past its end, and for the time part.
  __device__ Chunk<T> chunk(int64_t i, int64_t at) const {
    const T* from = data + i * n_columns + at;
    Chunk<T> found;
    if (wide) {
      found = *reinterpret_cast<const Chunk<T>*>(from);
    } else {
#pragma unroll
      for (int k = 0; k < kChunk<T>; ++k) found.value[k] = at + k < n_columns ? from[k] : T{};
    }
    if (kind == Kind::lorentz && at == 0) found.value[0] = T{};
    return found;
  }
  __device__ double time(int64_t i) const { return widened(data[i * n_columns]); }
  __device__ bool on_hyperboloid(int64_t i, double square) const {
    if (kind != Kind::lorentz) return true;
    const double expected = sqrt(1 / curvature + square);
    return fabs(time(i) - expected) <= 0x1p-8 * expected;
  }
};

__device__ inline int lane_of_warp() { return static_cast<int>(threadIdx.x) % 32; }

// In one order; every lane gets the sum.
__device__ inline double warp_sum(double sum) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum = add(sum, __shfl_xor_sync(kWholeWarp, sum, step));
  return sum;
}

// use(value) for this lane's elements of row i.
template <class T, class Use>
__device__ inline void for_elements(const Points<T>& x, int64_t i, const Use& use) {
#pragma unroll 2
  for (int64_t at = int64_t{lane_of_warp()} * kChunk<T>; at < x.n_columns; at += 32 * kChunk<T>) {
    const Chunk<T> own = x.chunk(i, at);
#pragma unroll
    for (int k = 0; k < kChunk<T>; ++k) use(widened(own.value[k]));
  }
}

// use(a, b) for this lane's elements of row i of x and row j of y.
template <class T, class Use>
__device__ inline void for_elements(const Points<T>& x, int64_t i, const Points<T>& y, int64_t j,
                                    const Use& use) {
#pragma unroll 2
  for (int64_t at = int64_t{lane_of_warp()} * kChunk<T>; at < x.n_columns; at += 32 * kChunk<T>) {
    const Chunk<T> left = x.chunk(i, at), right = y.chunk(j, at);
#pragma unroll
    for (int k = 0; k < kChunk<T>; ++k) use(widened(left.value[k]), widened(right.value[k]));
  }
}

// |x|^2 * 4^-exponent. state: ok, zero or not_finite.
struct Square {
  double value = 0;
  int exponent = 0;  // not 0 where |x|^2 would over- or underflow
  PointState state = PointState::ok;
};
__host__ __device__ inline bool in_range(double square) {
  return square > 0x1p-900 && square < 0x1p900;
}

// The whole warp's; every lane gets the sum.
template <class T>
__device__ inline double plain_square(const Points<T>& x, int64_t i) {
  double sum = 0;
  for_elements(x, i, [&](double v) { sum = fma(v, v, sum); });
  return warp_sum(sum);
}

// The same of a row whose plain square is out of range.
template <class T>
__device__ inline Square scaled_square(const Points<T>& x, int64_t i) {
  Square found;
  double largest = 0;
  bool finite = true;
  for_elements(x, i, [&](double v) {
    finite = finite && fabs(v) < kInfinity;
    largest = fabs(v) > largest ? fabs(v) : largest;
  });
  if (!__all_sync(kWholeWarp, finite)) {
    found.state = PointState::not_finite;
    return found;
  }
  for (int step = 16; step > 0; step /= 2) {
    const double other = __shfl_xor_sync(kWholeWarp, largest, step);
    largest = other > largest ? other : largest;
  }
  if (largest == 0) {
    found.state = PointState::zero;
    return found;
  }
  frexp(largest, &found.exponent);
  double sum = 0;
  for_elements(x, i, [&](double v) {
    const double scaled = ldexp(v, -found.exponent);
    sum = fma(scaled, scaled, sum);
  });
  found.value = warp_sum(sum);
  return found;
}

template <class T>
__device__ inline Square square_of(const Points<T>& x, int64_t i) {
  Square found;
  found.value = plain_square(x, i);
  return in_range(found.value) ? found : scaled_square(x, i);
}

struct PointFacts {
  PointState state = PointState::ok;
  int exponent = 0;
  double norm = 0;    // |x| * 2^-exponent, without the time part
  double radius = 0;  // r, clamped
  double sinh = 0, cosh = 1;
};

// Radius, sinh and cosh of a point whose vector has this norm; marks what lies outside.
__device__ inline void place(Kind kind, double curvature, double norm, PointFacts* facts) {
  const double size = sqrt(curvature) * norm;
  facts->radius = size;
  if (kind == Kind::poincare) {
    if (!(size < 1)) {
      facts->state = PointState::outside;
      facts->radius = kNaN;
      return;
    }
    facts->radius = 2 * atanh(size);
  } else if (kind != Kind::tangent) {
    facts->radius = asinh(size);
  }
  if (facts->radius > kLargestRadius) {
    facts->state = PointState::clamped;
    facts->radius = kLargestRadius;
  }
  if (kind == Kind::space || kind == Kind::lorentz) {
    facts->sinh = size < kLargestSinh ? size : kLargestSinh;
  } else {
    facts->sinh = sinh(facts->radius);
  }
  facts->cosh = sqrt(1 + facts->sinh * facts->sinh);
}

// One thread's. square: of row i.
template <class T>
__device__ inline PointFacts facts_of(const Points<T>& x, int64_t i, const Square& square) {
  PointFacts facts;
  facts.state = square.state;
  facts.exponent = square.exponent;
  if (square.state == PointState::not_finite) {
    facts.radius = facts.norm = kNaN;
    return facts;
  }
  facts.norm = sqrt(square.value);
  if (!x.on_hyperboloid(i, ldexp(square.value, 2 * square.exponent))) {
    facts.state = fabs(x.time(i)) < kInfinity ? PointState::outside : PointState::not_finite;
    facts.radius = kNaN;
    return facts;
  }
  place(x.kind, x.curvature, ldexp(facts.norm, square.exponent), &facts);
  return facts;
}

__host__ __device__ inline bool is_usable(PointState state) { return state <= PointState::clamped; }

}  // namespace tamis::cuda
