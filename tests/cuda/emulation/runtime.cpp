// The host's side of the emulated CUDA: one device, whose memory is memory.
#include <cuda_runtime.h>

#include <map>
#include <mutex>

namespace {

constexpr size_t kSharedBytes = 232448;  // 227 KiB
constexpr size_t kSharedBytesUnasked = 49152;
constexpr unsigned kMostThreads = 1024;
constexpr unsigned kMostInCluster = 8;
constexpr int kFullDevice = 9;  // one that has no room for a context

std::mutex mutex;
std::map<const void*, size_t> granted;
std::map<const void*, tamis::emulation::Body> bodies;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t keep(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}

}  // namespace

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    default:
      return "invalid device ordinal";
  }
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) {
  if (ordinal == kFullDevice) return keep(cudaErrorMemoryAllocation);
  return keep(ordinal == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int ordinal) {
  if (ordinal != 0) return keep(cudaErrorInvalidDevice);
  switch (which) {
    case cudaDevAttrMultiProcessorCount:
      *value = tamis::emulation::settings().sms;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = tamis::emulation::settings().capability / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = tamis::emulation::settings().capability % 10;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(kSharedBytes);
      return cudaSuccess;
  }
  return keep(cudaErrorInvalidValue);
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t) {
  std::memset(to, byte, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                            cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                void** arguments) {
  tamis::emulation::Launch launch;
  for (unsigned i = 0; i < config->numAttrs; ++i) {
    const auto& cluster = config->attrs[i].val.clusterDim;
    if (config->attrs[i].id != cudaLaunchAttributeClusterDimension || cluster.x == 0 ||
        cluster.x > kMostInCluster || cluster.y != 1 || cluster.z != 1 ||
        config->gridDim.x % cluster.x != 0) {
      return keep(cudaErrorInvalidValue);
    }
    launch.cluster = static_cast<int>(cluster.x);
  }
  {
    const std::lock_guard lock(mutex);
    const auto found = bodies.find(kernel);
    if (found == bodies.end()) {
      throw tamis::emulation::Fault(
          "the emulation does not know the type of a kernel: nobody set "
          "or asked for its attributes");
    }
    launch.body = found->second;
  }
  launch.kernel = kernel;
  launch.arguments = arguments;
  launch.grid = {config->gridDim.x, config->gridDim.y, config->gridDim.z};
  launch.threads = static_cast<int>(config->blockDim.x);
  launch.shared_bytes = config->dynamicSmemBytes;
  return tamis::emulation::start(launch, config->blockDim);
}

namespace tamis::emulation {

cudaError_t set_attribute(const void* kernel, Body body, cudaFuncAttribute, int value) {
  if (value < 0 || static_cast<size_t>(value) > kSharedBytes) return keep(cudaErrorInvalidValue);
  const std::lock_guard lock(mutex);
  bodies[kernel] = body;
  granted[kernel] = static_cast<size_t>(value);
  return cudaSuccess;
}

cudaError_t get_attributes(cudaFuncAttributes* attributes, const void* kernel, Body body) {
  const std::lock_guard lock(mutex);
  bodies[kernel] = body;
  attributes->ptxVersion = attributes->binaryVersion = settings().capability;
  return cudaSuccess;
}

cudaError_t start(const Launch& launch, dim3 threads) {
  if (threads.x == 0 || threads.x > kMostThreads || threads.x % kWarp != 0 || threads.y != 1 ||
      threads.z != 1 || launch.grid.x == 0 || launch.grid.y == 0 || launch.grid.z == 0) {
    return keep(cudaErrorInvalidConfiguration);
  }
  {
    const std::lock_guard lock(mutex);
    const auto found = granted.find(launch.kernel);
    const size_t most = found == granted.end() ? kSharedBytesUnasked : found->second;
    if (launch.shared_bytes > most && launch.shared_bytes > kSharedBytesUnasked) {
      return keep(cudaErrorInvalidValue);
    }
  }
  run(launch);
  return cudaSuccess;
}

}  // namespace tamis::emulation
