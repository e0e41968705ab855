// CUDA on a CPU, as far as tamis' kernels use it. This is no wrapper: a program that includes it
// needs no CUDA at all. Threads are fibers (block.h), device memory is memory, streams finish at
// once.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "block.h"
#include "cuda/device/words.h"
#include "warp.h"

#define __launch_bounds__(...)
#define __align__(n) alignas(n)
#define __grid_constant__

#define threadIdx (::tamis::emulation::running->index)
#define blockIdx (::tamis::emulation::block_index)
inline constexpr int warpSize = 32;

// Vectors, aligned as on the device.

struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
struct alignas(16) longlong2 {
  long long x, y;
};
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
struct alignas(4) ushort2 {
  unsigned short x, y;
};
struct alignas(8) ushort4 {
  unsigned short x, y, z, w;
};

inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline double2 make_double2(double x, double y) { return {x, y}; }
inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
inline ushort2 make_ushort2(unsigned short x, unsigned short y) { return {x, y}; }
inline ushort4 make_ushort4(unsigned short x, unsigned short y, unsigned short z,
                            unsigned short w) {
  return {x, y, z, w};
}

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#include "arithmetic.h"
#include "atomics.h"
#include "collectives.h"

// The host's side.

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76,
  cudaDevAttrMaxSharedMemoryPerBlockOptin = 97,
};
struct cudaFuncAttributes {
  int ptxVersion = 0, binaryVersion = 0;
  int maxThreadsPerBlock = 384;  // __launch_bounds__ is not known here
};
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaMemcpyKind { cudaMemcpyDefault = 4 };
using cudaStream_t = struct CUstream_st*;

enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };
union cudaLaunchAttributeValue {
  struct {
    unsigned x, y, z;
  } clusterDim;
};
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  cudaLaunchAttributeValue val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
  cudaLaunchAttribute* attrs = nullptr;
  unsigned numAttrs = 0;
};

cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t status);
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDevice(int* ordinal);
cudaError_t cudaSetDevice(int ordinal);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int ordinal);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* to, int byte, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);

namespace tamis::emulation {

// Calls a kernel of its type.
using Body = void (*)(const void* kernel, void** arguments);

cudaError_t set_attribute(const void* kernel, Body body, cudaFuncAttribute which, int value);
cudaError_t get_attributes(cudaFuncAttributes* attributes, const void* kernel, Body body);
// The kernel runs to its end; throws Fault.
cudaError_t start(const Launch& launch, dim3 threads);

template <class... Parameters, size_t... kIndex>
void call(const void* kernel, void** arguments, std::index_sequence<kIndex...>) {
  reinterpret_cast<void (*)(Parameters...)>(const_cast<void*>(kernel))(
      *static_cast<std::remove_reference_t<Parameters>*>(arguments[kIndex])...);
}

template <class... Parameters>
Body body_of(void (*)(Parameters...)) {
  return [](const void* kernel, void** arguments) {
    call<Parameters...>(kernel, arguments, std::index_sequence_for<Parameters...>());
  };
}

}  // namespace tamis::emulation

inline void __trap(tamis::emulation::Place place = tamis::emulation::Place::here()) {
  tamis::emulation::fail("came to __trap", place);
}

template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, cudaFuncAttribute which, int value) {
  return tamis::emulation::set_attribute(reinterpret_cast<const void*>(kernel),
                                         tamis::emulation::body_of(kernel), which, value);
}
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, Kernel* kernel) {
  return tamis::emulation::get_attributes(attributes, reinterpret_cast<const void*>(kernel),
                                          tamis::emulation::body_of(kernel));
}

// One cluster dimension, of x. The kernel is one whose attributes were set or asked for.
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* kernel,
                                void** arguments);

template <class... Parameters>
cudaError_t cudaLaunchKernel(void (*kernel)(Parameters...), dim3 grid, dim3 threads,
                             void** arguments, size_t shared_bytes, cudaStream_t) {
  tamis::emulation::Launch launch;
  launch.body = tamis::emulation::body_of(kernel);
  launch.kernel = reinterpret_cast<const void*>(kernel);
  launch.arguments = arguments;
  launch.grid = {grid.x, grid.y, grid.z};
  launch.threads = static_cast<int>(threads.x);
  launch.shared_bytes = shared_bytes;
  return tamis::emulation::start(launch, threads);
}
