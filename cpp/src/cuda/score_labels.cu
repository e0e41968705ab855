#include <algorithm>

#include "cuda/device/dot.h"
#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "tamis/cuda/kmeans.h"

namespace tamis::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A warp for each row. n_rows, n_columns: of a problem; kPacked: rows as warp_dot takes them.
template <bool kPacked>
__global__ void __launch_bounds__(kThreads)
    score(HalfRows x, HalfRows centroids, int64_t n_rows, int64_t n_columns, bool euclidean,
          const int32_t* labels, double* scores) {
  const auto dot = [&](const uint16_t* a, const uint16_t* b) {
    return kPacked ? warp_dot(a, b, x.dim) : warp_dot_of_any(a, b, x.dim);
  };
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; row < x.n_rows; row += stride) {
    const int32_t label = labels[row];
    if (label < 0 || label >= n_columns) continue;
    const int64_t first =
        row < n_rows ? 0 : row / n_rows * n_columns;  // one problem divides nothing
    const uint16_t* centroid = centroids.data + (first + label) * x.dim;
    double found = dot(x.data + row * x.dim, centroid);
    if (euclidean) found = subtract(found, multiply(dot(centroid, centroid), 0.5));
    if (threadIdx.x % 32 == 0) scores[row] = found;
  }
}

bool is_packed(const HalfRows& rows) {
  return reinterpret_cast<uintptr_t>(rows.data) % 16 == 0 && rows.dim % 8 == 0;
}

}  // namespace

void score_labels(const HalfRows& x, const HalfRows& centroids, Metric metric, int64_t n_problems,
                  const int32_t* labels, double* scores, Stream stream) {
  const Grid grid{std::min<int64_t>((x.n_rows + kWarps - 1) / kWarps, 1 << 16)};
  launch(is_packed(x) && is_packed(centroids) ? score<true> : score<false>, grid, kThreads, 0,
         stream, x, centroids, x.n_rows / n_problems, centroids.n_rows / n_problems,
         metric == Metric::euclidean, labels, scores);
}

}  // namespace tamis::cuda
