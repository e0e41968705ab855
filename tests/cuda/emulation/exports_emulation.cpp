// Kernels that try the emulation itself, and the parts that are no kernels.
#include <vector>

#include "cuda/device/exact.h"
#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/matrix.h"
#include "exports.h"

namespace {

using namespace tamis::cuda;
using tamis::emulation::guarded;

// out[i] = sum of the block's values, by a tree in shared memory. x, out: [blocks x threads]
__global__ void __launch_bounds__(1024) block_sums(const double* x, double* out) {
  auto* values = reinterpret_cast<double*>(shared_memory());
  const int i = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  const int64_t at = static_cast<int64_t>(blockIdx.x) * n + i;
  values[i] = x[at];
  for (int half = n / 2; half >= 1; half /= 2) {
    __syncthreads();
    if (i < half) values[i] += values[i + half];
  }
  __syncthreads();
  out[at] = values[0];
}

// What a warp's lanes see of each other. out: [8 x 32]
__global__ void warp_talk(const int64_t* x, int64_t* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const auto value = static_cast<long long>(x[lane]);
  out[lane] = __shfl_sync(~0u, value, lane + 1);
  out[32 + lane] = __shfl_xor_sync(~0u, value, 5);
  out[64 + lane] = __shfl_up_sync(~0u, value, 3, 16);
  out[96 + lane] = __shfl_down_sync(~0u, value, 3, 8);
  out[128 + lane] = __ballot_sync(~0u, value % 3 == 0);
  out[160 + lane] = __reduce_max_sync(~0u, static_cast<int>(value));
  out[192 + lane] = __any_sync(~0u, value == 7) + 2 * __all_sync(~0u, value >= 0);
  if (lane % 2 == 0) {
    out[224 + lane] = __shfl_sync(0x55555555u, static_cast<int>(value), 4);
  } else {
    out[224 + lane] = __ballot_sync(0xaaaaaaaau, lane > 9);
  }
}

__global__ void count(unsigned long long* total, double* sum, unsigned long long* largest) {
  auto* block = reinterpret_cast<int*>(shared_memory());
  if (threadIdx.x == 0) *block = 0;
  __syncthreads();
  atomicAdd(block, 1);
  __syncthreads();
  if (threadIdx.x == 0) {
    atomicAdd(total, static_cast<unsigned long long>(*block));
    atomicAdd(sum, 0.5 * *block);
    atomicMax(largest, static_cast<unsigned long long>(blockIdx.x + 100 * blockIdx.y));
  }
}

// c += a b^T with every load by ldmatrix, as cuda/device/matrix.h lays it out. One warp.
// a: [16 x 16 * steps], b: [16 x 16 * steps], c: [16 x 16]
__global__ void multiply_tile(const uint16_t* a, const uint16_t* b, float* c, int steps) {
  auto* tile = reinterpret_cast<uint16_t (*)[16][16]>(shared_memory());
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  float left[4] = {c[g * 16 + 2 * t], c[g * 16 + 2 * t + 1], c[(g + 8) * 16 + 2 * t],
                   c[(g + 8) * 16 + 2 * t + 1]};
  float right[4] = {c[g * 16 + 2 * t + 8], c[g * 16 + 2 * t + 9], c[(g + 8) * 16 + 2 * t + 8],
                    c[(g + 8) * 16 + 2 * t + 9]};
  for (int step = 0; step < steps; ++step) {
    const int row = lane / 2, half = 8 * (lane % 2);
    const int64_t at = row * 16 * static_cast<int64_t>(steps) + 16 * step + half;
    cp_async_16(&tile[0][row][half], a + at);
    cp_async_16(&tile[1][row][half], b + at);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    uint32_t fa[4], fb[4];
    ldmatrix_x4(fa, &tile[0][lane % 16][8 * (lane / 16)]);
    ldmatrix_x4(fb, &tile[1][lane % 8 + 8 * (lane / 16)][8 * (lane / 8 % 2)]);
    mma_m16n8k16(left, fa, fb[0], fb[1]);
    mma_m16n8k16(right, fa, fb[2], fb[3]);
    __syncwarp();
  }
  for (int i = 0; i < 4; ++i) {
    const int row = g + 8 * (i / 2), column = 2 * t + i % 2;
    c[row * 16 + column] = left[i];
    c[row * 16 + column + 8] = right[i];
  }
}

// Fragments as they are. a: [32 x 4], b: [32 x 2], d: [32 x 4]
__global__ void multiply_fragments(const uint32_t* a, const uint32_t* b, float* d) {
  const int lane = static_cast<int>(threadIdx.x);
  uint32_t fa[4];
  float fd[4];
  for (int i = 0; i < 4; ++i) {
    fa[i] = a[4 * lane + i];
    fd[i] = d[4 * lane + i];
  }
  mma_m16n8k16(fd, fa, b[2 * lane], b[2 * lane + 1]);
  for (int i = 0; i < 4; ++i) d[4 * lane + i] = fd[i];
}

// matrices: [4 x 8 x 8]; straight, transposed: [32 x 4]
__global__ void load_matrices(const uint16_t* matrices, uint32_t* straight, uint32_t* transposed) {
  auto* rows = reinterpret_cast<uint16_t (*)[8]>(shared_memory());
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 8; ++i) rows[lane][i] = matrices[8 * lane + i];
  __syncwarp();
  uint32_t r[4], s[4];
  ldmatrix_x4(r, rows[lane]);
  ldmatrix_x4_trans(s, rows[lane]);
  for (int i = 0; i < 4; ++i) {
    straight[4 * lane + i] = r[i];
    transposed[4 * lane + i] = s[i];
  }
}

