// What the emulated CUDA says of its driver; included before bindings/driver.cu.
#pragma once

#include <cuda_runtime.h>

inline cudaError_t cudaDriverGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

inline cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
