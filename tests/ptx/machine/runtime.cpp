// The device, its memory, streams, events and errors.
#include "runtime.h"

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

namespace ptx {

int capability() {
  static const int asked = [] {
    const char* const words = std::getenv("TAMIS_PTX_CAPABILITY");
    const int found = words == nullptr ? 90 : std::atoi(words);
    if (found != 80 && found != 90) throw Error("TAMIS_PTX_CAPABILITY is 80 or 90");
    return found;
  }();
  return asked;
}

size_t most_shared() { return size_t{capability() == 80 ? 163u : 227u} << 10; }

namespace {

constexpr int kDevices = 1, kMultiprocessors = 4, kVersion = 13000;
constexpr size_t kAlignment = 256;  // of allocated memory

struct Failure {
  cudaError_t status = cudaSuccess;
  std::string why, text;
};

thread_local cudaError_t last = cudaSuccess;
thread_local Failure failure;  // the last one, also after it was asked for

struct Word {
  cudaError_t status;
  const char *name, *text;
};

constexpr Word kWords[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidMemcpyDirection, "cudaErrorInvalidMemcpyDirection",
     "invalid copy direction for memcpy"},
    {cudaErrorMissingConfiguration, "cudaErrorMissingConfiguration",
     "__global__ function call is not configured"},
    {cudaErrorInvalidDeviceFunction, "cudaErrorInvalidDeviceFunction", "invalid device function"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidPtx, "cudaErrorInvalidPtx", "a PTX JIT compilation failed"},
    {cudaErrorLaunchOutOfResources, "cudaErrorLaunchOutOfResources",
     "too many resources requested for launch"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorInvalidClusterSize, "cudaErrorInvalidClusterSize",
     "misconfigured cluster dimensions"},
};

Word word_of(cudaError_t status) {
  for (const Word& word : kWords) {
    if (word.status == status) return word;
  }
  return {status, "cudaErrorUnknown", "unrecognized error code"};
}

cudaError_t check_device(int ordinal) {
  if (ordinal >= 0 && ordinal < kDevices) return cudaSuccess;
  return failed(cudaErrorInvalidDevice, "there is no device " + std::to_string(ordinal));
}

cudaError_t allocate(void** memory, size_t bytes) {
  const size_t whole = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  *memory = bytes == 0 ? nullptr : std::aligned_alloc(kAlignment, whole);
  if (bytes != 0 && *memory == nullptr) {
    return failed(cudaErrorMemoryAllocation, std::to_string(bytes) + " bytes");
  }
  if (bytes != 0) std::memset(*memory, 0xff, whole);  // of what nobody wrote: NaN
  return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) {
    return failed(cudaErrorInvalidMemcpyDirection, std::to_string(kind));
  }
  if (bytes == 0) return cudaSuccess;
  const auto target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  if (to == nullptr || from == nullptr) return failed(cudaErrorInvalidValue, "an address is null");
  if (target < source + bytes && source < target + bytes) {
    return failed(cudaErrorInvalidValue, "what is copied overlaps its copy");
  }
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

cudaError_t fill(void* to, int byte, size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr) return failed(cudaErrorInvalidValue, "the address is null");
  std::memset(to, byte, bytes);
  return cudaSuccess;
}

// Streams and events have nothing to remember: all work is done when a call returns.
template <class Handle>
cudaError_t make(Handle* handle) {
  *handle = reinterpret_cast<Handle>(new char);
  return cudaSuccess;
}

template <class Handle>
cudaError_t destroy(Handle handle) {
  delete reinterpret_cast<char*>(handle);
  return cudaSuccess;
}

}  // namespace

cudaError_t failed(cudaError_t status, const std::string& why) {
  failure = {status, why, {}};
  return last = status;
}

}  // namespace ptx

extern "C" {

// --- errors

const char* cudaGetErrorName(cudaError_t status) { return ptx::word_of(status).name; }

const char* cudaGetErrorString(cudaError_t status) {
  const char* const text = ptx::word_of(status).text;
  ptx::Failure& failure = ptx::failure;
  if (status == cudaSuccess || status != failure.status) return text;
  failure.text = std::string(text) + ": " + failure.why;
  return failure.text.c_str();
}

cudaError_t cudaPeekAtLastError() { return ptx::last; }

cudaError_t cudaGetLastError() {
  const cudaError_t status = ptx::last;
  ptx::last = cudaSuccess;
  return status;
}

// --- the device

cudaError_t cudaDriverGetVersion(int* version) {
  *version = ptx::kVersion;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = ptx::kVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = ptx::kDevices;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* ordinal) {
  *ordinal = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int ordinal) { return ptx::check_device(ordinal); }

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int ordinal) {
  if (const auto status = ptx::check_device(ordinal); status != cudaSuccess) return status;
  switch (which) {
    case cudaDevAttrComputeCapabilityMajor:
      *value = ptx::capability() / 10;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = ptx::capability() % 10;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = ptx::kMultiprocessors;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(ptx::kSharedUnasked);
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(ptx::most_shared());
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerBlock:
      *value = static_cast<int>(ptx::kMostThreads);
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    default:
      return ptx::failed(cudaErrorInvalidValue, "nothing is known of attribute " +
                                                    std::to_string(which) + " of the device");
  }
}

cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }

// --- memory

cudaError_t cudaMalloc(void** memory, size_t bytes) { return ptx::allocate(memory, bytes); }

cudaError_t cudaFree(void* memory) {
  std::free(memory);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return ptx::copy(to, from, bytes, kind);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  return ptx::copy(to, from, bytes, kind);
}

cudaError_t cudaMemset(void* to, int byte, size_t bytes) { return ptx::fill(to, byte, bytes); }

cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t) {
  return ptx::fill(to, byte, bytes);
}

// --- streams and events

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return ptx::make(stream); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return ptx::make(stream); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) { return ptx::destroy(stream); }

cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }

cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }

cudaError_t cudaEventCreate(cudaEvent_t* event) { return ptx::make(event); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return ptx::make(event); }

cudaError_t cudaEventDestroy(cudaEvent_t event) { return ptx::destroy(event); }

cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }

cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }

}  // extern "C"
