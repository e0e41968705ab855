// A kernel of one producer and one warpgroup that tries what sm_90a adds, and makes every mistake
// with it that the emulation must find.
#include "cuda/device/launch.h"
#include "cuda/device/warpgroup.h"
#include "exports.h"

namespace {

using namespace tamis::cuda;

// One mistake each.
enum Mistake {
  barrier_not_made,
  barrier_not_ready,
  barrier_not_shared,
  barrier_made_twice,
  barrier_overwritten,
  one_arrival_too_many,
  nobody_copies,
  box_misaligned,
  box_past_shared,
  rows_misaligned,
  operand_misaligned,
  operand_element,
  operand_past_shared,
  operand_made_up,
  no_begin,
  sums_changed,
  three_warps_multiply,
  other_order,
  half_a_warp_multiplies,
  products_not_awaited,
  slice_not_awaited,
  one_warp_awaits,
  nothing_there,
  stage_not_free,
  left_too_early,
  one_warp_leaves,
  copied_twice,
  read_too_early,
  wrote_before_product,
  rewritten_unfenced,
  rewritten_alone,
  wrote_after_product,
  wrote_before_copy,
  block_ends_early,
  arrives_in_ended_block,
  copy_not_awaited,
  three_warps_ask_for_registers,
  half_a_warp_asks_for_registers,
  too_few_bytes,
  too_many_bytes,
  no_bytes,
  trapped,
  // What must go well.
  not_a_mistake,
  sums_stored_early,  // but nothing is there
  rewritten,
  ends_by_barriers,
};

static_assert(sizeof(Barrier) == 8 && alignof(Barrier) == 8);

constexpr int kStages = 2;
constexpr int kRows = 64, kColumns = 256;
constexpr int kThreads = 256;  // the second warpgroup copies

struct alignas(1024) Ring {
  uint16_t a[kStages][kRows * kBoxElements];
  uint16_t b[kStages][kColumns * kBoxElements];
  Barrier full[kStages], empty[kStages], other;
};

template <int kCluster>
__device__ void prepare(Ring& ring, int mistake) {
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      barrier_init(ring.full[stage], 1);
      barrier_init(ring.empty[stage], mistake == one_warp_leaves ? kCluster : 4 * kCluster);
    }
    if (mistake == barrier_made_twice) barrier_init(ring.full[0], 1);
    if (mistake != barrier_not_made) barrier_init(ring.other, 128);
    if (mistake != barrier_not_ready) barriers_are_ready();
  }
  if (mistake == barrier_not_shared) return;
  if (kCluster > 1) {
    cluster_sync();
  } else {
    __syncthreads();
  }
}

// One thread.
template <int kCluster>
__device__ void copy_slices(const TensorMap& a, const TensorMap& b, int n_slices, Ring& ring,
                            int mistake) {
  constexpr int kPart = kColumns / kCluster;
  const int part = static_cast<int>(cluster_block()) * kPart;
  const int row = static_cast<int>(blockIdx.x) * kRows;
  int bytes = (kRows + kColumns) * kBoxRowBytes;
  if (mistake == too_few_bytes) bytes -= 16;
  if (mistake == too_many_bytes) bytes += 16;
  if (mistake == nothing_there) bytes = kRows * kBoxRowBytes;
  prefetch(a);
  for (int i = 0; i < n_slices; ++i) {
    const int stage = i % kStages;
    const unsigned parity = i / kStages % 2;
    Barrier& full = ring.full[stage];
    if (mistake != stage_not_free) barrier_wait(ring.empty[stage], parity ^ 1);
    if (mistake == nobody_copies) return;
    if (mistake == no_bytes) {
      barrier_arrive(full);
    } else {
      barrier_expect(full, bytes);
    }
    unsigned char* to = reinterpret_cast<unsigned char*>(ring.a[stage]);
    if (mistake == box_misaligned) to += 128;
    if (mistake == box_past_shared) to += sizeof(Ring) / 1024 * 1024;
    if (mistake == wrote_before_copy) *to = 1;
    copy_box(to, a, i * kBoxElements, row, full);
    if (mistake == copied_twice) copy_box(to, a, i * kBoxElements, row, full);
    if (mistake == nothing_there) continue;
    if (kCluster > 1) {
      copy_box_to(ring.b[stage] + part * kBoxElements, b, i * kBoxElements, part, full,
                  (1 << kCluster) - 1);
    } else {
      copy_box(ring.b[stage], b, i * kBoxElements, 0, full);
    }
  }
  if (mistake != ends_by_barriers) return;
  for (int i = n_slices - kStages; i < n_slices; ++i) {
    barrier_wait(ring.empty[i % kStages], static_cast<unsigned>(i / kStages % 2));
  }
}

