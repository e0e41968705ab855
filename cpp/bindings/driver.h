// What the bindings ask CUDA itself, beside the kernels.
#pragma once

#include <cstddef>

#include "tamis/cuda/device.h"

namespace tamis::bindings {

int driver_version();   // the newest CUDA that the driver knows, 1000 * major + 10 * minor; 0: none
int runtime_version();  // the CUDA that the module was built with

// Asynchronous. copy: any direction. to, from: [bytes]
void fill(void* to, int byte, size_t bytes, cuda::Stream stream);
void copy(void* to, const void* from, size_t bytes, cuda::Stream stream);

}  // namespace tamis::bindings
