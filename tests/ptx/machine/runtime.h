// What a program that nvcc compiled finds in the place of the CUDA runtime: one device, whose
// memory is the host's, whose streams finish at once, and which executes the PTX inside of the
// program.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <string>

#include "program.h"

namespace ptx {

// 10 * major + minor: 90, or what TAMIS_PTX_CAPABILITY says when a program first asks.
int capability();
size_t most_shared();  // bytes of a block, after a grant

inline constexpr size_t kSharedUnasked = 48 << 10;  // static and dynamic; more after a grant only
inline constexpr unsigned kMostThreads = 1024;      // of a block
inline constexpr unsigned kMostClusterUnasked = 8, kMostCluster = 16;

struct Image;  // the PTX of one source

// A kernel, as the program's start registers it.
struct Entry {
  Image* image = nullptr;
  std::string name;
  size_t granted = 0;  // of dynamic shared memory
  bool large_clusters = false;
};

// Of a host function, or of a cudaKernel_t. Null where there is none.
Entry* find_entry(const void* function);
// Its code, parsed when it is first asked for. Error where there is none for this device.
const Kernel& find_kernel(const Entry& entry);

// status, which becomes the last error, and why its text ends with.
cudaError_t failed(cudaError_t status, const std::string& why);

}  // namespace ptx