// All threads of the warpgroup write what they read, for the products that follow.
__device__ void rewrite(Ring& ring, int stage, unsigned parity, int mistake) {
  auto* row = reinterpret_cast<volatile unsigned char*>(ring.b[stage]) + threadIdx.x * kBoxRowBytes;
  for (int i = 0; i < kBoxRowBytes; ++i) row[i] = row[i];
  if (mistake != rewritten_unfenced) barriers_are_ready();
  if (mistake == rewritten_alone) return;
  barrier_arrive(ring.other);
  barrier_wait(ring.other, parity);
}

// c: [64 x 256]
__device__ void store(const float (&d)[128], float* c) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  for (int i = 0; i < 128; ++i) {
    const int row = 16 * warp + lane / 4 + i % 4 / 2 * 8;
    c[row * kColumns + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
  }
}

// The four products of a slice.
__device__ void multiply_slice(const Ring& ring, int stage, bool first, int mistake,
                               float (&d)[128]) {
  const int warp = static_cast<int>(threadIdx.x / 32), lane = static_cast<int>(threadIdx.x % 32);
  const uint16_t* b = ring.b[stage];
  if (mistake == operand_misaligned) b += kBoxElements;
  if (mistake == operand_past_shared) b += 512 * kBoxElements;
  if (mistake != no_begin) wgmma_begin(d);
  if (mistake == sums_changed) d[7] = 1;
  for (int k = 0; k < kBoxElements; k += 16) {
    if (mistake == three_warps_multiply && warp == 3 && k == 48) continue;
    if (mistake == half_a_warp_multiplies && lane < 16 && k == 48) continue;
    const int from = mistake == other_order && warp == 2 ? k ^ 16 : k;
    uint64_t rows = operand(ring.a[stage], from);
    if (mistake == operand_made_up) rows ^= uint64_t{1} << 33;
    wgmma_m64n256k16(d, rows, operand(b, mistake == operand_element ? k + 8 : k),
                     first && k == 0 ? 0 : 1);
  }
  wgmma_commit();
}

template <int kCluster>
__device__ void leave(Ring& ring, int stage, int mistake) {
  const unsigned lane = threadIdx.x % 32;
  if (mistake == one_warp_leaves && threadIdx.x >= 32) return;
  if (kCluster > 1) {
    if (lane < kCluster) barrier_arrive_in(ring.empty[stage], lane);
  } else {
    if (lane == 0) barrier_arrive(ring.empty[stage]);
  }
}

// A warpgroup. c: [64 x 256]
template <int kCluster>
__device__ void multiply_slices(int n_slices, Ring& ring, float* c, int mistake) {
  const bool is_one = threadIdx.x == 5;
  auto* bytes = reinterpret_cast<unsigned char*>(&ring);
  float d[128];
  for (int i = 0; i < 128; ++i) d[i] = 1e9f;
  for (int i = 0; i < n_slices; ++i) {
    const int stage = i % kStages;
    const unsigned parity = i / kStages % 2;
    const bool waits = mistake != slice_not_awaited && mistake != read_too_early &&
                       (mistake != one_warp_awaits || threadIdx.x < 32);
    if (waits) barrier_wait(ring.full[stage], parity);
    if (mistake == read_too_early) d[3] = bytes[threadIdx.x];
    if (mistake == wrote_before_product && is_one) bytes[0] = 1;
    if (mistake == rewritten || mistake == rewritten_unfenced || mistake == rewritten_alone) {
      rewrite(ring, stage, static_cast<unsigned>(i) % 2, mistake);
    }
    multiply_slice(ring, stage, i == 0, mistake, d);
    if (mistake == wrote_after_product && is_one) bytes[128 * 5] = 1;
    if (i > 0 && mistake != left_too_early) {
      wgmma_wait<1>(d);
      leave<kCluster>(ring, (i - 1) % kStages, mistake);
    }
    if (mistake == left_too_early) leave<kCluster>(ring, stage, mistake);
  }
  if (mistake == products_not_awaited) return;
  if (mistake == sums_stored_early) store(d, c);
  wgmma_wait<0>(d);
  if (mistake != left_too_early) leave<kCluster>(ring, (n_slices - 1) % kStages, mistake);
  if (mistake != sums_stored_early) store(d, c);
}

__device__ void ask_for_registers(int mistake) {
  const unsigned warp = threadIdx.x / 32;
  if (mistake == three_warps_ask_for_registers && warp == 6) return;
  if (mistake == half_a_warp_asks_for_registers && threadIdx.x % 32 < 16) return;
  if (warp >= 4) {
    registers_for_few();
  } else {
    registers_for_many();
  }
}

// Mistakes that need no products.
template <int kCluster>
__device__ bool err(const TensorMap& a, Ring& ring, int mistake) {
  const bool is_one = threadIdx.x == 0;
  switch (mistake) {
    case barrier_not_made:
      barrier_wait(ring.other, 0);
      return true;
    case barrier_overwritten:
      if (is_one) ring.full[1].word = 7;
      if (is_one) barrier_arrive(ring.full[1]);
      return true;
    case one_arrival_too_many:
      if (is_one) barrier_expect(ring.full[1], 16);
      if (is_one) barrier_arrive(ring.full[1]);
      return true;
    case arrives_in_ended_block:
      if (is_one && cluster_block() == 0) barrier_arrive_in(ring.full[0], 1);
      return true;
    case copy_not_awaited:
      if (is_one) barrier_expect(ring.full[0], kRows * kBoxRowBytes);
      if (is_one) copy_box(ring.a[0], a, 0, 0, ring.full[0]);
      return true;
    case trapped:
      __trap();
      return true;
    default:
      return false;
  }
}