// What shared memory holds before the wait, after it, and where a copy is short.
// x: [32 x 8]; early, late: [32 x 8]
__global__ void copy_late(const uint16_t* x, int bytes, uint16_t* early, uint16_t* late) {
  auto* rows = reinterpret_cast<uint16_t (*)[32][8]>(shared_memory());
  const int lane = static_cast<int>(threadIdx.x);
  cp_async_16(rows[0][lane], x + 8 * lane, bytes);
  cp_async_commit();
  cp_async_16(rows[1][lane], x + 8 * lane);
  cp_async_commit();
  cp_async_wait<1>();
  for (int i = 0; i < 8; ++i) {
    early[8 * lane + i] = rows[1][lane][i];
    late[8 * lane + i] = rows[0][lane][i];
  }
  cp_async_wait<0>();
}

// Sharing that barriers allow: every byte by every thread of a warp, then of the block, in turns.
__global__ void share(int* out) {
  const int i = static_cast<int>(threadIdx.x), lane = i % 32;
  auto* values = reinterpret_cast<int*>(shared_memory());
  values[i] = i;
  __syncwarp();
  int sum = values[i ^ 1] + values[i - lane];
  __syncwarp();
  values[i ^ 2] = sum;
  __syncthreads();
  sum = values[0] + values[(i + 40) % 64];
  __syncthreads();
  if (i == 0) values[0] = 0;
  __syncthreads();
  atomicAdd(&values[0], sum);
  atomicMax(&values[1], sum);
  __syncthreads();
  out[i] = values[0];
}

// The last block to come sums what all blocks wrote. parts: [blocks]; sum, arrived: [1]
__global__ void sum_at_the_end(uint32_t* parts, uint32_t* sum, unsigned* arrived) {
  if (threadIdx.x != 0) return;
  parts[blockIdx.x] = 10 + blockIdx.x;
  __threadfence();
  if (atomicAdd(arrived, 1u) + 1 < gridDim.x) return;
  __threadfence();
  *sum = 0;
  for (unsigned i = 0; i < gridDim.x; ++i) *sum += parts[i];
}

__global__ void nothing() {}

}  // namespace

