#include "cpu/above.h"

#include <new>

namespace tamis::cpu {

Above::Above(const Kernels& kernels, const Operand& x, float threshold, bool with_cosine)
    : kernels_(kernels),
      x_(x),
      threshold_(threshold),
      with_cosine_(with_cosine),
      format_(kernels.tile_i8 ? Format::i8 : Format::f32),
      scratch_(static_cast<size_t>(x.dim) * 2),
      wide_(static_cast<size_t>(x.dim)),
      row_threshold_(kPanel),
      row_margin_(kPanel, std::numeric_limits<float>::infinity()),
      sight_(kPanel),
      hits_(kPanel * kPanel),
      tile_(static_cast<float*>(std::aligned_alloc(64, kPanel * kPanel * sizeof(float))),
            std::free) {
  if (!tile_) throw std::bad_alloc();
}

void Above::pack(Panels& panels, int64_t panel, int64_t begin, int count, const Center& center) {
  int64_t rows[kPanel];
  for (int r = 0; r < count; ++r) rows[r] = begin + r;
  panels.pack(kernels_, x_, rows, count, format_ == Format::i8 ? &center : nullptr, panel,
              scratch_.data());
}

void Above::find(const Panels& rows, int64_t row_panel, int64_t row, int n_rows,
                 const Panels& columns, int64_t column_panel, int64_t column, int n_columns,
                 std::vector<Edge>& edges) {
  double bound[kPanel], offset[kPanel];
  for (int r = 0; r < n_rows; ++r) {
    const int64_t visible = std::clamp<int64_t>(row + r - column, 0, n_columns);
    sight_[r] = visible ? ~0ull >> (64 - visible) : 0;
    bound[r] = error_bound(bound_factors(rows, row_panel, r, x_.dim), columns.facts(column_panel)) +
               0x1p-21;
    offset[r] = rows.offset(row_panel, r);
    row_threshold_[r] = static_cast<float>(threshold_ - offset[r] - bound[r] - 0x1p-21);
  }
  const Scan scan{n_rows,
                  rows.scale(row_panel),
                  row_margin_.data(),
                  sight_.data(),
                  columns.scale(column_panel),
                  columns.bias(column_panel),
                  row_threshold_.data()};
  int n_hits;
  if (format_ == Format::i8) {
    int32_t* out = reinterpret_cast<int32_t*>(tile_.get());
    kernels_.tile_i8(rows.words(row_panel), columns.words(column_panel), columns.groups(), n_rows,
                     rows.start(row_panel), out);
    n_hits = kernels_.scan_i8(out, scan, hits_.data());
  } else {
    kernels_.tile_f32(rows.words(row_panel), columns.words(column_panel), columns.groups(), n_rows,
                      tile_.get());
    n_hits = kernels_.scan_f32(tile_.get(), scan, hits_.data());
  }
  // float32(c) > threshold for every c at or above the next float32.
  const double certain = std::nextafterf(threshold_, std::numeric_limits<float>::infinity());
  int wide_row = -1;
  for (int h = 0; h < n_hits; ++h) {
    const int r = hits_[h].row;
    const int64_t i = row + r, j = column + hits_[h].column;
    float cosine = std::numeric_limits<float>::quiet_NaN();
    if (with_cosine_ || hits_[h].score + offset[r] - bound[r] < certain) {
      if (wide_row != r) kernels_.widen(x_.half_row(i), x_.dim, wide_.data());
      wide_row = r;
      cosine = static_cast<float>(exact_score(kernels_, x_, x_, wide_.data(), i, j));
      if (!(cosine > threshold_)) continue;
    }
    edges.push_back({i, j, cosine});
  }
}

}  // namespace tamis::cpu
