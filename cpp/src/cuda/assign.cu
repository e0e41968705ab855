#include <algorithm>

#include "cuda/device/collect.h"
#include "cuda/device/dot.h"
#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "cuda/device/shortlist.h"
#include "cuda/find_candidates.h"
#include "cuda/pack.h"
#include "cuda/splits.h"
#include "cuda/tensor_map.h"
#include "tamis/cuda/kmeans.h"

namespace tamis::cuda {
namespace {

// Of 128 rows an SM, for the rows at once: full ones leave no SM idle.
constexpr int64_t kWaves = 32;
constexpr int kWarps = kBlockThreads / 32;

// |c|^2 / 2 of the centroids, for euclidean; null for dot.
struct Penalty {
  double* exact = nullptr;  // [n_clusters]
  float* bias = nullptr;    // [n_clusters] its negative, rounded
};

// Of one problem.
struct Sizes {
  int64_t rows, columns;

  // Of the problem that a row of all belongs to; where there is one only, nothing is divided.
  __device__ __forceinline__ int64_t first_column(int64_t row) const {
    return row < rows ? 0 : row / rows * columns;
  }
};

// Where a row's next best goes: behind the n that it has.
struct Found {
  int32_t* labels;
  double* scores;  // or null
  int32_t top, n;

  __device__ __forceinline__ void put(int64_t row, const Best& best) const {
    labels[row * top + n] = best.column;
    if (scores != nullptr) scores[row * top + n] = best.score;
  }
  __device__ __forceinline__ bool has(int64_t row, int64_t column) const {
    for (int i = 0; i < n; ++i) {
      if (labels[row * top + i] == column) return true;
    }
    return false;
  }
};

// Rows with too many candidates, in any order.
struct Rescans {
  unsigned long long* count = nullptr;
  int32_t* row = nullptr;  // [n_rows]
};

// A warp for each centroid.
__global__ void __launch_bounds__(kBlockThreads) penalize(HalfRows centroids, Penalty penalty) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t c = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; c < centroids.n_rows; c += stride) {
    const uint16_t* centroid = centroids.data + c * centroids.dim;
    const double half = multiply(warp_dot(centroid, centroid, centroids.dim), 0.5);
    if (threadIdx.x % 32 == 0) {
      penalty.exact[c] = half;
      penalty.bias[c] = static_cast<float>(-half);
    }
  }
}

__device__ __forceinline__ double exact_score(const HalfRows& x, const HalfRows& centroids,
                                              const double* penalty, int64_t row, int64_t column) {
  const int64_t dim = x.dim;
  const double dot = warp_dot(x.data + row * dim, centroids.data + column * dim, dim);
  return penalty != nullptr ? subtract(dot, penalty[column]) : dot;
}

// Called by one thread.
__device__ __forceinline__ void count(int64_t* counter, int64_t n) {
  atomicAdd(reinterpret_cast<unsigned long long*>(counter), static_cast<unsigned long long>(n));
}

// What it takes to decide among the candidates of rows. penalty: null for dot; sizes: of the
// problems.
struct Decision {
  HalfRows x, centroids;
  Sizes sizes;
  const double* penalty;
  float margin;
  CandidateLists lists;
  Found found;
  Rescans rescans;
  Counts* counts;  // or null
};

struct Tally {
  int64_t rows = 0, rescored = 0, rescans = 0;

  __device__ __forceinline__ void add_to(Counts* counts, bool again) const {
    if (threadIdx.x % 32 != 0 || counts == nullptr || rows == 0) return;
    if (!again) count(&counts->rows, rows);
    count(&counts->rescored, rescored);
    if (rescans != 0) count(&counts->climbed, rescans);
  }
};

// One warp, by scores. only: the row's only candidate, or kSeveral.
__device__ __forceinline__ void decide_row(const Decision& to, int64_t row, int32_t only,
                                           Tally& tally) {
  const int64_t first = to.sizes.first_column(row);
  const auto score = [&](int32_t column) {
    return exact_score(to.x, to.centroids, to.penalty, row, first + column);
  };
  const Best best = best_of(to.lists, row, only, to.margin, tally.rescored, score);
  tally.rescans += best.column == kRescan;
  if (threadIdx.x % 32 != 0) return;
  if (best.column == kRescan) {
    to.rescans.row[atomicAdd(to.rescans.count, 1ull)] = static_cast<int32_t>(row);
  } else {
    to.found.put(row, best);
  }
}

