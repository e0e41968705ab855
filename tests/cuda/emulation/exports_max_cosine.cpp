// The plan of a max cosine, the rows that it may pass over, and the max cosine itself.
#include "cuda/copies.h"
#include "cuda/plan.h"
#include "exports.h"
#include "tamis/cuda/max_cosine.h"

namespace {

using namespace tamis;
using emulation::guarded;

Sight sight_of(int64_t kind, const int64_t* limits, int64_t but_self) {
  return {static_cast<Sight::Kind>(kind), limits, but_self != 0};
}

}  // namespace

// sizes: block_rows, tile_columns, direct_columns, direct_rows, sms. counts: blocks, units,
// stretches, lists, tiles. blocks: [.. x 8]; units: [.. x 4]; stretches: [.. x 3], or all null.
extern "C" TAMIS_EXPORT const char* emulated_plan(const int64_t* offsets, int64_t n_segments,
                                                  const int64_t* other_offsets, int64_t kind,
                                                  const int64_t* limits, int64_t but_self,
                                                  const int64_t* sizes, int64_t* counts,
                                                  int64_t* blocks, int64_t* units,
                                                  int64_t* stretches) {
  return guarded([&] {
    const Segments other{other_offsets, n_segments};
    const auto as_int = [&](int i) { return static_cast<int>(sizes[i]); };
    const cuda::Plan plan = cuda::make_plan(
        {offsets, n_segments}, other_offsets ? &other : nullptr, sight_of(kind, limits, but_self),
        {as_int(0), as_int(1), as_int(2), as_int(3), as_int(4)});
    counts[0] = static_cast<int64_t>(plan.blocks.size());
    counts[1] = static_cast<int64_t>(plan.units.size());
    counts[2] = static_cast<int64_t>(plan.stretches.size());
    counts[3] = plan.n_lists;
    counts[4] = plan.n_tiles;
    if (!blocks) return;
    for (const cuda::RowBlock& b : plan.blocks) {
      for (const int64_t value : {b.row_begin, b.segment_row_begin, b.column_begin, b.n_columns,
                                  b.first_list, int64_t{b.n_rows}, int64_t{b.n_parts}, b.segment}) {
        *blocks++ = value;
      }
    }
    for (const cuda::Unit& u : plan.units) {
      for (const int32_t value : {u.block, u.part, u.tile_begin, u.tile_end}) *units++ = value;
    }
    for (const cuda::DirectStretch& s : plan.stretches) {
      for (const int64_t value : {s.first_segment, s.row_begin, s.row_end}) *stretches++ = value;
    }
  });
}

// limits: host memory for the plan, or null; device_limits: what the kernels read. work_bytes: not
// null to ask for it and to do nothing else. counts: [3] or null.
extern "C" TAMIS_EXPORT const char* emulated_max_cosine(
    const uint16_t* x, int64_t n_rows, int64_t dim, const int64_t* offsets, int64_t n_segments,
    const uint16_t* other, int64_t n_other, const int64_t* other_offsets, int64_t kind,
    const int64_t* limits, const int64_t* device_limits, int64_t but_self, int64_t sms,
    int64_t* work_bytes, double* cosine, int64_t* index, int64_t* counts, void* work) {
  return guarded([&] {
    const HalfRows rows{x, n_rows, dim}, columns{other, n_other, dim};
    const Segments column_segments{other_offsets, n_segments};
    cuda::Device device;
    device.sms = static_cast<int>(sms);
    const cuda::MaxCosine comparison({offsets, n_segments}, other ? &column_segments : nullptr,
                                     sight_of(kind, limits, but_self), dim, device);
    const HalfRows* other_rows = other ? &columns : nullptr;
    if (work_bytes) {
      *work_bytes = static_cast<int64_t>(comparison.work_bytes(rows, other_rows));
      return;
    }
    comparison.run(rows, other_rows, device_limits, cosine, index,
                   reinterpret_cast<Counts*>(counts), work, {});
  });
}

extern "C" TAMIS_EXPORT const char* emulated_paired_cosine(const uint16_t* x, int64_t n_x,
                                                           const uint16_t* y, int64_t n_y,
                                                           int64_t dim, const int64_t* i,
                                                           const int64_t* j, int64_t n_pairs,
                                                           double* cosine) {
  return guarded(
      [&] { cuda::paired_cosine({x, n_x, dim}, i, {y, n_y, dim}, j, n_pairs, cosine, {}); });
}

// work_bytes: as above. spare: [n_rows]
extern "C" TAMIS_EXPORT const char* emulated_mark_spare(const uint16_t* rows, int64_t n_rows,
                                                        int64_t dim, const int64_t* offsets,
                                                        int64_t n_segments, const int32_t* wanted,
                                                        int64_t key_bits, int64_t* work_bytes,
                                                        uint8_t* spare, void* work) {
  return guarded([&] {
    if (work_bytes) {
      *work_bytes = static_cast<int64_t>(cuda::mark_spare_work_bytes(n_rows));
      return;
    }
    cuda::mark_spare({rows, n_rows, dim}, offsets, n_segments, wanted, spare, work, {},
                     static_cast<int>(key_bits));
  });
}
