#include "cuda/device/launch.h"
#include "tamis/cuda/device.h"

namespace tamis::cuda {
namespace {

int attribute(cudaDeviceAttr which, int ordinal) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, ordinal), "read a fact about a device");
  return value;
}

}  // namespace

int device_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorNoDevice) {
    cudaGetLastError();
    return 0;
  }
  check(status, "count the devices");
  return count;
}

int current_device() {
  int ordinal = 0;
  check(cudaGetDevice(&ordinal), "tell the current device");
  return ordinal;
}

Device device(int ordinal) {
  Device facts;
  facts.ordinal = ordinal;
  facts.sms = attribute(cudaDevAttrMultiProcessorCount, ordinal);
  facts.shared_bytes =
      static_cast<size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, ordinal));
  facts.capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, ordinal) +
                     attribute(cudaDevAttrComputeCapabilityMinor, ordinal);
  return facts;
}

DeviceScope::DeviceScope(int ordinal) : before_(current_device()), changes_(ordinal != before_) {
  if (changes_) check(cudaSetDevice(ordinal), "make a device the current one");
}

DeviceScope::~DeviceScope() {
  if (changes_) cudaSetDevice(before_);  // and no context where nobody had one
}

void synchronize(Stream stream) {
  check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream.handle)), "finish the work");
}

}  // namespace tamis::cuda
