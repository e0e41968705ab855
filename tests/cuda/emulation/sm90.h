// What sm_90a adds, as cuda/device/warpgroup.h has it. Copies land, and products are made, later
// than asked for, at moments that depend on the seed; until then shared memory and sums are poison.
// What is used before it is known to be over (later.h) ends the launch with a sentence. Sums follow
// the models of warp.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "block.h"

namespace tamis::cuda {
struct Barrier;
}

namespace tamis::emulation {

// The map that the driver would encode: float16 numbers, boxes of 64 elements by box_rows.
struct alignas(64) TensorMap {
  const uint16_t* data = nullptr;  // [n_rows x dim]
  int64_t n_rows = 0, dim = 0;
  int box_rows = 0;
};

void barrier_init(cuda::Barrier& barrier, int arrivals, Place place = Place::here());
void barriers_are_ready();
void barrier_arrive(cuda::Barrier& barrier, Place place = Place::here());
void barrier_arrive_in(cuda::Barrier& barrier, unsigned block, Place place = Place::here());
void barrier_expect(cuda::Barrier& barrier, int bytes, Place place = Place::here());
void barrier_wait(cuda::Barrier& barrier, unsigned parity, Place place = Place::here());

void registers_for_few(Place place = Place::here());
void registers_for_many(Place place = Place::here());

unsigned cluster_block();
void cluster_sync(Place place = Place::here());

void prefetch(const TensorMap& map, Place place = Place::here());
void copy_box(void* shared, const TensorMap& map, int element, int row, cuda::Barrier& barrier,
              Place place = Place::here());
void copy_box_to(void* shared, const TensorMap& map, int element, int row, cuda::Barrier& barrier,
                 uint16_t blocks, Place place = Place::here());

uint64_t operand(const void* first_row, int element, Place place = Place::here());
// n_sums: half of the columns.
void begin_sums(float* d, int n_sums, const Place& place);
void multiply_later(const char* name, float* d, int n_sums, uint64_t a, uint64_t b, int sum,
                    const Place& place);
void wait_for_sums(float* d, int n_sums, int pending, const Place& place);

template <int kSums>
void wgmma_begin(float (&d)[kSums], Place place = Place::here()) {
  begin_sums(d, kSums, place);
}
inline void wgmma_m64n256k16(float (&d)[128], uint64_t a, uint64_t b, int sum,
                             Place place = Place::here()) {
  multiply_later("wgmma_m64n256k16", d, 128, a, b, sum, place);
}
inline void wgmma_m64n128k16(float (&d)[64], uint64_t a, uint64_t b, int sum,
                             Place place = Place::here()) {
  multiply_later("wgmma_m64n128k16", d, 64, a, b, sum, place);
}
void wgmma_commit(Place place = Place::here());
template <int kPending, int kSums>
void wgmma_wait(float (&d)[kSums], Place place = Place::here()) {
  static_assert(kPending >= 0);
  wait_for_sums(d, kSums, kPending, place);
}

}  // namespace tamis::emulation
