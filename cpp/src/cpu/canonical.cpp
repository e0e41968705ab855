#include "tamis/canonical.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/level.h"
#include "cpu/parallel.h"

namespace tamis {
namespace {

constexpr int64_t kRowsAtOnce = 256;

struct Buffers {
  std::vector<double> value;
  std::vector<float> back;
  std::vector<uint16_t> half;
};

void to_double(const cpu::Kernels& kernels, const uint16_t* x, int64_t dim, Buffers& buffers) {
  kernels.widen(x, dim, buffers.back.data());
  for (int64_t i = 0; i < dim; ++i) buffers.value[i] = buffers.back[i];
}
template <class T>
void to_double(const cpu::Kernels&, const T* x, int64_t dim, Buffers& buffers) {
  for (int64_t i = 0; i < dim; ++i) buffers.value[i] = static_cast<double>(x[i]);
}

double largest_magnitude(const double* x, int64_t dim) {
  double largest = 0;
  for (int64_t i = 0; i < dim; ++i) {
    const double magnitude = std::fabs(x[i]);
    if (!(magnitude <= largest)) largest = magnitude;  // keeps a NaN
    if (std::isnan(largest)) return largest;
  }
  return largest;
}

// Whether every element is a float16 number; buffers.half gets their bits.
bool all_half(const cpu::Kernels& kernels, int64_t dim, Buffers& buffers) {
  kernels.divide(buffers.value.data(), 1.0, dim, buffers.half.data());
  kernels.widen(buffers.half.data(), dim, buffers.back.data());
  for (int64_t i = 0; i < dim; ++i) {
    if (static_cast<double>(buffers.back[i]) != buffers.value[i]) return false;
  }
  return true;
}

bool near_one(double square) {
  const double norm = std::sqrt(square);
  return norm >= 1 - 0x1p-10 && norm <= 1 + 0x1p-10;
}

// The common case, at the speed of memory: |x|^2 of a unit float16 row is exact in any order.
bool is_unit_half(const cpu::Kernels& kernels, const uint16_t* x, int64_t dim, Buffers& buffers) {
  kernels.widen(x, dim, buffers.back.data());
  return near_one(kernels.dot(buffers.back.data(), x, dim));
}
template <class T>
bool is_unit_half(const cpu::Kernels&, const T*, int64_t, Buffers&) {
  return false;
}

template <class T>
RowState canonical_row(const cpu::Kernels& kernels, const T* x, int64_t dim, uint16_t* out,
                       Buffers& buffers) {
  if (is_unit_half(kernels, x, dim, buffers)) {
    if (out) std::memcpy(out, x, static_cast<size_t>(dim) * 2);
    return RowState::as_is;
  }
  to_double(kernels, x, dim, buffers);
  double* value = buffers.value.data();
  double square = kernels.norm_squared(value, dim);
  if (!(std::isfinite(square) && square >= 0x1p-900)) {
    const double largest = largest_magnitude(value, dim);
    if (!std::isfinite(largest)) return RowState::not_finite;
    if (largest == 0) return RowState::zero;
    int exponent;
    std::frexp(largest, &exponent);
    for (int64_t i = 0; i < dim; ++i) value[i] = std::ldexp(value[i], -exponent);
    square = kernels.norm_squared(value, dim);
  } else if (near_one(square) && all_half(kernels, dim, buffers)) {
    if (out) std::memcpy(out, buffers.half.data(), static_cast<size_t>(dim) * 2);
    return RowState::as_is;
  }
  if (out) kernels.divide(value, std::sqrt(square), dim, out);
  return RowState::rounded;
}

template <class T>
void canonical_rows(const T* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
                    const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  std::vector<Buffers> buffers(static_cast<size_t>(context.n_threads));
  cpu::parallel_for((n_rows + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t t, int thread) {
    Buffers& own = buffers[static_cast<size_t>(thread)];
    own.value.resize(static_cast<size_t>(dim));
    own.back.resize(static_cast<size_t>(dim));
    own.half.resize(static_cast<size_t>(dim));
    const int64_t end = std::min(n_rows, (t + 1) * kRowsAtOnce);
    for (int64_t row = t * kRowsAtOnce; row < end; ++row) {
      uint16_t* out = rows ? rows + row * dim : nullptr;
      const RowState found = canonical_row(kernels, x + row * dim, dim, out, own);
      state[row] = static_cast<uint8_t>(found);
      if (out && (found == RowState::zero || found == RowState::not_finite)) {
        std::memset(out, 0, static_cast<size_t>(dim) * 2);
      }
    }
  });
}

}  // namespace

void canonical(const uint16_t* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context) {
  canonical_rows(x, n_rows, dim, rows, state, context);
}
void canonical(const float* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context) {
  canonical_rows(x, n_rows, dim, rows, state, context);
}
void canonical(const double* x, int64_t n_rows, int64_t dim, uint16_t* rows, uint8_t* state,
               const Context& context) {
  canonical_rows(x, n_rows, dim, rows, state, context);
}

void squared_norms(const double* x, int64_t n_rows, int64_t dim, double* squares,
                   const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  cpu::parallel_for((n_rows + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t t, int) {
    const int64_t end = std::min(n_rows, (t + 1) * kRowsAtOnce);
    for (int64_t row = t * kRowsAtOnce; row < end; ++row) {
      squares[row] = kernels.norm_squared(x + row * dim, dim);
    }
  });
}

}  // namespace tamis
