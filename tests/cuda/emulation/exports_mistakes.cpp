// A kernel that makes every mistake which the emulation must find.
#include <cstring>

#include "cuda/device/launch.h"
#include "cuda/device/matrix.h"
#include "exports.h"

namespace {

using namespace tamis::cuda;

// One mistake each. The values keep the compiler from knowing.
enum Mistake {
  early_exit,
  half_a_barrier,
  two_barriers,
  lonely_lane,
  mask_without_lane,
  divergent_matrix,
  misaligned_matrix,
  matrix_elsewhere,
  misaligned_copy,
  misaligned_vector,
  past_shared,
  before_shared,
  copied_past_shared,
  past_register_array,
  past_array,
  before_array,
  overflow,
  written_then_read,
  read_then_written,
  counted_by_hand,
  counted_and_read,
  lanes_without_barrier,
  shuffle_as_barrier,
  copy_without_barrier,
  array_written_twice,
  array_written_by_blocks,
  array_read_by_blocks,
  array_without_fence,
  endless,
  not_a_mistake,
};

// x: [16 bytes]; shared: [256]
__device__ void race(int mistake, const uint32_t* x, unsigned char* shared) {
  const int i = static_cast<int>(threadIdx.x);
  auto* counter = reinterpret_cast<int*>(shared);
  switch (mistake) {
    case written_then_read:
      shared[i] = 1;
      shared[128 + i] = shared[(i + 32) % 64];
      break;
    case read_then_written:
      shared[i] = 1;
      __syncthreads();
      if (i < 32) shared[128 + i] = shared[32 + i];
      if (i >= 32) shared[i] = 2;
      break;
    case counted_by_hand:
      *counter = *counter + 1;
      break;
    case counted_and_read:
      atomicAdd(counter, 1);
      shared[128 + i] = static_cast<unsigned char>(*counter);
      break;
    case lanes_without_barrier:
      shared[i] = 1;
      shared[128 + i] = shared[i ^ 1];
      break;
    case shuffle_as_barrier:
      shared[i] = 1;
      __shfl_sync(~0u, i, 0);
      shared[128 + i] = shared[i ^ 1];
      break;
    case copy_without_barrier:
      if (i < 2) cp_async_16(shared + 16 * i, x);
      cp_async_commit();
      cp_async_wait<0>();
      if (i < 2) shared[128 + i] = shared[16 - 16 * i];
      break;
    default:
      break;
  }
}

// x: [64]
__device__ void race_in_array(int mistake, int zero, uint32_t* x) {
  const unsigned i = threadIdx.x;
  switch (mistake) {
    case array_written_twice:
      x[i / 2] = 0;
      break;
    case array_written_by_blocks:
      if (i == 0) x[zero] = 0;
      break;
    case array_read_by_blocks:
      if (i == 0 && blockIdx.x == 0) x[2] = x[1];
      if (i == 0 && blockIdx.x == 1) x[1] = x[2];
      break;
    case array_without_fence:
      if (i == 0) x[1 + blockIdx.x] = 0;
      if (i == 0 && atomicAdd(x, 1u) == gridDim.x - 2) x[3] = x[1] + x[2];
      break;
    default:
      break;
  }
}

__global__ void err(int mistake, int zero, uint32_t* out) {
  const int i = static_cast<int>(threadIdx.x);
  unsigned char* shared = shared_memory();
  uint32_t r[4] = {0, 0, 0, 0};
  switch (mistake) {
    case early_exit:
      if (i == 37) return;
      break;
    case half_a_barrier:
      if (i < 32) __syncthreads();
      break;
    case two_barriers:
      if (i < 32) {
        __syncthreads();
      } else {
        __syncthreads();
      }
      break;
    case lonely_lane:
      if (i == 5) r[0] = __shfl_sync(~0u, r[0], zero);
      break;
    case mask_without_lane:
      r[0] = __ballot_sync(0xfffffffeu, zero);
      break;
    case divergent_matrix:
      if (i % 32 < 16) {
        ldmatrix_x4(r, shared);
      } else {
        ldmatrix_x4_trans(r, shared);
      }
      break;
    case misaligned_matrix:
      ldmatrix_x4(r, shared + 8);
      break;
    case matrix_elsewhere:
      ldmatrix_x4(r, out);
      break;
    case misaligned_copy:
      cp_async_16(shared, reinterpret_cast<char*>(out) + 8);
      break;
    case misaligned_vector:
      r[0] = reinterpret_cast<const uint4*>(shared + 4 + zero)->x;
      break;
    case past_shared:
      if (i == 0) shared[256 + zero] = 0;
      break;
    case before_shared:
      if (i == 0) shared[zero - 4] = 255;
      break;
    case copied_past_shared:
      if (i == 0) std::memset(shared + 250, 0, static_cast<size_t>(zero + 7));
      break;
    case past_array:
      r[0] = out[zero + 64];
      break;
    case before_array:
      out[zero - 1] = 0;
      break;
    case past_register_array:
      r[zero + 4] = 1;
      break;
    case endless:
      while (*static_cast<volatile unsigned char*>(shared) == 255) {
      }
      break;
    case overflow:
      r[0] = static_cast<uint32_t>(0x7fffffff + i + zero);
      break;
    default:
      race(mistake, out, shared);
      race_in_array(mistake, zero, out);
      break;
  }
  __syncthreads();
  if (gridDim.x == 1) out[i] = r[0];
}

}  // namespace

// out: poisoned [64]
extern "C" TAMIS_EXPORT const char* try_mistake(int64_t mistake, uint32_t* out) {
  const bool of_blocks = mistake >= array_written_by_blocks && mistake <= array_without_fence;
  return tamis::emulation::guarded([&] {
    launch(err, Grid{of_blocks ? 2 : 1}, 64, 256, Stream{}, static_cast<int>(mistake), 0, out);
  });
}
