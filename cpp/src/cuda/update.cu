#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/row_lanes.h"
#include "tamis/cuda/update.h"

namespace tamis::cuda {
namespace {

// A cluster's rows are summed in parts of so many, one warp for each part and each slab of columns.
constexpr int64_t kPartRows = 256;
constexpr int kThreads = 256;
constexpr int64_t kWarps = kThreads / 32;
constexpr int kScanThreads = 1024;
constexpr size_t kAlignment = 256;

using Counter = unsigned long long;  // what CUDA's atomics take for 64 bits

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// There are fewer parts, unless every cluster but one has a short last part.
int64_t most_parts(int64_t n_rows, int64_t n_clusters) { return n_clusters + n_rows / kPartRows; }

// The rows of one call in the order of their labels, and the parts of their clusters.
struct Grouping {
  Counter* left;          // [n_clusters] rows counted, then rows not placed yet
  int64_t* begin;         // [n_clusters + 1] in row
  int64_t* part_begin;    // [n_clusters + 1] in part_cluster
  int32_t* part_cluster;  // [most_parts]
  int64_t* row;           // [n_rows]

  // Lays the arrays out from `at` on; returns their bytes.
  static size_t place(void* at, int64_t n_rows, int64_t n_clusters, Grouping* grouping) {
    char* const base = static_cast<char*>(at);
    size_t bytes = 0;
    const auto take = [&](auto*& array, int64_t length) {
      using Item = std::remove_reference_t<decltype(*array)>;
      if (base != nullptr) array = reinterpret_cast<Item*>(base + bytes);
      bytes += aligned(static_cast<size_t>(length) * sizeof(Item));
    };
    take(grouping->left, n_clusters);
    take(grouping->begin, n_clusters + 1);
    take(grouping->part_begin, n_clusters + 1);
    take(grouping->part_cluster, most_parts(n_rows, n_clusters));
    take(grouping->row, n_rows);
    return bytes;
  }
};

// Adds `step` to the counter of every lane's label, as if one lane after another did; returns what
// the lane found there. Lanes that share the first one's label go together: a giant cluster would
// hold up every row otherwise.
__device__ Counter add_to_label(Counter* counters, int32_t label, bool counts, Counter step) {
  const unsigned wanting = __ballot_sync(kWholeWarp, counts);
  const int first = wanting == 0 ? 0 : __ffs(static_cast<int>(wanting)) - 1;
  const int32_t common = __shfl_sync(kWholeWarp, label, first);
  const bool shares = counts && label == common;
  const unsigned sharing = __ballot_sync(kWholeWarp, shares);
  const int lane = static_cast<int>(threadIdx.x % 32);
  Counter found = 0;
  if (shares ? lane == first : counts) {
    found =
        atomicAdd(&counters[label], shares ? step * static_cast<Counter>(__popc(sharing)) : step);
  }
  const Counter before = __shfl_sync(kWholeWarp, found, first);
  const int rank = __popc(sharing & ((1u << lane) - 1));
  return shares ? before + step * static_cast<Counter>(rank) : found;
}

__device__ bool is_label(int32_t label, int64_t n_clusters) {
  return label >= 0 && label < n_clusters;
}

// n_rows, n_clusters: of one problem; blockIdx.y: which.
__global__ void __launch_bounds__(kThreads)
    count_rows(const int32_t* labels, int64_t n_rows, int64_t n_clusters, Counter* count) {
  const int64_t row = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  const int32_t label = row < n_rows ? labels[blockIdx.y * n_rows + row] : -1;
  add_to_label(count + blockIdx.y * n_clusters, label, is_label(label, n_clusters), 1);
}

__global__ void __launch_bounds__(kThreads)
    place_rows(const int32_t* labels, int64_t n_rows, int64_t n_clusters, Grouping grouping) {
  const int64_t row = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  const int64_t first_row = blockIdx.y * n_rows, first_cluster = blockIdx.y * n_clusters;
  const int32_t label = row < n_rows ? labels[first_row + row] : -1;
  const bool counts = is_label(label, n_clusters);
  const Counter left =
      add_to_label(grouping.left + first_cluster, label, counts, ~Counter{0});  // one less
  if (!counts) return;
  const int64_t begin = grouping.begin[first_cluster + label];
  grouping.row[begin + static_cast<int64_t>(left) - 1] = first_row + row;
}

// How many rows and parts; sums of them.
struct Extent {
  long long rows = 0, parts = 0;

