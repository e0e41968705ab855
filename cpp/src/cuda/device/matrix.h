// The matrix instructions and the asynchronous copy: all that a CPU cannot execute, and nothing
// else. Under TAMIS_EMULATION tests/cuda/emulation/warp.h has the same functions for a CPU.
//
// Fragments, by lane = 4 * g + t of a warp (g = 0..7, t = 0..3); a register holds two float16
// numbers, the one named first in its low half:
//   ldmatrix_x4   four 8 x 8 matrices; lanes 8i .. 8i+7 point to the rows 0 .. 7 of matrix i.
//                 r[i]: row g, columns 2t, 2t+1.    transposed: rows 2t, 2t+1 of column g.
//   mma_m16n8k16  A is 16 x 16 (m x k), B is 16 x 8 (k x n), D is 16 x 8 (m x n).
//                 a[0]: row g,   k 2t, 2t+1         a[2]: row g,   k 2t+8, 2t+9
//                 a[1]: row g+8, k 2t, 2t+1         a[3]: row g+8, k 2t+8, 2t+9
//                 b0: k 2t, 2t+1 of column g        b1: k 2t+8, 2t+9 of column g
//                 d[0], d[1]: row g, columns 2t, 2t+1     d[2], d[3]: row g+8, the same
// So with A and the transpose of B row-major in shared memory, ldmatrix_x4 loads both:
//   a        lane points to row lane % 16, k 8 * (lane / 16)
//   b0, b1   of columns 0..7 and of columns 8..15: lane points to
//            column lane % 8 + 8 * (lane / 16), k 8 * (lane / 8 % 2)
#pragma once

#include <cstdint>

#ifdef TAMIS_EMULATION
#include "warp.h"

namespace tamis::cuda {
using emulation::cp_async_16;
using emulation::cp_async_commit;
using emulation::cp_async_wait;
using emulation::ldmatrix_x4;
using emulation::ldmatrix_x4_trans;
using emulation::mma_m16n8k16;
}  // namespace tamis::cuda

#else

#include <cuda_runtime.h>

namespace tamis::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// row: this lane's row of 8 float16 numbers in shared memory, 16-byte aligned.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d += A B, float16 factors, float32 sums (of an unspecified order and rounding).
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Copies the first `bytes` (0 to 16) of 16 bytes and zeros the rest, later: shared is defined after
// cp_async_wait only. Both addresses are 16-byte aligned. global is not read where bytes is 0.
__device__ __forceinline__ void cp_async_16(void* shared, const void* global, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
}

// Ends a group of this thread's copies.
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all but the newest kPending groups of this thread have landed. A barrier makes them
// visible to other threads.
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace tamis::cuda

#endif
