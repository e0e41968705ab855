#include "sums.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "cuda/device/half.h"

namespace tamis::emulation {
namespace {

// Rounds the sum of two float32 numbers towards zero.
float add_truncated(float a, float b) {
  const double sum = static_cast<double>(a) + b;
  const auto rounded = static_cast<float>(sum);
  return std::fabs(static_cast<double>(rounded)) > std::fabs(sum) ? std::nextafterf(rounded, 0.0f)
                                                                  : rounded;
}

float add(float a, float b, bool truncate) { return truncate ? add_truncated(a, b) : a + b; }

float sum_halves(const float* values, int count, bool truncate) {
  if (count == 1) return values[0];
  return add(sum_halves(values, count / 2, truncate),
             sum_halves(values + count / 2, count / 2, truncate), truncate);
}

double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52);
}

// Fixed point of 24 bits below the largest magnitude; NaN and infinity go the usual way.
float sum_aligned(float d, const float* products, int count) {
  float largest = std::fabs(d), plain = d;
  for (int k = 0; k < count; ++k) {
    largest = std::max(largest, std::fabs(products[k]));
    plain += products[k];
  }
  if (!std::isfinite(plain) || !std::isfinite(largest) || largest == 0) return plain;
  const int exponent = std::ilogb(largest) + 1;
  const double scale = power_of_two(24 - exponent);
  const auto fixed = [&](float value) { return static_cast<int64_t>(value * scale); };  // exact
  int64_t sum = fixed(d);
  for (int k = 0; k < count; ++k) sum += fixed(products[k]);
  return add_truncated(static_cast<float>(static_cast<double>(sum) * power_of_two(exponent - 24)),
                       0);
}

}  // namespace

float sum_products(float d, const float* products, const Settings& model) {
  switch (model.sum_order) {
    case 0:
      for (int k = 0; k < kDepth; ++k) d = add(d, products[k], model.truncate);
      return d;
    case 1:
      for (int k = kDepth - 1; k >= 0; --k) d = add(d, products[k], model.truncate);
      return d;
    case 2:
      return add(d, sum_halves(products, kDepth, model.truncate), model.truncate);
    default:
      return sum_aligned(sum_aligned(d, products, 8), products + 8, 8);
  }
}

const float* half_table() {
  static const std::vector<float> table = [] {
    std::vector<float> values(1 << 16);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = cuda::half_to_float(static_cast<uint16_t>(i));
    }
    return values;
  }();
  return table.data();
}

}  // namespace tamis::emulation