  __device__ void operator+=(const Extent& other) {
    rows += other.rows;
    parts += other.parts;
  }
};

// The sum of the values of this and all earlier threads of the warp.
__device__ Extent inclusive_of_warp(Extent value) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  for (int distance = 1; distance < 32; distance *= 2) {
    Extent other;
    other.rows = __shfl_up_sync(kWholeWarp, value.rows, static_cast<unsigned>(distance));
    other.parts = __shfl_up_sync(kWholeWarp, value.parts, static_cast<unsigned>(distance));
    if (lane >= distance) value += other;
  }
  return value;
}

struct ScanShared {
  Extent warp[32];  // [warps] sums
};

// The sum of the values of all earlier threads of the block; total: of all threads.
__device__ Extent exclusive_of_block(const Extent& value, Extent* total) {
  auto& shared = *reinterpret_cast<ScanShared*>(shared_memory());
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Extent inclusive = inclusive_of_warp(value);
  __syncthreads();  // the warps of the round before have read
  if (lane == 31) shared.warp[warp] = inclusive;
  __syncthreads();
  Extent before;
  *total = Extent();
  for (unsigned w = 0; w < kScanThreads / 32; ++w) {
    if (w < warp) before += shared.warp[w];
    *total += shared.warp[w];
  }
  inclusive += before;
  inclusive.rows -= value.rows;
  inclusive.parts -= value.parts;
  return inclusive;
}

// One block. Where the rows and the parts of every cluster begin.
__global__ void __launch_bounds__(kScanThreads)
    scan_clusters(int64_t n_clusters, Grouping grouping) {
  constexpr int kEach = 4;
  Extent done;
  for (int64_t round = 0; round <= n_clusters; round += kEach * kScanThreads) {
    const int64_t first = round + int64_t{threadIdx.x} * kEach;
    Extent own[kEach], sum, total;
    for (int i = 0; i < kEach; ++i) {
      if (first + i < n_clusters) own[i].rows = static_cast<long long>(grouping.left[first + i]);
      own[i].parts = (own[i].rows + kPartRows - 1) / kPartRows;
      sum += own[i];
    }
    Extent at = exclusive_of_block(sum, &total);
    at += done;
    for (int i = 0; i < kEach && first + i <= n_clusters; ++i) {
      grouping.begin[first + i] = at.rows;
      grouping.part_begin[first + i] = at.parts;
      at += own[i];
    }
    done += total;
  }
}

// Names the cluster of every part, and adds to the clusters' counts.
__global__ void __launch_bounds__(kThreads)
    list_parts(int64_t n_clusters, Grouping grouping, int64_t* count) {
  const int64_t cluster = blockIdx.x * int64_t{kThreads} + threadIdx.x;
  if (cluster >= n_clusters) return;
  const int64_t end = grouping.part_begin[cluster + 1];
  for (int64_t part = grouping.part_begin[cluster]; part < end; ++part) {
    grouping.part_cluster[part] = static_cast<int32_t>(cluster);
  }
  count[cluster] += grouping.begin[cluster + 1] - grouping.begin[cluster];
}

// How a warp covers rows: `lanes` neighbours read kWidth columns each, 32 / lanes rows at a time.
struct Cover {
  int lanes;      // a power of two, at most 32
  int64_t slabs;  // of lanes * kWidth columns
};

template <int kWidth>
Cover cover_of(int64_t dim) {
  Cover cover{1, 0};
  while (cover.lanes < 32 && cover.lanes * kWidth < dim) cover.lanes *= 2;
  cover.slabs = blocks_of(dim, cover.lanes * kWidth);
  return cover;
}

// A warp for each part and slab. Nothing else adds to the sum of a cluster that has one part.
template <int kWidth>
__global__ void __launch_bounds__(kThreads)
    add_parts(const uint16_t* x, int64_t dim, int64_t n_clusters, Grouping grouping, Cover cover,
              double* sums) {
  const int64_t unit = blockIdx.x * kWarps + threadIdx.x / 32;
  const int64_t part = unit / cover.slabs;
  if (part >= grouping.part_begin[n_clusters]) return;  // the whole warp
  const int64_t cluster = grouping.part_cluster[part];
  const int64_t first_part = grouping.part_begin[cluster];
  const bool alone = grouping.part_begin[cluster + 1] == first_part + 1;
  const int64_t begin = grouping.begin[cluster] + (part - first_part) * kPartRows;
  const int64_t end = min(begin + kPartRows, grouping.begin[cluster + 1]);
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int64_t column = (unit % cover.slabs * cover.lanes + lane % cover.lanes) * int64_t{kWidth};
  const int64_t own_end = column < dim ? end : begin;

  double sum[kWidth] = {};
#pragma unroll 4
  for (int64_t r = begin + lane / cover.lanes; r < own_end; r += 32 / cover.lanes) {
    const auto values =
        *reinterpret_cast<const Halves<kWidth>*>(x + grouping.row[r] * dim + column);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) sum[i] = add(sum[i], half_to_double(values.value[i]));
  }
  for (int distance = cover.lanes; distance < 32; distance *= 2) {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      sum[i] = add(sum[i], __shfl_xor_sync(kWholeWarp, sum[i], distance));
    }
  }
  if (lane >= cover.lanes || column >= dim) return;
  double* to = sums + cluster * dim + column;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if (alone) {
      to[i] = add(to[i], sum[i]);
    } else {
      atomicAdd(&to[i], sum[i]);
    }
  }
}

