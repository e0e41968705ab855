// Rows as TMA copies them.
#pragma once

#include "cuda/device/warpgroup.h"
#include "tamis/array.h"

namespace tamis::cuda {

// Rows and elements that TMA can count.
inline constexpr int64_t kMostMappedRows = 0x7fffffff - 512;

// A map of packed rows (pack.h), at most kMostMappedRows, for boxes of 64 elements by box_rows.
TensorMap map_rows(const HalfRows& rows, int box_rows);

}  // namespace tamis::cuda