// c[row, column] = a[row] b[column] of 64 rows a block. c: [64 * blocks x 256]
template <int kCluster>
__global__ void __launch_bounds__(kThreads)
    multiply(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* c,
             int n_slices, int mistake) {
  Ring& ring = *reinterpret_cast<Ring*>(shared_memory());
  prepare<kCluster>(ring, mistake);
  if (err<kCluster>(a, ring, mistake)) return;
  ask_for_registers(mistake);
  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128) copy_slices<kCluster>(a, b, n_slices, ring, mistake);
  } else {
    float* to = c + static_cast<int64_t>(blockIdx.x) * kRows * kColumns;
    multiply_slices<kCluster>(n_slices, ring, to, mistake);
  }
  const bool ends_alone = mistake == block_ends_early || mistake == ends_by_barriers;
  if (kCluster > 1 && !ends_alone) cluster_sync();
}

// A box that lies anywhere, as it is in shared memory, copied over what threads wrote and read.
// out: [box_rows x 64]
__global__ void copy_one(const __grid_constant__ TensorMap map, int element, int row,
                         uint16_t* out) {
  auto* box = reinterpret_cast<uint16_t*>(shared_memory());
  auto& barrier = *reinterpret_cast<Barrier*>(box + 256 * kBoxElements);
  const int lane = static_cast<int>(threadIdx.x), size = map.box_rows * kBoxElements;
  if (lane == 0) barrier_init(barrier, 1);
  for (int i = lane; i < size; i += 32) box[i] = 7;
  barriers_are_ready();
  __syncthreads();
  for (unsigned phase = 0; phase < 2; ++phase) {
    if (lane == 0) {
      barrier_expect(barrier, map.box_rows * kBoxRowBytes);
      copy_box(box, map, phase == 0 ? 0 : element, phase == 0 ? 0 : row, barrier);
    }
    barrier_wait(barrier, phase);
    for (int i = lane; i < size; i += 32) out[i] = box[i];
    __syncwarp();
  }
}

__global__ void nothing() { cluster_sync(); }

}  // namespace

extern "C" {

// a: [64 * blocks x dim]; b: [256 x dim]; c: [64 * blocks x 256]
TAMIS_EXPORT const char* try_sm90(const uint16_t* a, const uint16_t* b, float* c, int64_t dim,
                                  int64_t blocks, int64_t cluster, int64_t mistake) {
  return tamis::emulation::guarded([&] {
    const auto n_slices = static_cast<int>((dim + kBoxElements - 1) / kBoxElements);
    const int part = kColumns / static_cast<int>(cluster);
    const int err = static_cast<int>(mistake);
    const TensorMap rows{a + (err == rows_misaligned ? 4 : 0), blocks * kRows, dim, kRows};
    const TensorMap columns{b, kColumns, dim, part};
    launch_clusters(cluster == 1 ? multiply<1> : multiply<2>, blocks / cluster,
                    static_cast<int>(cluster), kThreads, sizeof(Ring), Stream{}, rows, columns, c,
                    n_slices, err);
  });
}
TAMIS_EXPORT const char* try_copy_box(const uint16_t* x, int64_t n_rows, int64_t dim,
                                      int64_t box_rows, int64_t element, int64_t row,
                                      uint16_t* out) {
  return tamis::emulation::guarded([&] {
    const TensorMap map{x, n_rows, dim, static_cast<int>(box_rows)};
    launch(copy_one, Grid{}, 32, 256 * kBoxRowBytes + 8, Stream{}, map, static_cast<int>(element),
           static_cast<int>(row), out);
  });
}
// What a launch in clusters answers. facts: ptxVersion, binaryVersion
TAMIS_EXPORT const char* try_launch_clusters(int64_t blocks, int64_t cluster, int64_t* facts) {
  return tamis::emulation::guarded([&] {
    cudaFuncAttributes attributes;
    check(cudaFuncGetAttributes(&attributes, nothing), "read a fact about a kernel");
    facts[0] = attributes.ptxVersion;
    facts[1] = attributes.binaryVersion;
    cudaLaunchAttribute in_clusters{};
    in_clusters.id = cudaLaunchAttributeClusterDimension;
    in_clusters.val.clusterDim.x = static_cast<unsigned>(cluster);
    in_clusters.val.clusterDim.y = in_clusters.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(blocks));
    config.blockDim = dim3(32);
    config.attrs = &in_clusters;
    config.numAttrs = 1;
    void* none = nullptr;
    check(cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(nothing), &none),
          "launch a kernel");
  });
}

}  // extern "C"
