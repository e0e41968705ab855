// Rows packed for the tile kernels, with what is needed to bound the error of a tile's scores.
//
// score(i, j) is approximated from the packed words as
//     f = tile(i, j) * scale_i * scale_j + bias_j            (float32)
// and score(i, j) = f + offset_i + error, |error| <= error_bound(...).
//
// i8. Rows are divided by their norm where the score is a cosine, a common center m is taken away,
//   and the rest v is rounded to int8: v = scale q + e. With u = x - m, w = y - m:
//   x.y = u.w + m.y + m.x - m.m;  bias_j = m.y_j (- penalty), offset_i = m.x_i - m.m, and
//   |u.w - (scale q).(scale q)| <= |e_i| |w_j| + |scale_i q_i| |e_j|   (Cauchy-Schwarz).
//   A center shrinks u and w, and both errors with them: copies at cosine 0.999 around their mean
//   have |u| of 0.03, and a margin a thousand times smaller than without it.
// f32. Words are the float16 numbers themselves. A tile sums 64 products in a chain and then the
//   chains: |error| <= (min(dim, 64) + ceil(dim / 64) + 4) 2^-24 |x| |y|.
// Both: the float32 steps around it are covered by 2^-20 (|u| |w| + largest |bias|).
#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

#include "cpu/operand.h"

namespace tamis::cpu {

enum class Format { i8, f32 };

struct PanelFacts {
  float largest_norm = 0, largest_error = 0, largest_bias = 0;

  void widen(const PanelFacts& other) {
    largest_norm = std::max(largest_norm, other.largest_norm);
    largest_error = std::max(largest_error, other.largest_error);
    largest_bias = std::max(largest_bias, other.largest_bias);
  }
};

// What is taken from every row of an i8 panel. Any center is correct; a mean of the rows makes
// short remainders.
struct Center {
  std::vector<float> value;  // [dim]
  std::vector<double> wide;  // the same numbers
  double square = 0;         // |center|^2
};

// The mean of at most 64 rows of [begin, end), evenly spread, divided by their norms where the
// operand has them.
Center mean_center(const Kernels& kernels, const Operand& operand, int64_t begin, int64_t end);

class Panels {
 public:
  Panels() = default;
  Panels(Format format, int64_t dim, int64_t n_panels);

  // Packs up to 48 rows of `source` as panel `panel`: rows[0..count) are row numbers. center: i8
  // only, or null. scratch: [2 * dim].
  void pack(const Kernels& kernels, const Operand& source, const int64_t* rows, int count,
            const Center* center, int64_t panel, float* scratch);

  Format format() const { return format_; }
  int64_t groups() const { return groups_; }
  int64_t bytes() const { return n_words_ * 4; }
  const uint32_t* words(int64_t panel) const { return words_.get() + panel * groups_ * kPanel; }
  const float* scale(int64_t panel) const { return &scale_[panel * kPanel]; }
  const float* bias(int64_t panel) const { return &bias_[panel * kPanel]; }
  const int32_t* start(int64_t panel) const { return &start_[panel * kPanel]; }
  float norm(int64_t panel, int row) const { return norm_[panel * kPanel + row]; }
  float error(int64_t panel, int row) const { return error_[panel * kPanel + row]; }
  double offset(int64_t panel, int row) const { return offset_[panel * kPanel + row]; }
  // The largest of a panel's rows, and of one row of it.
  const PanelFacts& facts(int64_t panel) const { return facts_[panel]; }
  PanelFacts facts(int64_t panel, int row) const {
    const size_t slot = static_cast<size_t>(panel) * kPanel + static_cast<size_t>(row);
    return {norm_[slot] + error_[slot], error_[slot], std::fabs(bias_[slot])};
  }

  static int64_t groups(Format format, int64_t dim) {
    return format == Format::i8 ? (dim + 3) / 4 : dim;
  }

 private:
  struct Free {
    void operator()(uint32_t* words) const { std::free(words); }
  };

  Format format_ = Format::f32;
  int64_t dim_ = 0, groups_ = 0, n_words_ = 0;
  std::unique_ptr<uint32_t, Free> words_;
  std::vector<float> scale_, bias_, norm_, error_;
  std::vector<int32_t> start_;
  std::vector<double> offset_;
  std::vector<PanelFacts> facts_;
};

// What of a row's error bound does not depend on the columns.
struct BoundFactors {
  float per_norm;   // times the columns' largest norm
  float per_error;  // times the columns' largest error
};
BoundFactors bound_factors(const Panels& rows, int64_t panel, int row, int64_t dim);

// Bound on |score - (f + offset)| against every column of a panel.
inline float error_bound(const BoundFactors& row, const PanelFacts& columns) {
  return (row.per_norm * columns.largest_norm + row.per_error * columns.largest_error +
          0x1p-20f * columns.largest_bias) *
             (1 + 0x1p-18f) +
         1e-30f;
}

}  // namespace tamis::cpu