// A lane for each row looks whether there is anything to decide, a warp scores what needs a score:
// all rows, if scores are wanted (kScored), else those with several candidates. Warps have
// per_warp rows at once, 32 at most.
template <bool kScored>
__global__ void __launch_bounds__(kBlockThreads, 4) decide(Decision to, int32_t per_warp) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps * per_warp;
  int64_t first = (static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32) * per_warp;
  Tally tally;
  for (; first < to.x.n_rows; first += stride) {
    const int64_t n = min(to.x.n_rows - first, int64_t{per_warp});
    const int32_t only = lane < n ? only_candidate(to.lists, first + lane, to.margin) : kNoColumn;
    const bool needs_score = only == kSeveral || (kScored && only != kNoColumn);
    if (lane < n && !needs_score) to.found.put(first + lane, {0, only});
    for (unsigned left = __ballot_sync(0xffffffffu, needs_score); left != 0; left &= left - 1) {
      const int next = __ffs(static_cast<int>(left)) - 1;
      decide_row(to, first + next, __shfl_sync(0xffffffffu, only, next), tally);
    }
    tally.rows += n;
  }
  tally.add_to(to.counts, to.found.n > 0);
}

// A block for each row to rescan, against all columns.
__global__ void __launch_bounds__(kBlockThreads, 4)
    rescan(HalfRows x, HalfRows centroids, Sizes sizes, const double* penalty, Rescans rescans,
           Found found, Counts* counts) {
  Best* of_warp = reinterpret_cast<Best*>(shared_memory());  // [kWarps]
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int64_t n = static_cast<int64_t>(*rescans.count);
  const double error = quick_dot_error(x.dim) + 0x1p-40;  // and that of the sum below
  int64_t n_rescored = 0;
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    const int64_t row = rescans.row[i];
    const int64_t first = sizes.first_column(row);
    Best best = {0, kNoColumn};
    for (int64_t column = warp; column < sizes.columns; column += kWarps) {
      const double quick =
          quick_warp_dot(x.data + row * x.dim, centroids.data + (first + column) * x.dim, x.dim);
      const double most = quick + error - (penalty != nullptr ? penalty[first + column] : 0);
      if ((best.column != kNoColumn && most < best.score) || found.has(row, column)) continue;
      const Best next = {exact_score(x, centroids, penalty, row, first + column),
                         static_cast<int32_t>(column)};
      ++n_rescored;
      if (beats(next, best)) best = next;
    }
    if (threadIdx.x % 32 == 0) of_warp[warp] = best;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < kWarps; ++w) {
        if (beats(of_warp[w], best)) best = of_warp[w];
      }
      found.put(row, best);
    }
    __syncthreads();  // before the next row overwrites what was found
  }
  if (threadIdx.x % 32 != 0 || counts == nullptr || n_rescored == 0) return;
  count(&counts->rescored, n_rescored);
}

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// The parts of the work memory, and how much is done at once.
struct Plan {
  Sizes sizes;
  // More than one problem at once has all of its rows at once.
  int64_t problems_at_once = 1, rows_at_once = 0, columns_per_split = 0;
  int sms = 0;
  Mainloop mainloop = Mainloop::mma;
  int32_t splits = 1;
  // Where each part begins.
  size_t rows = 0, centroids = 0, exact = 0, bias = 0, list = 0, count = 0, rescans = 0,
         rescan_count = 0, bytes = 0;

  Plan(const HalfRows& x, const HalfRows& centroids, Metric metric, int64_t n_problems)
      : sizes{x.n_rows / n_problems, centroids.n_rows / n_problems} {
    const int ordinal = current_device();
    sms = device(ordinal).sms;
    mainloop = centroids.n_rows <= kMostMappedRows ? mainloop_of(ordinal) : Mainloop::mma;
    const Pace pace = pace_of(mainloop, sms);
    const int64_t most_rows = kWaves * sms * kBlockRows;
    const int64_t each = std::max<int64_t>(1, sizes.rows);
    problems_at_once =
        std::clamp<int64_t>(most_rows / each, 1, std::min(n_problems, kMostProblems));
    rows_at_once = problems_at_once * std::min(sizes.rows, most_rows);
    const int64_t row_groups = problems_at_once * ceil_div(std::min(each, most_rows), pace.rows);
    const int64_t tiles = ceil_div(sizes.columns, pace.tile_columns);
    columns_per_split = tiles_per_split(row_groups, tiles, pace.groups_at_once) * pace.tile_columns;
    splits = static_cast<int32_t>(ceil_div(sizes.columns, columns_per_split));
    const auto n_rows = static_cast<size_t>(rows_at_once);
    const auto n_clusters = static_cast<size_t>(centroids.n_rows);
    const auto n_lists = n_rows * static_cast<size_t>(splits);
    const size_t per_cluster = metric == Metric::euclidean ? n_clusters : 0;
    rows = take(packed_bytes({x.data, rows_at_once, x.dim}));
    this->centroids = take(packed_bytes(centroids));
    exact = take(per_cluster * sizeof(double));
    bias = take(per_cluster * sizeof(float));
    list = take(n_lists * kCandidates * sizeof(Candidate));
    count = take(n_lists * sizeof(int32_t));
    rescans = take(n_rows * sizeof(int32_t));
    rescan_count = take(sizeof(unsigned long long));
  }

