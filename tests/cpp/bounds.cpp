// Measures |score - approximate score| against its bound, tile by tile, on rows that seek the
// largest error. One line for each tile: level, format, dimension, rows, largest ratio.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "cpu/level.h"
#include "cpu/panels.h"

namespace {

using namespace tamis::cpu;
using Row = std::vector<double>;
using Rows = std::vector<Row>;

std::mt19937 generator(1);

double normal() { return std::normal_distribution<double>()(generator); }
double uniform() { return std::uniform_real_distribution<double>()(generator); }
double sign() { return uniform() < 0.5 ? -1 : 1; }

template <class Element>
Rows unit_rows(int64_t dim, const Element& element) {
  Rows rows(kPanel, Row(static_cast<size_t>(dim)));
  for (Row& row : rows) {
    double square = 0;
    for (double& value : row) square += (value = element()) * value;
    for (double& value : row) value /= std::sqrt(square);
  }
  return rows;
}

// What rounding each row to steps of max|row| / 127 loses, as unit rows: the columns in whose
// direction the error of that row is largest. Every other one is turned round.
Rows along_the_error(const Rows& rows) {
  Rows errors = rows;
  for (size_t r = 0; r < rows.size(); ++r) {
    double largest = 0, square = 0;
    for (const double value : rows[r]) largest = std::max(largest, std::fabs(value));
    for (double& value : errors[r]) {
      value -= std::nearbyint(value * 127 / largest) * largest / 127;
      square += value * value;
    }
    if (square == 0) errors[r][0] = square = 1;
    for (double& value : errors[r]) value /= std::sqrt(square) * (r % 2 ? -1 : 1);
  }
  return errors;
}

std::vector<uint16_t> halves(const Kernels& kernels, const Rows& rows, int64_t dim) {
  std::vector<uint16_t> bits(rows.size() * static_cast<size_t>(dim));
  for (size_t r = 0; r < rows.size(); ++r) {
    kernels.divide(rows[r].data(), 1, dim, &bits[r * static_cast<size_t>(dim)]);
  }
  return bits;
}

enum class Score { cosine, dot, euclidean };

// The largest ratio of a tile, over all its pairs.
double largest_ratio(const Kernels& kernels, Format format, int64_t dim, const Rows& x,
                     const Rows& y, Score score) {
  const auto x_bits = halves(kernels, x, dim), y_bits = halves(kernels, y, dim);
  std::vector<double> x_norm(kPanel), y_norm(kPanel), penalty(kPanel);
  const bool cosine = score == Score::cosine;
  const Operand rows{kPanel, dim, x_bits.data(), nullptr, cosine ? x_norm.data() : nullptr,
                     nullptr};
  Operand columns{kPanel, dim, y_bits.data(), nullptr, cosine ? y_norm.data() : nullptr, nullptr};
  std::vector<float> wide(2 * static_cast<size_t>(dim));
  int64_t numbers[kPanel];
  for (int64_t j = 0; j < kPanel; ++j) {
    kernels.widen(columns.half_row(j), dim, wide.data());
    penalty[static_cast<size_t>(j)] = kernels.dot(wide.data(), columns.half_row(j), dim) / 2;
    numbers[j] = j;
  }
  if (score == Score::euclidean) columns.penalty = penalty.data();
  const Center mean = mean_center(kernels, columns, 0, kPanel);
  const Center* center = format == Format::i8 ? &mean : nullptr;
  Panels row_panel(format, dim, 1), column_panel(format, dim, 1);
  row_panel.pack(kernels, rows, numbers, kPanel, center, 0, wide.data());
  column_panel.pack(kernels, columns, numbers, kPanel, center, 0, wide.data());

  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> threshold(kPanel, -infinity), margin(kPanel, infinity);
  const std::vector<uint64_t> sight(kPanel, ~0ull >> (64 - kPanel));
  const Scan scan{kPanel,          row_panel.scale(0),    margin.data(),
                  sight.data(),    column_panel.scale(0), column_panel.bias(0),
                  threshold.data()};
  alignas(64) static float tile[kPanel * kPanel];
  std::vector<Hit> hits(kPanel * kPanel);
  if (format == Format::i8) {
    int32_t* sums = reinterpret_cast<int32_t*>(tile);
    kernels.tile_i8(row_panel.words(0), column_panel.words(0), column_panel.groups(), kPanel,
                    row_panel.start(0), sums);
    hits.resize(static_cast<size_t>(kernels.scan_i8(sums, scan, hits.data())));
  } else {
    kernels.tile_f32(row_panel.words(0), column_panel.words(0), column_panel.groups(), kPanel,
                     tile);
    hits.resize(static_cast<size_t>(kernels.scan_f32(tile, scan, hits.data())));
  }
  double largest = hits.size() == kPanel * kPanel ? 0 : infinity;
  for (const Hit& hit : hits) {
    kernels.widen(rows.half_row(hit.row), dim, wide.data());
    const double exact = exact_score(kernels, rows, columns, wide.data(), hit.row, hit.column);
    const double bound =
        error_bound(bound_factors(row_panel, 0, hit.row, dim), column_panel.facts(0, hit.column));
    const double error = std::fabs(exact - (hit.score + row_panel.offset(0, hit.row)));
    largest = error <= bound ? std::max(largest, error / bound) : infinity;
    if (largest == infinity) break;
  }
  return largest;
}

}  // namespace

int main() {
  const Kernels& kernels = tamis::cpu::kernels();
  for (const int64_t dim : {2, 3, 16, 65, 768, 4096, 65536}) {
    const Rows root = unit_rows(dim, normal);
    std::map<std::string, Rows> families{
        {"normal", unit_rows(dim, normal)},
        {"signs", unit_rows(dim, sign)},
        {"wide-range", unit_rows(dim, [] { return sign() * std::exp2(-24 * uniform()); })},
        {"copies", Rows(kPanel, root[0])},
        {"along-the-error", along_the_error(root)},
    };
    families["near-copies"] = families["copies"];
    for (Row& row : families["near-copies"]) row[generator() % row.size()] *= 1 + 0x1p-11;
    for (const auto& [name, columns] : families) {
      for (const Score score : {Score::cosine, Score::dot, Score::euclidean}) {
        for (const Format format : {Format::i8, Format::f32}) {
          if (format == Format::i8 ? !kernels.tile_i8 : dim > 4096) continue;
          std::printf("%s %s %lld %s %.6f\n", kernels.name, format == Format::i8 ? "i8" : "f32",
                      static_cast<long long>(dim), name.c_str(),
                      largest_ratio(kernels, format, dim, root, columns, score));
        }
      }
    }
  }
}
