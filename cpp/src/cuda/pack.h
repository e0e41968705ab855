// Rows as the matrix pass can load them: 16 bytes at a time.
#pragma once

#include <cstddef>

#include "tamis/array.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {

// Work memory for packed(); 0 where the rows can be used as they are.
size_t packed_bytes(const HalfRows& rows);

// The rows themselves, or a copy in work whose dim is rounded up to a multiple of 8, with zeros.
// work: device memory [packed_bytes], 16-byte aligned.
HalfRows packed(const HalfRows& rows, void* work, Stream stream);

}  // namespace tamis::cuda
