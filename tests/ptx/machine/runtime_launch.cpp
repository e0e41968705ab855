// Launches, with the checks that the runtime and the driver make before a kernel starts.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "machine.h"
#include "runtime.h"

namespace ptx {
namespace {

struct Call {
  dim3 grid, block;
  size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

// Of <<<...>>>, between the call and the kernel's host function.
thread_local std::vector<Call> configured;

std::string text_of(dim3 size) {
  return std::to_string(size.x) + " x " + std::to_string(size.y) + " x " + std::to_string(size.z);
}

uint64_t count(dim3 size) { return uint64_t{size.x} * size.y * size.z; }

Size size_of(dim3 size) { return {size.x, size.y, size.z}; }

size_t most_dynamic(const Entry& entry, const Kernel& kernel) {
  const size_t unasked = kSharedUnasked - std::min(kSharedUnasked, kernel.shared_bytes);
  return std::max(entry.granted, unasked);
}

cudaError_t grant(Entry& entry, int bytes) {
  const size_t fixed = find_kernel(entry).shared_bytes;
  if (bytes < 0 || fixed + static_cast<size_t>(bytes) > most_shared()) {
    return failed(cudaErrorInvalidValue, std::to_string(bytes) + " bytes of dynamic and " +
                                             std::to_string(fixed) +
                                             " of static shared memory for a kernel");
  }
  entry.granted = static_cast<size_t>(bytes);
  return cudaSuccess;
}

cudaError_t check_cluster(const Entry& entry, dim3 grid, dim3 cluster) {
  const uint64_t blocks = count(cluster);
  if (blocks == 1) return cudaSuccess;
  if (capability() < 90) return failed(cudaErrorNotSupported, "this device has no clusters");
  if (blocks == 0 || blocks > (entry.large_clusters ? kMostCluster : kMostClusterUnasked)) {
    return failed(cudaErrorInvalidClusterSize, text_of(cluster) + " blocks in a cluster");
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    return failed(
        cudaErrorInvalidConfiguration,
        "clusters of " + text_of(cluster) + " blocks do not divide a grid of " + text_of(grid));
  }
  return cudaSuccess;
}

cudaError_t check_shape(const Entry& entry, const Kernel& kernel, const Call& call) {
  const auto [grid, block, shared_bytes, _] = call;
  if (count(grid) == 0 || grid.x > 0x7fffffffu || grid.y > 0xffff || grid.z > 0xffff) {
    return failed(cudaErrorInvalidConfiguration, text_of(grid) + " blocks");
  }
  if (count(block) == 0 || block.x > kMostThreads || block.y > kMostThreads || block.z > 64 ||
      count(block) > kMostThreads) {
    return failed(cudaErrorInvalidConfiguration, text_of(block) + " threads in a block");
  }
  if (kernel.most_threads != 0 && count(block) > static_cast<uint64_t>(kernel.most_threads)) {
    return failed(cudaErrorLaunchOutOfResources,
                  text_of(block) + " threads in a block, for a kernel that was compiled for " +
                      std::to_string(kernel.most_threads));
  }
  if (shared_bytes > most_dynamic(entry, kernel)) {
    return failed(cudaErrorInvalidValue,
                  std::to_string(shared_bytes) +
                      " bytes of dynamic shared memory, but the kernel may have " +
                      std::to_string(most_dynamic(entry, kernel)));
  }
  return cudaSuccess;
}

cudaError_t launch(const void* function, const Call& call, dim3 cluster, void** arguments) {
  Entry* const entry = find_entry(function);
  if (entry == nullptr) return failed(cudaErrorInvalidDeviceFunction, "it is not registered");
  static std::atomic<uint64_t> n_launches = 0;
  try {
    const Kernel& kernel = find_kernel(*entry);
    if (const auto status = check_shape(*entry, kernel, call); status != cudaSuccess) return status;
    if (const auto status = check_cluster(*entry, call.grid, cluster); status != cudaSuccess) {
      return status;
    }
    for (size_t i = 0; i < kernel.parameter_sizes.size(); ++i) {
      if (arguments == nullptr || arguments[i] == nullptr) {
        return failed(cudaErrorInvalidValue, "argument " + std::to_string(i) + " is missing");
      }
    }
    const std::vector<ParameterBytes> parameters = packed(kernel, arguments);
    run({&kernel, size_of(call.grid), size_of(call.block), size_of(cluster), call.shared_bytes,
         parameters[0].bytes, n_launches++});
  } catch (const Error& error) {
    return failed(cudaErrorLaunchFailure, error.what());
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace ptx

extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared_bytes,
                                     cudaStream_t stream) {
  ptx::configured.push_back({grid, block, shared_bytes, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, size_t* shared_bytes,
                                       void* stream) {
  if (ptx::configured.empty()) return ptx::failed(cudaErrorMissingConfiguration, "no <<<>>>");
  const ptx::Call call = ptx::configured.back();
  ptx::configured.pop_back();
  *grid = call.grid;
  *block = call.block;
  *shared_bytes = call.shared_bytes;
  *static_cast<cudaStream_t*>(stream) = call.stream;
  return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             size_t shared_bytes, cudaStream_t stream) {
  return ptx::launch(function, {grid, block, shared_bytes, stream}, dim3(1, 1, 1), arguments);
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               size_t shared_bytes, cudaStream_t stream) {
  return cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** arguments) {
  dim3 cluster(1, 1, 1);
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config->attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& size = attribute.val.clusterDim;
      cluster = dim3(size.x, size.y, size.z);
    } else if (attribute.id != cudaLaunchAttributeIgnore) {
      return ptx::failed(cudaErrorNotSupported,
                         "this device knows no attribute " + std::to_string(attribute.id));
    }
  }
  return ptx::launch(function,
                     {config->gridDim, config->blockDim, config->dynamicSmemBytes, config->stream},
                     cluster, arguments);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  const ptx::Entry* const entry = ptx::find_entry(function);
  if (entry == nullptr) return ptx::failed(cudaErrorInvalidDeviceFunction, "it is not registered");
  try {
    const ptx::Kernel& kernel = ptx::find_kernel(*entry);
    *attributes = {};
    attributes->maxThreadsPerBlock =
        kernel.most_threads != 0 ? kernel.most_threads : static_cast<int>(ptx::kMostThreads);
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(ptx::most_dynamic(*entry, kernel));
    attributes->sharedSizeBytes = kernel.shared_bytes;
    attributes->ptxVersion = attributes->binaryVersion = ptx::capability();
  } catch (const ptx::Error& error) {
    return ptx::failed(cudaErrorInvalidPtx, error.what());
  }
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute which, int value) {
  ptx::Entry* const entry = ptx::find_entry(function);
  if (entry == nullptr) return ptx::failed(cudaErrorInvalidDeviceFunction, "it is not registered");
  switch (which) {
    case cudaFuncAttributeMaxDynamicSharedMemorySize:
      try {
        return ptx::grant(*entry, value);
      } catch (const ptx::Error& error) {
        return ptx::failed(cudaErrorInvalidPtx, error.what());
      }
    case cudaFuncAttributeNonPortableClusterSizeAllowed:
      entry->large_clusters = value != 0;
      return cudaSuccess;
    case cudaFuncAttributePreferredSharedMemoryCarveout:  // a hint, in percent; -1: none
      if (value < -1 || value > 100) return ptx::failed(cudaErrorInvalidValue, "no percentage");
      return cudaSuccess;
    default:
      return ptx::failed(cudaErrorInvalidValue, "this device knows no such attribute");
  }
}

}  // extern "C"