template <int kWidth>
void launch_parts(const HalfRows& x, int64_t n_clusters, const Grouping& grouping, double* sums,
                  Stream stream) {
  const Cover cover = cover_of<kWidth>(x.dim);
  const int64_t units = most_parts(x.n_rows, n_clusters) * cover.slabs;
  launch(add_parts<kWidth>, Grid{blocks_of(units, kWarps)}, kThreads, 0, stream, x.data, x.dim,
         n_clusters, grouping, cover, sums);
}

// sum / |sum| where spherical, else sum / count; a cluster without either keeps its centroid.
__global__ void __launch_bounds__(kRowThreads)
    divide_sums(ClusterSums sums, const uint16_t* centroids, int64_t n_clusters, int64_t dim,
                bool spherical, uint16_t* next) {
  const int64_t cluster = row_of_lane();
  const int64_t width = cluster < n_clusters ? dim : 0;
  const int64_t begin = cluster < n_clusters ? cluster * dim : 0;
  const double* sum = sums.sum + begin;
  double divisor = 0;
  if (spherical) {
    divisor = square_root(norm_squared(width, [&](int64_t i) { return sum[i]; }));
  } else if (cluster < n_clusters) {
    divisor = static_cast<double>(sums.count[cluster]);
  }
#pragma unroll 4
  for (int64_t i = lane_of_row(); i < width; i += kRowLanes) {
    next[begin + i] = divisor > 0 ? double_to_half(divide(sum[i], divisor)) : centroids[begin + i];
  }
}

// update_centroids: the sums lie before add_rows' work.
size_t sum_bytes(int64_t dim, int64_t n_clusters) {
  return aligned(static_cast<size_t>(n_clusters * dim) * sizeof(double));
}
size_t count_bytes(int64_t n_clusters) {
  return aligned(static_cast<size_t>(n_clusters) * sizeof(int64_t));
}

}  // namespace

size_t add_rows_work_bytes(int64_t n_rows, int64_t n_clusters) {
  Grouping grouping;
  return Grouping::place(nullptr, n_rows, n_clusters, &grouping);
}

void add_rows(const HalfRows& x, const int32_t* labels, int64_t n_clusters, int64_t n_problems,
              const ClusterSums& sums, void* work, Stream stream) {
  if (x.n_rows == 0 || n_clusters == 0) return;
  Grouping grouping;
  Grouping::place(work, x.n_rows, n_clusters, &grouping);
  const int64_t own_rows = x.n_rows / n_problems, own_clusters = n_clusters / n_problems;
  const Grid row_blocks{blocks_of(own_rows, kThreads), n_problems};
  fill(grouping.left, 0, static_cast<size_t>(n_clusters) * sizeof(Counter), stream);
  launch(count_rows, row_blocks, kThreads, 0, stream, labels, own_rows, own_clusters,
         grouping.left);
  launch(scan_clusters, Grid{1}, kScanThreads, sizeof(ScanShared), stream, n_clusters, grouping);
  launch(list_parts, Grid{blocks_of(n_clusters, kThreads)}, kThreads, 0, stream, n_clusters,
         grouping, sums.count);
  launch(place_rows, row_blocks, kThreads, 0, stream, labels, own_rows, own_clusters, grouping);
  if (can_read_wide(x)) {
    launch_parts<kWide>(x, n_clusters, grouping, sums.sum, stream);
  } else {
    launch_parts<1>(x, n_clusters, grouping, sums.sum, stream);
  }
}

void next_centroids(const ClusterSums& sums, const HalfRows& centroids, bool spherical,
                    uint16_t* next, Stream stream) {
  launch(divide_sums, Grid{blocks_of(centroids.n_rows, kRowsPerBlock)}, kRowThreads, 0, stream,
         sums, centroids.data, centroids.n_rows, centroids.dim, spherical, next);
}

size_t update_work_bytes(int64_t n_rows, int64_t dim, int64_t n_clusters) {
  return sum_bytes(dim, n_clusters) + count_bytes(n_clusters) +
         add_rows_work_bytes(n_rows, n_clusters);
}

void update_centroids(const HalfRows& x, const int32_t* labels, const HalfRows& centroids,
                      bool spherical, uint16_t* next, void* work, Stream stream) {
  char* const base = static_cast<char*>(work);
  const size_t counts_at = sum_bytes(centroids.dim, centroids.n_rows);
  const size_t rest_at = counts_at + count_bytes(centroids.n_rows);
  const ClusterSums sums{reinterpret_cast<double*>(base),
                         reinterpret_cast<int64_t*>(base + counts_at)};
  fill(base, 0, rest_at, stream);
  add_rows(x, labels, centroids.n_rows, 1, sums, base + rest_at, stream);
  next_centroids(sums, centroids, spherical, next, stream);
}

}  // namespace tamis::cuda
