#include "cpu/panels.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace tamis::cpu {
namespace {

constexpr double kUnit = 0x1p-24;  // half a unit in the last place of float32, at 1

// A row as float32, and a bound on what that lost (float64 centroids only).
double load(const Kernels& kernels, const Operand& source, int64_t row, float* x) {
  if (!source.wide) {
    kernels.widen(source.half_row(row), source.dim, x);
    return 0;
  }
  double square = 0;
  const double* y = source.wide_row(row);
  for (int64_t i = 0; i < source.dim; ++i) {
    x[i] = static_cast<float>(y[i]);
    const double rest = y[i] - static_cast<double>(x[i]);
    square += rest * rest;
  }
  return std::sqrt(square) * 1.001;
}

float up(double value) { return std::nextafterf(static_cast<float>(value), INFINITY); }

}  // namespace

Panels::Panels(Format format, int64_t dim, int64_t n_panels)
    : format_(format), dim_(dim), groups_(groups(format, dim)) {
  n_words_ = n_panels * groups_ * kPanel;
  // Large buffers are aligned for huge pages: thousands of page faults less.
  constexpr int64_t kHugePage = 2 << 20;
  const int64_t alignment = bytes() >= kHugePage ? kHugePage : 64;
  const int64_t size = (std::max<int64_t>(1, bytes()) + alignment - 1) / alignment * alignment;
  words_.reset(static_cast<uint32_t*>(
      std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(size))));
  if (!words_) throw std::bad_alloc();
  if (alignment == kHugePage) {
    madvise(words_.get(), static_cast<size_t>(size), MADV_HUGEPAGE);  // a wish, no more
  }
  const size_t n = static_cast<size_t>(n_panels) * kPanel;
  scale_.resize(n);
  bias_.resize(n);
  norm_.resize(n);
  error_.resize(n);
  start_.resize(n);
  offset_.resize(n);
  facts_.resize(static_cast<size_t>(n_panels));
}

void Panels::pack(const Kernels& kernels, const Operand& source, const int64_t* rows, int count,
                  const Center* center, int64_t panel, float* scratch) {
  uint32_t* words = words_.get() + panel * groups_ * kPanel;
  if (count < kPanel) std::memset(words, 0, static_cast<size_t>(groups_) * kPanel * 4);
  float* x = scratch;
  PanelFacts facts;
  for (int r = 0; r < kPanel; ++r) {
    const size_t slot = static_cast<size_t>(panel) * kPanel + static_cast<size_t>(r);
    scale_[slot] = bias_[slot] = norm_[slot] = error_[slot] = 0;
    start_[slot] = 0;
    offset_[slot] = 0;
    if (r >= count) continue;
    const int64_t row = rows[r];
    const double lost = load(kernels, source, row, x);
    need_norm(kernels, source, x, row);
    const double weight = source.norm ? 1 / source.norm[row] : 1;
    double along = 0;  // m.x
    if (format_ == Format::i8) {
      const Quantized q =
          kernels.pack_i8(x, static_cast<float>(weight), center ? center->value.data() : nullptr,
                          dim_, x + dim_, words + r);
      scale_[slot] = q.scale;
      norm_[slot] = q.norm;
      error_[slot] = up(q.error + lost * weight);
      start_[slot] = -128 * q.total;
      if (center) along = kernels.dot_wide(x, center->wide.data(), dim_) * weight;
    } else {
      float* out = reinterpret_cast<float*>(words) + r;
      for (int64_t i = 0; i < dim_; ++i) out[i * kPanel] = x[i];
      const double square = source.wide ? kernels.dot_wide(x, source.wide_row(row), dim_)
                                        : kernels.dot(x, source.half_row(row), dim_);
      scale_[slot] = static_cast<float>(weight);
      norm_[slot] = up(std::sqrt(square) * weight * (1 + 0x1p-20) + 1e-30);
      error_[slot] = up(lost * weight);
    }
    bias_[slot] = static_cast<float>(along - (source.penalty ? source.penalty[row] : 0));
    offset_[slot] = along - (center ? center->square : 0);
    facts.largest_norm = std::max(facts.largest_norm, norm_[slot] + error_[slot]);
    facts.largest_error = std::max(facts.largest_error, error_[slot]);
    facts.largest_bias = std::max(facts.largest_bias, std::fabs(bias_[slot]));
  }
  facts_[static_cast<size_t>(panel)] = facts;
}

BoundFactors bound_factors(const Panels& rows, int64_t panel, int row, int64_t dim) {
  const double norm = rows.norm(panel, row), error = rows.error(panel, row);
  double chain = 16;
  if (rows.format() == Format::f32) {
    chain += static_cast<double>(std::min<int64_t>(dim, kBlockGroups) +
                                 (dim + kBlockGroups - 1) / kBlockGroups + 4);
  }
  return {up(error + chain * kUnit * (norm + error)), up(norm)};
}

Center mean_center(const Kernels& kernels, const Operand& operand, int64_t begin, int64_t end) {
  constexpr int64_t kSample = 64;
  const int64_t n = std::min(end - begin, kSample);
  const size_t dim = static_cast<size_t>(operand.dim);
  Center center{std::vector<float>(dim), std::vector<double>(dim, 0.0), 0};
  for (int64_t s = 0; s < n; ++s) {
    const int64_t row = begin + (end - begin) * s / n;
    load(kernels, operand, row, center.value.data());
    need_norm(kernels, operand, center.value.data(), row);
    const double weight = (operand.norm ? 1 / operand.norm[row] : 1) / static_cast<double>(n);
    for (size_t i = 0; i < dim; ++i) center.wide[i] += center.value[i] * weight;
  }
  for (size_t i = 0; i < dim; ++i) {
    center.value[i] = static_cast<float>(center.wide[i]);
    center.wide[i] = center.value[i];
    center.square += center.wide[i] * center.wide[i];
  }
  return center;
}

}  // namespace tamis::cpu
