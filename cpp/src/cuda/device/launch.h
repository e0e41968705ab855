// Launches with checked errors, asynchronous fills and copies, shared memory. The rest of CUDA goes
// by its own words. Tests compile all of it with g++ against an emulation of cuda_runtime.h.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <tuple>

#include "cuda/device/words.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {

inline constexpr size_t kSharedBytesUnasked = 48 << 10;  // more is granted by an attribute only
inline constexpr int64_t kMostBlocksX = 0x7fffffff;
inline constexpr int64_t kMostBlocksYZ = 0xffff;

// what: completes "CUDA could not".
inline void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // the next call starts afresh
  const auto sentence = std::string("CUDA could not ") + what + ": " + cudaGetErrorString(status);
  if (status == cudaErrorMemoryAllocation) throw OutOfMemory(sentence);
  throw Error(sentence);
}

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

struct Grid {
  int64_t x = 1, y = 1, z = 1;
};

// Lets a kernel have more shared memory than it gets unasked.
template <class... Parameters>
void grant_shared_memory(void (*kernel)(Parameters...), size_t bytes) {
  if (bytes <= kSharedBytesUnasked) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(bytes)),
        "grant a kernel its shared memory");
}

// Calls start(pointers) with an address for each argument of a kernel.
template <class... Parameters, class... Arguments, class Start>
void with_arguments(void (*)(Parameters...), Start&& start, Arguments... arguments) {
  static_assert(sizeof...(Parameters) == sizeof...(Arguments), "one argument per parameter");
  std::tuple<Parameters...> values{Parameters{arguments}...};  // braces: nothing is narrowed
  const auto call = [&](auto&... value) {
    void* pointers[] = {&value..., nullptr};
    return start(pointers);
  };
  check(std::apply(call, values), "launch a kernel");
}

// Starts a kernel of grid.x * grid.y * grid.z blocks, none where that is 0. threads: a multiple of
// 32. shared_bytes: the size of shared_memory(). Arguments are as wide as the kernel's.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, int threads, size_t shared_bytes,
            Stream stream, Arguments... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  if (grid.x < 0 || grid.y < 0 || grid.z < 0 || grid.x > kMostBlocksX || grid.y > kMostBlocksYZ ||
      grid.z > kMostBlocksYZ || threads <= 0 || threads % 32 != 0) {
    throw Error("CUDA cannot launch " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                " x " + std::to_string(grid.z) + " blocks of " + std::to_string(threads) +
                " threads");
  }
  grant_shared_memory(kernel, shared_bytes);
  const auto start = [&](void** pointers) {
    return cudaLaunchKernel(kernel,
                            dim3(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                                 static_cast<unsigned>(grid.z)),
                            dim3(static_cast<unsigned>(threads)), pointers, shared_bytes,
                            native(stream));
  };
  with_arguments(kernel, start, arguments...);
}

// The same in clusters of blocks, in a row: n_clusters * cluster blocks.
template <class... Parameters, class... Arguments>
void launch_clusters(void (*kernel)(Parameters...), int64_t n_clusters, int cluster, int threads,
                     size_t shared_bytes, Stream stream, Arguments... arguments) {
  if (n_clusters == 0) return;
  grant_shared_memory(kernel, shared_bytes);
  cudaLaunchAttribute in_clusters{};
  in_clusters.id = cudaLaunchAttributeClusterDimension;
  in_clusters.val.clusterDim.x = static_cast<unsigned>(cluster);
  in_clusters.val.clusterDim.y = in_clusters.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(n_clusters * cluster));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = native(stream);
  config.attrs = &in_clusters;
  config.numAttrs = 1;
  const auto start = [&](void** pointers) {
    return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), pointers);
  };
  with_arguments(kernel, start, arguments...);
}

// Sets every byte. to: device memory [bytes]
inline void fill(void* to, int byte, size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemsetAsync(to, byte, bytes, native(stream)), "fill device memory");
}

// Between host and device, either way, or on the device. A pageable host source may be reused as
// soon as this returns; page-locked memory only once the stream has come so far.
// to, from: [bytes]
inline void copy(void* to, const void* from, size_t bytes, Stream stream) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, native(stream)), "copy memory");
}

#ifdef TAMIS_EMULATION
using emulation::shared_memory;
#else
// The block's dynamic shared memory, 1024-byte aligned: the only kind there is in tamis.
__device__ inline unsigned char* shared_memory() {
  extern __shared__ __align__(1024) unsigned char tamis_shared_memory[];
  return tamis_shared_memory;
}
#endif

}  // namespace tamis::cuda
