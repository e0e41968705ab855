// What the runtime's cuTensorMapEncodeTiled leaves in the 128 bytes of a CUtensorMap, and a copy by
// TMA reads from them.
#pragma once

#include <cstdint>

namespace ptx {

inline constexpr uint64_t kTensorMapMark = 0x74616d69735f6d61ull;

struct alignas(64) TensorMap {
  uint64_t mark;       // kTensorMapMark
  uint64_t address;    // of the first element, in global memory
  uint64_t sizes[2];   // elements: of a row, and rows
  uint64_t row_bytes;  // from one row to the next
  uint32_t box[2];     // elements of a row, rows
  uint32_t element_bytes;
  uint32_t swizzle_bytes;  // 0, 32, 64 or 128
  uint32_t n_outer;        // dimensions besides
  uint32_t outer_box[3];
  uint64_t outer_sizes[3], outer_bytes[3];  // elements; from one to the next
};
static_assert(sizeof(TensorMap) == 128);

}  // namespace ptx
