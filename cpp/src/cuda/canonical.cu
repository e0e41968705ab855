#include <cmath>

#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/row_lanes.h"
#include "tamis/cuda/canonical.h"

namespace tamis::cuda {
namespace {

struct Half {
  uint16_t bits;
};
struct Bfloat16 {
  uint16_t bits;
};

__device__ double widened(Half x) { return half_to_double(x.bits); }
__device__ double widened(Bfloat16 x) {
  return static_cast<double>(bits::to_float(static_cast<uint32_t>(x.bits) << 16));
}
__device__ double widened(float x) { return static_cast<double>(x); }
__device__ double widened(double x) { return x; }

template <class T>
constexpr bool kIsHalf = false;
template <>
constexpr bool kIsHalf<Half> = true;

constexpr unsigned long long kInfinity = 0x7ff0000000000000ull;

__device__ unsigned long long magnitude_bits(double value) {
  return bits::of_double(value) & 0x7fffffffffffffffull;  // ordered as magnitudes, NaN last
}

// The e of magnitude = m * 2^e with 0.5 <= m < 1, of a finite one above 0.
__device__ int binary_exponent(unsigned long long magnitude) {
  const int field = static_cast<int>(magnitude >> 52);
  return field != 0 ? field - 1022 : -1010 - __clzll(static_cast<long long>(magnitude));
}

// The power of two that brings the largest element to [0.5, 1). At most 2^1000, since 2^1073 is no
// float64 number: it brings even 2^-1074 to 2^-74, whose square is exact, and which power it was
// shows in no quotient. One product with it rounds as ldexp does.
__device__ double scale_of(unsigned long long magnitude) {
  const int power = min(-binary_exponent(magnitude), 1000);  // -1024 at least
  const unsigned long long word =
      power < -1022 ? 1ull << (power + 1074) : static_cast<unsigned long long>(power + 1023) << 52;
  return __longlong_as_double(static_cast<long long>(word));
}

__device__ bool near_one(double square) {
  const double norm = square_root(square);
  return norm >= 1 - 0x1p-10 && norm <= 1 + 0x1p-10;
}

// Whether all eight lanes of the row say so.
__device__ bool all_of_row(bool own) {
  const unsigned row = threadIdx.x % 32 / kRowLanes;
  const unsigned votes = __ballot_sync(kWholeWarp, own);
  return (votes >> (row * kRowLanes) & 0xffu) == 0xffu;
}

// The bits of the largest |x_i|; a NaN counts as the largest.
template <class T>
__device__ unsigned long long largest_magnitude(const T* x, int64_t dim) {
  unsigned long long largest = 0;
  for (int64_t i = lane_of_row(); i < dim; i += kRowLanes) {
    largest = max(largest, magnitude_bits(widened(x[i])));
  }
  for (int offset = 1; offset < kRowLanes; offset *= 2) {
    largest = max(largest, __shfl_xor_sync(kWholeWarp, largest, offset));
  }
  return largest;
}

template <class T>
__device__ bool is_half_row(const T* x, int64_t dim) {
  bool half = true;
  for (int64_t i = lane_of_row(); half && i < dim; i += kRowLanes) {
    const double value = widened(x[i]);
    half = half_to_double(double_to_half(value)) == value;
  }
  return all_of_row(half);
}

// |x|^2, at the speed of memory. Squares are multiples of 2^-48: a sum below 2^5 is exact, whatever
// its order, and was never rounded on its way.
__device__ double square_in_any_order(const uint16_t* x, int64_t dim) {
  double square = 0;
#pragma unroll 4
  for (int64_t i = int64_t{lane_of_row()} * kWide; i < dim; i += kRowLanes * kWide) {
    const auto values = *reinterpret_cast<const Halves<kWide>*>(x + i);
#pragma unroll
    for (int j = 0; j < kWide; ++j) square = add_square(square, half_to_double(values.value[j]));
  }
  return combine_lanes(square);
}

// The common case: whether the warp's rows are unit float16 rows, taken as they are.
__device__ bool take_unit_rows(const Half* x, bool inside, int64_t dim, uint16_t* out) {
  const int64_t end = inside ? dim : 0;
  const int64_t begin = int64_t{lane_of_row()} * kWide, step = kRowLanes * kWide;
  const bool unit = near_one(square_in_any_order(&x->bits, end));
  if (!__all_sync(kWholeWarp, unit || !inside)) return false;
  if (out == nullptr) return true;
#pragma unroll 4
  for (int64_t i = begin; i < end; i += step) {
    *reinterpret_cast<Halves<kWide>*>(out + i) = *reinterpret_cast<const Halves<kWide>*>(x + i);
  }
  return true;
}

// kWideHalves: float16 rows that can be read and written kWide at a time.
template <class T, bool kWideHalves>
__global__ void __launch_bounds__(kRowThreads)
    canonical_rows(const T* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state) {
  const int64_t row = row_of_lane();
  const bool inside = row < n_rows;
  const int64_t width = inside ? dim : 0;
  const T* own = x + (inside ? row * dim : 0);
  uint16_t* out = rows == nullptr || !inside ? nullptr : rows + row * dim;
  if constexpr (kWideHalves) {
    if (take_unit_rows(own, inside, dim, out)) {
      if (inside && lane_of_row() == 0) state[row] = static_cast<uint8_t>(RowState::as_is);
      return;
    }
  }

  double square = norm_squared(width, [&](int64_t i) { return widened(own[i]); });
  RowState found = RowState::rounded;
  const bool scaled = !(square >= 0x1p-900 && magnitude_bits(square) < kInfinity);
  double scale = 1;
  if (__any_sync(kWholeWarp, scaled)) {
    const unsigned long long largest = largest_magnitude(own, width);
    if (scaled && largest >= kInfinity) {
      found = RowState::not_finite;
    } else if (scaled && largest == 0) {
      found = RowState::zero;
    } else if (scaled) {
      scale = scale_of(largest);
    }
    const double again =
        norm_squared(width, [&](int64_t i) { return multiply(widened(own[i]), scale); });
    if (scaled) square = again;
  }
  const bool unit = !scaled && near_one(square);
  if (__any_sync(kWholeWarp, unit)) {
    const bool as_is = kIsHalf<T> || is_half_row(own, unit ? width : 0);
    if (unit && as_is) found = RowState::as_is;
  }

  if (inside && lane_of_row() == 0) state[row] = static_cast<uint8_t>(found);
  if (out == nullptr) return;
  const double norm = square_root(square);
  const bool bad = found == RowState::zero || found == RowState::not_finite;
#pragma unroll 4
  for (int64_t i = lane_of_row(); i < dim; i += kRowLanes) {
    double value = widened(own[i]);
    if (scaled) value = multiply(value, scale);
    if (found != RowState::as_is) value = divide(value, norm);
    out[i] = bad ? 0 : double_to_half(value);
  }
}

// kWideHalves: rows that can be read kWide at a time.
template <bool kWideHalves>
__global__ void __launch_bounds__(kRowThreads)
    square_rows(const uint16_t* x, int64_t n_rows, int64_t dim, double* squares) {
  const int64_t row = row_of_lane();
  const int64_t width = row < n_rows ? dim : 0;
  const uint16_t* own = x + (row < n_rows ? row * dim : 0);
  double square = kWideHalves ? square_in_any_order(own, width) : INFINITY;
  if (__any_sync(kWholeWarp, !(square < 32))) {
    square = norm_squared(width, [&](int64_t i) { return half_to_double(own[i]); });
  }
  if (row < n_rows && lane_of_row() == 0) squares[row] = square;
}

template <class T, bool kWideHalves = false>
void launch_rows(const void* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
                 Stream stream) {
  launch(canonical_rows<T, kWideHalves>, Grid{blocks_of(n_rows, kRowsPerBlock)}, kRowThreads, 0,
         stream, static_cast<const T*>(x), n_rows, dim, rows, state);
}

}  // namespace

void canonical(const void* x, Element element, int64_t n_rows, int64_t dim, uint16_t* rows,
               uint8_t* state, Stream stream) {
  switch (element) {
    case Element::half:
      if (can_read_wide({static_cast<const uint16_t*>(x), n_rows, dim}) &&
          can_read_wide({rows, n_rows, dim})) {
        return launch_rows<Half, true>(x, n_rows, dim, rows, state, stream);
      }
      return launch_rows<Half>(x, n_rows, dim, rows, state, stream);
    case Element::bfloat16:
      return launch_rows<Bfloat16>(x, n_rows, dim, rows, state, stream);
    case Element::float32:
      return launch_rows<float>(x, n_rows, dim, rows, state, stream);
    case Element::float64:
      return launch_rows<double>(x, n_rows, dim, rows, state, stream);
  }
}

void squared_norms(const HalfRows& x, double* squares, Stream stream) {
  launch(can_read_wide(x) ? square_rows<true> : square_rows<false>,
         Grid{blocks_of(x.n_rows, kRowsPerBlock)}, kRowThreads, 0, stream, x.data, x.n_rows, x.dim,
         squares);
}

}  // namespace tamis::cuda
