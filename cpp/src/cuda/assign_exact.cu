#include <algorithm>

#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/shortlist.h"
#include "tamis/cuda/kmeans.h"

namespace tamis::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kLanes = 8;  // of one sum, in the order of tamis/canonical.h
constexpr int kAtOnce = 32 / kLanes;
constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ double widen(uint16_t value) { return half_to_double(value); }
__device__ __forceinline__ double widen(double value) { return value; }

// x.y by eight lanes: lane i sums the elements i mod 8. All lanes of the warp call it. x, y: [dim]
template <class X, class Y>
__device__ __forceinline__ double ordered_dot(const X* x, const Y* y, int64_t dim) {
  double sum = 0;
  for (int64_t i = threadIdx.x % kLanes; i < dim; i += kLanes) {
    sum = add(sum, multiply(widen(x[i]), widen(y[i])));
  }
  sum = add(sum, __shfl_xor_sync(kAllLanes, sum, 4));
  sum = add(sum, __shfl_xor_sync(kAllLanes, sum, 2));
  return add(sum, __shfl_xor_sync(kAllLanes, sum, 1));
}

// |c|^2 / 2. Every warp takes four centroids. centroids: [n_clusters x dim]
template <class Element>
__global__ void __launch_bounds__(kThreads)
    penalize_exactly(const Element* centroids, int64_t n_clusters, int64_t dim, double* penalty) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * (kThreads / kLanes);
  int64_t base = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * kAtOnce;
  for (; base < n_clusters; base += stride) {
    const int64_t c = base + threadIdx.x % 32 / kLanes;
    const Element* centroid = centroids + (c < n_clusters ? c : base) * dim;
    const double square = ordered_dot(centroid, centroid, dim);
    if (c < n_clusters && threadIdx.x % kLanes == 0) penalty[c] = multiply(square, 0.5);
  }
}

// Puts one more into a list in order. best: [top], kNoColumn where there is none yet.
__host__ __device__ inline void insert(Best* best, int top, const Best& next) {
  int place = top - 1;
  if (!beats(next, best[place])) return;
  for (; place > 0 && beats(next, best[place - 1]); --place) best[place] = best[place - 1];
  best[place] = next;
}

// A warp for each row, four centroids at a time. penalty: [n_clusters], or null for dot.
template <class Element>
__global__ void __launch_bounds__(kThreads)
    score_all(HalfRows x, const Element* centroids, int64_t n_clusters, const double* penalty,
              int top, int32_t* labels, double* scores) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  Best* best = reinterpret_cast<Best*>(shared_memory()) + warp * top;  // [top]
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t row = static_cast<int64_t>(blockIdx.x) * kWarps + warp;
  for (; row < x.n_rows; row += stride) {
    for (int i = lane; i < top; i += 32) best[i] = {0, kNoColumn};
    __syncwarp();
    for (int64_t base = 0; base < n_clusters; base += kAtOnce) {
      const int64_t column = base + lane / kLanes;
      const int64_t inside = column < n_clusters ? column : base;
      double score = ordered_dot(x.data + row * x.dim, centroids + inside * x.dim, x.dim);
      if (penalty != nullptr) score = subtract(score, penalty[inside]);
      const Best mine = {score, static_cast<int32_t>(column)};
      const bool enters = column < n_clusters && beats(mine, best[top - 1]);
      if (__ballot_sync(kAllLanes, enters) == 0) continue;
      __syncwarp();  // all have read the list
      for (int i = 0; i < kAtOnce; ++i) {
        const Best next = {__shfl_sync(kAllLanes, score, i * kLanes),
                           static_cast<int32_t>(base + i)};
        if (lane == 0 && base + i < n_clusters) insert(best, top, next);
      }
      __syncwarp();
    }
    for (int i = lane; i < top; i += 32) {
      labels[row * top + i] = best[i].column;
      scores[row * top + i] = best[i].score;
    }
    __syncwarp();
  }
}

Grid blocks_for(int64_t n, int64_t per_block) {
  const int64_t most = static_cast<int64_t>(device(current_device()).sms) * 32;
  return {std::min((n + per_block - 1) / per_block, most)};
}

template <class Element>
void assign_all(const HalfRows& x, const Element* centroids, int64_t n_clusters, Metric metric,
                int top, int32_t* labels, double* scores, void* work, Stream stream) {
  double* penalty = metric == Metric::euclidean ? static_cast<double*>(work) : nullptr;
  if (penalty != nullptr) {
    launch(penalize_exactly<Element>, blocks_for(n_clusters, kThreads / kLanes), kThreads, 0,
           stream, centroids, n_clusters, x.dim, penalty);
  }
  launch(score_all<Element>, blocks_for(x.n_rows, kWarps), kThreads,
         sizeof(Best) * static_cast<size_t>(kWarps * top), stream, x, centroids, n_clusters,
         penalty, top, labels, scores);
}

}  // namespace

size_t assign_exact_work_bytes(const HalfRows&, const Centroids& centroids, Metric metric) {
  const auto n_clusters = static_cast<size_t>(centroids.half.n_rows);
  return metric == Metric::euclidean ? n_clusters * sizeof(double) : 0;
}

void assign_exact(const HalfRows& x, const Centroids& centroids, Metric metric, int top,
                  int32_t* labels, double* scores, void* work, Stream stream) {
  const int64_t n_clusters = centroids.half.n_rows;
  if (top < 1 || top > kMostTop || top > n_clusters) {
    throw Error("top must be between 1 and the smaller of " + std::to_string(kMostTop) + " and " +
                std::to_string(n_clusters) + " centroids, got " + std::to_string(top));
  }
  if (centroids.wide != nullptr) {
    assign_all(x, centroids.wide, n_clusters, metric, top, labels, scores, work, stream);
  } else {
    assign_all(x, centroids.half.data, n_clusters, metric, top, labels, scores, work, stream);
  }
}

}  // namespace tamis::cuda