extern "C" {

TAMIS_EXPORT const char* try_block_sums(const double* x, double* out, int64_t blocks,
                                        int64_t threads) {
  return guarded([&] {
    launch(block_sums, Grid{blocks}, static_cast<int>(threads),
           static_cast<size_t>(threads) * sizeof(double), Stream{}, x, out);
  });
}
TAMIS_EXPORT const char* try_warp_talk(const int64_t* x, int64_t* out) {
  return guarded([&] { launch(warp_talk, Grid{}, 32, 0, Stream{}, x, out); });
}
TAMIS_EXPORT const char* try_count(int64_t x, int64_t y, int64_t z, uint64_t* total, double* sum,
                                   uint64_t* largest) {
  return guarded([&] {
    launch(count, Grid{x, y, z}, 64, sizeof(int), Stream{},
           reinterpret_cast<unsigned long long*>(total), sum,
           reinterpret_cast<unsigned long long*>(largest));
  });
}
TAMIS_EXPORT const char* try_multiply_tile(const uint16_t* a, const uint16_t* b, float* c,
                                           int64_t steps) {
  return guarded(
      [&] { launch(multiply_tile, Grid{}, 32, 1024, Stream{}, a, b, c, static_cast<int>(steps)); });
}
TAMIS_EXPORT const char* try_multiply_fragments(const uint32_t* a, const uint32_t* b, float* d) {
  return guarded([&] { launch(multiply_fragments, Grid{}, 32, 0, Stream{}, a, b, d); });
}
TAMIS_EXPORT const char* try_load_matrices(const uint16_t* matrices, uint32_t* straight,
                                           uint32_t* transposed) {
  return guarded(
      [&] { launch(load_matrices, Grid{}, 32, 512, Stream{}, matrices, straight, transposed); });
}
TAMIS_EXPORT const char* try_copy_late(const uint16_t* x, int64_t bytes, uint16_t* early,
                                       uint16_t* late) {
  return guarded([&] {
    launch(copy_late, Grid{}, 32, 1024, Stream{}, x, static_cast<int>(bytes), early, late);
  });
}
TAMIS_EXPORT const char* try_share(int32_t* out) {
  return guarded([&] { launch(share, Grid{}, 64, 256, Stream{}, out); });
}
TAMIS_EXPORT const char* try_sum_at_the_end(int64_t blocks, uint32_t* parts, uint32_t* sum,
                                            uint32_t* arrived) {
  return guarded(
      [&] { launch(sum_at_the_end, Grid{blocks}, 32, 0, Stream{}, parts, sum, arrived); });
}
TAMIS_EXPORT const char* try_launch(int64_t blocks, int64_t threads, int64_t shared_bytes) {
  return guarded([&] {
    launch(nothing, Grid{blocks}, static_cast<int>(threads), static_cast<size_t>(shared_bytes),
           Stream{});
  });
}
TAMIS_EXPORT const char* try_memory(uint8_t* to, const uint8_t* from, int64_t bytes, int64_t byte) {
  return guarded([&] {
    copy(to, from, static_cast<size_t>(bytes), Stream{});
    fill(to + bytes, static_cast<int>(byte), static_cast<size_t>(bytes), Stream{});
    synchronize(Stream{});
  });
}
TAMIS_EXPORT const char* try_device(int64_t* facts) {
  return guarded([&] {
    const DeviceScope scope(0);
    const Device found = device(current_device());
    facts[0] = device_count();
    facts[1] = found.ordinal;
    facts[2] = found.sms;
    facts[3] = static_cast<int64_t>(found.shared_bytes);
    facts[4] = found.capability;
  });
}
TAMIS_EXPORT const char* try_missing_device() {
  return guarded([&] { const DeviceScope scope(1); });
}

TAMIS_EXPORT const char* try_widen(const uint16_t* half, int64_t n, float* single, double* wide) {
  return guarded([&] {
    for (int64_t i = 0; i < n; ++i) {
      single[i] = half_to_float(half[i]);
      wide[i] = half_to_double(half[i]);
    }
  });
}
TAMIS_EXPORT const char* try_narrow(const double* wide, int64_t n, uint16_t* half) {
  return guarded([&] {
    for (int64_t i = 0; i < n; ++i) half[i] = double_to_half(wide[i]);
  });
}
// |x|^2 in the canonical order, and |x|, and x / |x|. x, unit: [dim]; norms: [2]
TAMIS_EXPORT const char* try_exact(const double* x, int64_t dim, double* norms, double* unit) {
  return guarded([&] {
    double sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
    for (int64_t i = 0; i < dim; ++i) sums[i % 8] = add_square(sums[i % 8], x[i]);
    norms[0] = combine(sums);
    norms[1] = square_root(norms[0]);
    for (int64_t i = 0; i < dim; ++i) unit[i] = subtract(divide(x[i], norms[1]), 0.0);
  });
}

}  // extern "C"
