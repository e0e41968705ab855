// What sm_90a adds to matrix.h: products of a warpgroup out of shared memory (wgmma), boxes of a
// matrix copied by the hardware (TMA), barriers in shared memory that count arrivals and bytes,
// clusters of blocks. All that a CPU cannot execute, and nothing else; under TAMIS_EMULATION
// tests/cuda/emulation/sm90.h has the same functions for a CPU.
//
// A box is kBoxElements float16 numbers of up to 256 rows: 128 bytes a row, one row after another,
// 1024-byte aligned. Chunk c (16 bytes) of row r lies at chunk c ^ (r % 8) of its 128 bytes, as TMA
// writes and wgmma reads it ("128-byte swizzle").
//
// A warpgroup is four warps, the first a multiple of four. wgmma_m64n256k16 adds the product of 64
// rows and of 256 columns, 16 elements of each; the sums of warp w and lane 4 g + t are
//   d[4 j], d[4 j + 1]: row 16 w + g, columns 8 j + 2 t, + 1     d[4 j + 2], d[4 j + 3]: row + 8
// and wgmma_m64n128k16 does so for 128 columns. It runs later: its operands and sums are its own
// until wgmma_wait.
#pragma once

#include <cstdint>

namespace tamis::cuda {

inline constexpr int kBoxElements = 64;
inline constexpr int kBoxRowBytes = 128;

// Counts the arrivals of a phase, and the bytes that copies bring in it; then the next phase
// begins. Phases have parity 0, 1, 0, ... 8 bytes of shared memory.
struct alignas(8) Barrier {
  uint64_t word;
};

}  // namespace tamis::cuda

#ifdef TAMIS_EMULATION
#include "sm90.h"

namespace tamis::cuda {
using emulation::barrier_arrive;
using emulation::barrier_arrive_in;
using emulation::barrier_expect;
using emulation::barrier_init;
using emulation::barrier_wait;
using emulation::barriers_are_ready;
using emulation::cluster_block;
using emulation::cluster_sync;
using emulation::copy_box;
using emulation::copy_box_to;
using emulation::operand;
using emulation::prefetch;
using emulation::registers_for_few;
using emulation::registers_for_many;
using emulation::TensorMap;
using emulation::wgmma_begin;
using emulation::wgmma_commit;
using emulation::wgmma_m64n128k16;
using emulation::wgmma_m64n256k16;
using emulation::wgmma_wait;
}  // namespace tamis::cuda

#else

#include <cuda.h>
#include <cuda_runtime.h>

#include "cuda/device/matrix.h"

namespace tamis::cuda {

// Rows in device memory, as TMA knows them; a kernel takes it as const __grid_constant__.
using TensorMap = CUtensorMap;

// One thread, before anyone uses it. arrivals: that end a phase, those of barrier_expect included.
__device__ __forceinline__ void barrier_init(Barrier& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(&barrier)),
               "r"(arrivals)
               : "memory");
}

// The same thread, after the last barrier_init and before the barrier (or cluster_sync) after which
// the others use them.
__device__ __forceinline__ void barriers_are_ready() {
  asm volatile(
      "fence.mbarrier_init.release.cluster;\n\t"
      "fence.proxy.async.shared::cta;" ::
          : "memory");
}

// What the thread did before is done for those who wait.
__device__ __forceinline__ void barrier_arrive(Barrier& barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(&barrier))
               : "memory");
}

// The same barrier of another block of the cluster, or of this one. It tells of what is over, such
// as products that were waited for; ordinary stores are not published to the other block.
__device__ __forceinline__ void barrier_arrive_in(Barrier& barrier, unsigned block) {
  asm volatile(
      "{\n\t"
      ".reg .b32 there;\n\t"
      "mapa.shared::cluster.u32 there, %0, %1;\n\t"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n\t"
      "}" ::"r"(shared_address(&barrier)),
      "r"(block)
      : "memory");
}

// Arrives, and makes the phase wait for so many bytes of copies, too.
__device__ __forceinline__ void barrier_expect(Barrier& barrier, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(&barrier)),
      "r"(bytes)
      : "memory");
}

// Waits for the end of the phase of this parity: that is either the current phase or the one
// before. Ten seconds by the clock mean that it will never end: then the launch fails.
__device__ __forceinline__ void barrier_wait(Barrier& barrier, unsigned parity) {
  uint64_t start = 0;
  for (;;) {
    uint32_t done;
    asm volatile(
        "{\n\t"
        ".reg .pred ended;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2;\n\t"
        "selp.u32 %0, 1, 0, ended;\n\t"
        "}"
        : "=r"(done)
        : "r"(shared_address(&barrier)), "r"(parity)
        : "memory");
    if (done != 0) return;
    uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    if (start == 0) start = now;
    if (now - start > 10'000'000'000ull) __trap();
  }
}

// All threads of a warpgroup: those that need few registers leave them to those that need many. For
// blocks of three warpgroups, one of them with few; the kernel must be compiled for one block a
// multiprocessor, and must call no subroutine, such as the division of 64-bit numbers.
__device__ __forceinline__ void registers_for_few() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
}
__device__ __forceinline__ void registers_for_many() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
}

