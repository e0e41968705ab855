#include "tamis/kmeans.h"

#include <algorithm>
#include <cstring>

#include "cpu/level.h"
#include "cpu/parallel.h"
#include "cpu/search.h"

namespace tamis {
namespace {

constexpr int64_t kRowsAtOnce = 4096;

// |c|^2 / 2 of every centroid, in float64.
std::vector<double> half_squares(const cpu::Kernels& kernels, const Centroids& centroids,
                                 const Context& context) {
  const int64_t dim = centroids.half.dim;
  std::vector<double> penalty(static_cast<size_t>(centroids.half.n_rows));
  cpu::parallel_for(centroids.half.n_rows, context, [&](int64_t c, int) {
    double square;
    if (centroids.wide) {
      square = kernels.norm_squared(centroids.wide + c * dim, dim);
    } else {
      std::vector<float> wide(static_cast<size_t>(dim));
      kernels.widen(centroids.half.row(c), dim, wide.data());
      square = kernels.dot(wide.data(), centroids.half.row(c), dim);
    }
    penalty[static_cast<size_t>(c)] = square / 2;
  });
  return penalty;
}

// A search that starts from an exact score has a floor from its first tile on.
void score_guesses(const cpu::Search& search, const int32_t* guess, const Context& context) {
  const int64_t n_rows = search.rows.n;
  std::vector<std::vector<float>> buffers(static_cast<size_t>(context.n_threads));
  cpu::parallel_for((n_rows + kRowsAtOnce - 1) / kRowsAtOnce, context, [&](int64_t t, int thread) {
    auto& wide = buffers[static_cast<size_t>(thread)];
    wide.resize(static_cast<size_t>(search.rows.dim));
    for (int64_t row = t * kRowsAtOnce; row < std::min(n_rows, (t + 1) * kRowsAtOnce); ++row) {
      search.kernels->widen(search.rows.half_row(row), search.rows.dim, wide.data());
      search.scores[row * search.top] = cpu::exact_score(
          *search.kernels, search.rows, search.columns, wide.data(), row, guess[row]);
      search.indices[row * search.top] = guess[row];
    }
  });
}

// Rows in the order of their labels.
struct Grouping {
  std::vector<int64_t> begin;  // [n_clusters + 1]
  std::vector<int64_t> row;    // [n_rows]