  template <class T>
  static T* at(void* work, size_t offset) {
    return reinterpret_cast<T*>(static_cast<unsigned char*>(work) + offset);
  }

 private:
  size_t take(size_t size) {
    const size_t begin = bytes;
    bytes = (bytes + size + 255) / 256 * 256;
    return begin;
  }
};

// Warps of a grid that walks n items, one a warp.
Grid warps_for(int64_t n, int sms) {
  return {std::min(ceil_div(n, kWarps), static_cast<int64_t>(sms) * 32)};
}

// Rows of one problem, or of some whole ones: one more label for each. x and centroids are packed.
void assign_part(const Plan& plan, const HalfRows& x, const HalfRows& centroids, int32_t n_problems,
                 const Penalty& penalty, const Found& found, Counts* counts, void* work,
                 Stream stream) {
  const CandidateLists lists = {Plan::at<Candidate>(work, plan.list),
                                Plan::at<int32_t>(work, plan.count), plan.splits};
  const Rescans rescans = {Plan::at<unsigned long long>(work, plan.rescan_count),
                           Plan::at<int32_t>(work, plan.rescans)};
  const Sizes sizes = {x.n_rows / n_problems, centroids.n_rows / n_problems};
  const Taken taken = {found.labels, found.top, found.n};
  // The bias and its addition are rounded by 2^-25 and 2^-24.
  const float margin = margin_of(dot_error(x.dim) + (penalty.bias != nullptr ? 0x1p-23 : 0));
  fill(rescans.count, 0, sizeof *rescans.count, stream);
  find_candidates(
      {x, centroids, n_problems, penalty.bias, margin, plan.columns_per_split, taken, lists},
      plan.mainloop, plan.sms, stream);
  const Decision decision = {x,     centroids, sizes,   penalty.exact, margin,
                             lists, found,     rescans, counts};
  const int64_t most_warps = int64_t{plan.sms} * 32 * kWarps;
  const auto per_warp = std::clamp<int64_t>(x.n_rows / most_warps, 1, 32);
  launch(found.scores != nullptr ? decide<true> : decide<false>,
         Grid{std::min(ceil_div(x.n_rows, per_warp * kWarps), most_warps / kWarps)}, kBlockThreads,
         0, stream, decision, static_cast<int32_t>(per_warp));
  launch(rescan, Grid{std::min<int64_t>(x.n_rows, plan.sms * 8)}, kBlockThreads,
         kWarps * sizeof(Best), stream, x, centroids, sizes, penalty.exact, rescans, found, counts);
}

}  // namespace

size_t assign_work_bytes(const HalfRows& x, const HalfRows& centroids, Metric metric,
                         int64_t n_problems) {
  return Plan(x, centroids, metric, n_problems).bytes;
}

void assign(const HalfRows& x, const HalfRows& centroids, Metric metric, int64_t n_problems,
            int top, int32_t* labels, double* scores, Counts* counts, void* work, Stream stream) {
  if (x.n_rows == 0) return;
  const Plan plan(x, centroids, metric, n_problems);
  const HalfRows columns = packed(centroids, Plan::at<void*>(work, plan.centroids), stream);
  const bool euclidean = metric == Metric::euclidean;
  Penalty penalty;
  if (euclidean) {
    penalty = {Plan::at<double>(work, plan.exact), Plan::at<float>(work, plan.bias)};
    launch(penalize, warps_for(columns.n_rows, plan.sms), kBlockThreads, 0, stream, columns,
           penalty);
  }
  // Whole problems, or parts of one.
  const auto [n_rows, n_columns] = plan.sizes;
  int64_t end = 0;
  for (int64_t begin = 0; begin < x.n_rows; begin = end) {
    const int64_t problem = begin / n_rows, last = problem + plan.problems_at_once;
    end = std::min(begin + plan.rows_at_once, std::min(last, n_problems) * n_rows);
    const int64_t first = problem * n_columns;
    const int64_t n_here = std::max<int64_t>(1, (end - begin) / n_rows);
    const HalfRows part = {x.data + begin * x.dim, end - begin, x.dim};
    const HalfRows targets = {columns.data + first * columns.dim, n_here * n_columns, columns.dim};
    const Penalty here = {euclidean ? penalty.exact + first : nullptr,
                          euclidean ? penalty.bias + first : nullptr};
    const HalfRows rows = packed(part, Plan::at<void*>(work, plan.rows), stream);
    Found found = {labels + begin * top, scores != nullptr ? scores + begin * top : nullptr, top,
                   0};
    for (; found.n < top; ++found.n) {
      assign_part(plan, rows, targets, static_cast<int32_t>(n_here), here, found, counts, work,
                  stream);
    }
  }
}

}  // namespace tamis::cuda