// The number of this block in its cluster.
__device__ __forceinline__ unsigned cluster_block() {
  unsigned block;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(block));
  return block;
}

// All threads of all blocks of the cluster: a barrier, of shared memory too.
__device__ __forceinline__ void cluster_sync() {
  asm volatile(
      "barrier.cluster.arrive.release;\n\t"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
}

// One thread. Gets the map before the first copy needs it.
__device__ __forceinline__ void prefetch(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(reinterpret_cast<uint64_t>(&map)) : "memory");
}

// One thread. Copies the box that begins with this element of this row (what lies outside of the
// matrix is zero), later, and counts its bytes, all of them, for the barrier.
__device__ __forceinline__ void copy_box(void* shared, const TensorMap& map, int element, int row,
                                         Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4}], [%2];" ::"r"(shared_address(shared)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(shared_address(&barrier)), "r"(element), "r"(row)
      : "memory");
}

// The same, to the same place, and for the same barrier, of every block of the cluster whose bit is
// set in blocks.
__device__ __forceinline__ void copy_box_to(void* shared, const TensorMap& map, int element,
                                            int row, Barrier& barrier, uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%3, %4}], [%2], %5;" ::"r"(shared_address(shared)),
      "l"(reinterpret_cast<uint64_t>(&map)), "r"(shared_address(&barrier)), "r"(element), "r"(row),
      "h"(blocks)
      : "memory");
}

// How wgmma finds rows of a box: the address, 1024 bytes from eight rows to the next eight, the
// 128-byte swizzle. The first row is a multiple of eight; element: of the box, a multiple of 16.
__device__ __forceinline__ uint64_t operand(const void* first_row, int element) {
  const uint64_t begin = (shared_address(first_row) >> 4 & 0x3fff) | uint64_t{1} << 16 |
                         uint64_t{1024 >> 4} << 32 | uint64_t{1} << 62;
  return begin + static_cast<uint32_t>(element) / 8;  // the box ends before the address does
}

// All threads of the warpgroup, before the first of a series of products: what they wrote to the
// sums is there for it.
template <int kSums>
__device__ __forceinline__ void wgmma_begin(float (&d)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) asm volatile("" : "+f"(d[i])::"memory");
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

#define TAMIS_SUMS(d, i)                                                                      \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
      "+f"(d[i + 6]), "+f"(d[i + 7])

// All threads of the warpgroup. d = a b, plus d where sum is not 0.
__device__ __forceinline__ void wgmma_m64n256k16(float (&d)[128], uint64_t a, uint64_t b, int sum) {
  asm volatile(
      "{\n\t"
      ".reg .pred adds;\n\t"
      "setp.ne.b32 adds, %130, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
      "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
      "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
      "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "
      "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "
      "%127}, "
      "%128, %129, adds, 1, 1, 0, 0;\n\t"
      "}"
      : TAMIS_SUMS(d, 0), TAMIS_SUMS(d, 8), TAMIS_SUMS(d, 16), TAMIS_SUMS(d, 24), TAMIS_SUMS(d, 32),
        TAMIS_SUMS(d, 40), TAMIS_SUMS(d, 48), TAMIS_SUMS(d, 56), TAMIS_SUMS(d, 64),
        TAMIS_SUMS(d, 72), TAMIS_SUMS(d, 80), TAMIS_SUMS(d, 88), TAMIS_SUMS(d, 96),
        TAMIS_SUMS(d, 104), TAMIS_SUMS(d, 112), TAMIS_SUMS(d, 120)
      : "l"(a), "l"(b), "r"(sum));
}

// The same for 128 columns.
__device__ __forceinline__ void wgmma_m64n128k16(float (&d)[64], uint64_t a, uint64_t b, int sum) {
  asm volatile(
      "{\n\t"
      ".reg .pred adds;\n\t"
      "setp.ne.b32 adds, %66, 0;\n\t"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, adds, 1, 1, 0, 0;\n\t"
      "}"
      : TAMIS_SUMS(d, 0), TAMIS_SUMS(d, 8), TAMIS_SUMS(d, 16), TAMIS_SUMS(d, 24), TAMIS_SUMS(d, 32),
        TAMIS_SUMS(d, 40), TAMIS_SUMS(d, 48), TAMIS_SUMS(d, 56)
      : "l"(a), "l"(b), "r"(sum));
}

#undef TAMIS_SUMS

// Ends a group of products.
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until all but the newest kPending groups are done.
template <int kPending, int kSums>
__device__ __forceinline__ void wgmma_wait(float (&d)[kSums]) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) asm volatile("" : "+f"(d[i])::"memory");
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
#pragma unroll
  for (int i = 0; i < kSums; ++i) asm volatile("" : "+f"(d[i])::"memory");
}

}  // namespace tamis::cuda

#endif