  Grouping(const int32_t* labels, int64_t n_rows, int64_t n_clusters)
      : begin(static_cast<size_t>(n_clusters) + 1), row(static_cast<size_t>(n_rows)) {
    for (int64_t i = 0; i < n_rows; ++i) ++begin[static_cast<size_t>(labels[i]) + 1];
    for (int64_t c = 0; c < n_clusters; ++c) begin[c + 1] += begin[c];
    std::vector<int64_t> next(begin.begin(), begin.end() - 1);
    for (int64_t i = 0; i < n_rows; ++i) row[next[labels[i]]++] = i;
  }
};

}  // namespace

Counts assign(const HalfRows& x, const Centroids& centroids, Metric metric, int top,
              const int32_t* guess, int32_t* labels, double* scores, const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  std::vector<double> penalty;
  if (metric == Metric::euclidean) penalty = half_squares(kernels, centroids, context);
  const int64_t n = x.n_rows * top;
  std::vector<int64_t> indices(static_cast<size_t>(n), -1);
  std::fill(scores, scores + n, -std::numeric_limits<double>::infinity());
  cpu::Search search;
  search.kernels = &kernels;
  search.rows = {x.n_rows, x.dim, x.data, nullptr, nullptr, nullptr};
  search.columns = {centroids.half.n_rows, x.dim,   centroids.half.data,
                    centroids.wide,        nullptr, penalty.empty() ? nullptr : penalty.data()};
  search.sight.kind = Sight::all;
  search.top = top;
  search.scores = scores;
  search.indices = indices.data();
  if (guess) score_guesses(search, guess, context);
  const Counts counts = cpu::run(search, {{0, x.n_rows, 0, centroids.half.n_rows}}, context);
  for (int64_t i = 0; i < n; ++i) labels[i] = static_cast<int32_t>(indices[i]);
  return counts;
}

void update_centroids(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                      bool spherical, uint16_t* next, const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  const int64_t dim = x.dim, n_clusters = centroids.n_rows;
  const Grouping grouping(labels, x.n_rows, n_clusters);
  // A cluster larger than kRowsAtOnce is summed in parts; float64 sums of float16 rows are exact,
  // so neither the parts nor their order matter.
  struct Part {
    int64_t cluster, begin, end, slot;
  };
  std::vector<Part> parts;
  std::vector<int64_t> first_slot(static_cast<size_t>(n_clusters) + 1);
  int64_t n_slots = 0;
  for (int64_t c = 0; c < n_clusters; ++c) {
    first_slot[c] = n_slots;
    const int64_t begin = grouping.begin[c], end = grouping.begin[c + 1];
    const bool split = end - begin > kRowsAtOnce;
    for (int64_t b = begin; split && b < end; b += kRowsAtOnce) {
      parts.push_back({c, b, std::min(b + kRowsAtOnce, end), n_slots++});
    }
  }
  first_slot[n_clusters] = n_slots;
  std::vector<double> partial(static_cast<size_t>(n_slots * dim), 0.0);
  cpu::parallel_for(static_cast<int64_t>(parts.size()), context, [&](int64_t p, int) {
    const Part& part = parts[static_cast<size_t>(p)];
    double* sum = &partial[static_cast<size_t>(part.slot * dim)];
    for (int64_t r = part.begin; r < part.end; ++r) {
      kernels.add(x.row(grouping.row[static_cast<size_t>(r)]), dim, sum);
    }
  });
  constexpr int64_t kClustersAtOnce = 8;
  const int64_t n_tasks = (n_clusters + kClustersAtOnce - 1) / kClustersAtOnce;
  cpu::parallel_for(n_tasks, context, [&](int64_t task, int) {
    std::vector<double> sum(static_cast<size_t>(dim));
    const int64_t last = std::min(n_clusters, (task + 1) * kClustersAtOnce);
    for (int64_t c = task * kClustersAtOnce; c < last; ++c) {
      std::fill(sum.begin(), sum.end(), 0.0);
      if (first_slot[c] < first_slot[c + 1]) {
        for (int64_t s = first_slot[c]; s < first_slot[c + 1]; ++s) {
          for (int64_t i = 0; i < dim; ++i) sum[i] += partial[static_cast<size_t>(s * dim + i)];
        }
      } else {
        for (int64_t r = grouping.begin[c]; r < grouping.begin[c + 1]; ++r) {
          kernels.add(x.row(grouping.row[static_cast<size_t>(r)]), dim, sum.data());
        }
      }
      const int64_t count = grouping.begin[c + 1] - grouping.begin[c];
      const double divisor =
          spherical ? std::sqrt(kernels.norm_squared(sum.data(), dim)) : static_cast<double>(count);
      if (divisor > 0) {
        kernels.divide(sum.data(), divisor, dim, next + c * dim);
      } else {
        std::memcpy(next + c * dim, centroids.row(c), static_cast<size_t>(dim) * 2);
      }
    }
  });
}

namespace {

// |x - c|^2 in units of 2^-48, of any two float16 rows, as float32.
__int128 squared_distance(const float* x, const float* c, int64_t dim) {
  __int128 sum = 0;
  for (int64_t i = 0; i < dim; ++i) {
    const int64_t difference =
        static_cast<int64_t>(x[i] * 0x1p24f) - static_cast<int64_t>(c[i] * 0x1p24f);
    sum += static_cast<__int128>(difference) * difference;
  }
  return sum;
}

}  // namespace

Inertia inertia(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                const Context& context) {
  const cpu::Kernels& kernels = cpu::kernels();
  const int64_t dim = x.dim;
  std::vector<double> square(static_cast<size_t>(centroids.n_rows));
  std::vector<std::vector<float>> buffers(static_cast<size_t>(context.n_threads));
  cpu::parallel_for(centroids.n_rows, context, [&](int64_t c, int thread) {
    auto& wide = buffers[static_cast<size_t>(thread)];
    wide.resize(static_cast<size_t>(dim));
    kernels.widen(centroids.row(c), dim, wide.data());
    square[static_cast<size_t>(c)] = kernels.dot(wide.data(), centroids.row(c), dim);
  });
  const int64_t n_tasks = (x.n_rows + kRowsAtOnce - 1) / kRowsAtOnce;
  std::vector<__int128> sums(static_cast<size_t>(n_tasks));
  cpu::parallel_for(n_tasks, context, [&](int64_t task, int thread) {
    auto& wide = buffers[static_cast<size_t>(thread)];
    wide.resize(2 * static_cast<size_t>(dim));
    float* centroid = wide.data() + dim;
    __int128 sum = 0;
    const int64_t end = std::min(x.n_rows, (task + 1) * kRowsAtOnce);
    for (int64_t row = task * kRowsAtOnce; row < end; ++row) {
      const int32_t label = labels[row];
      kernels.widen(x.row(row), dim, wide.data());
      if (square[label] > 9) {  // no mean of rows: a first centroid that was given
        kernels.widen(centroids.row(label), dim, centroid);
        sum += squared_distance(wide.data(), centroid, dim);
        continue;
      }
      const double own = kernels.dot(wide.data(), x.row(row), dim);
      const double cross = kernels.dot(wide.data(), centroids.row(label), dim);
      // Every term is a multiple of 2^-48 below 2^5: the float64 arithmetic is exact.
      sum += static_cast<int64_t>((own - 2 * cross + square[label]) * 0x1p48);
    }
    sums[static_cast<size_t>(task)] = sum;
  });
  __int128 total = 0;
  for (const __int128 sum : sums) total += sum;
  return {static_cast<int64_t>(total >> 64), static_cast<uint64_t>(total)};
}

}  // namespace tamis
