#include "tamis/max_cosine.h"

#include <algorithm>
#include <memory>

#include "cpu/level.h"
#include "cpu/parallel.h"
#include "cpu/search.h"

namespace tamis {

namespace cpu {

std::vector<double> norms(const Kernels& kernels, const HalfRows& x, const Context& context) {
  constexpr int64_t kRowsAtOnce = 1024;
  std::vector<double> norm(static_cast<size_t>(x.n_rows));
  parallel_for((x.n_rows + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t task, int) {
    std::vector<float> scratch(static_cast<size_t>(x.dim));
    const int64_t end = std::min(x.n_rows, (task + 1) * kRowsAtOnce);
    for (int64_t row = task * kRowsAtOnce; row < end; ++row) {
      kernels.widen(x.row(row), x.dim, scratch.data());
      norm[static_cast<size_t>(row)] = norm_of(kernels, scratch.data(), x.row(row), x.dim);
    }
  });
  return norm;
}

}  // namespace cpu

Counts max_cosine(const HalfRows& x, const Segments& segments, const HalfRows* other,
                  const Segments* other_segments, const Sight& sight, double* cosine,
                  int64_t* index, const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  std::vector<double> norm(static_cast<size_t>(x.n_rows), 0.0);  // filled in where needed
  std::vector<double> other_norm(static_cast<size_t>(other ? other->n_rows : 0), 0.0);
  std::fill(cosine, cosine + x.n_rows, -std::numeric_limits<double>::infinity());
  std::fill(index, index + x.n_rows, int64_t{-1});
  cpu::Search search;
  search.kernels = &kernels;
  search.rows = {x.n_rows, x.dim, x.data, nullptr, norm.data(), nullptr};
  search.columns =
      other ? cpu::Operand{other->n_rows, x.dim, other->data, nullptr, other_norm.data(), nullptr}
            : search.rows;
  search.same = !other;
  search.sight = sight;
  search.scores = cosine;
  search.indices = index;
  std::vector<cpu::Stretch> stretches;
  stretches.reserve(static_cast<size_t>(segments.n_segments));
  for (int64_t s = 0; s < segments.n_segments; ++s) {
    const int64_t* columns = other ? other_segments->offsets : segments.offsets;
    stretches.push_back({segments.offsets[s], segments.offsets[s + 1], columns[s], columns[s + 1]});
  }
  return cpu::run(search, stretches, context);
}

void paired_cosine(const HalfRows& x, const int64_t* i, const HalfRows& y, const int64_t* j,
                   int64_t n_pairs, double* cosine, const Context& context) {
  constexpr int64_t kPairsAtOnce = 1024;
  const cpu::Kernels& kernels = cpu::kernels();
  cpu::parallel_for((n_pairs + kPairsAtOnce - 1) / kPairsAtOnce, context, [&](int64_t task, int) {
    std::vector<float> scratch(static_cast<size_t>(x.dim));
    const int64_t end = std::min(n_pairs, (task + 1) * kPairsAtOnce);
    for (int64_t p = task * kPairsAtOnce; p < end; ++p) {
      kernels.widen(y.row(j[p]), x.dim, scratch.data());
      const double y_norm = cpu::norm_of(kernels, scratch.data(), y.row(j[p]), x.dim);
      kernels.widen(x.row(i[p]), x.dim, scratch.data());
      const double x_norm = cpu::norm_of(kernels, scratch.data(), x.row(i[p]), x.dim);
      const double dot = kernels.dot(scratch.data(), y.row(j[p]), x.dim);
      cosine[p] = dot / (x_norm * y_norm);
    }
  });
}

}  // namespace tamis
