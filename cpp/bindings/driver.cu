#include "cuda/device/launch.h"
#include "driver.h"

namespace tamis::bindings {

int driver_version() {
  int version = 0;
  cuda::check(cudaDriverGetVersion(&version), "tell the version of the driver");
  return version;
}

int runtime_version() {
  int version = 0;
  cuda::check(cudaRuntimeGetVersion(&version), "tell its version");
  return version;
}

void fill(void* to, int byte, size_t bytes, cuda::Stream stream) {
  cuda::fill(to, byte, bytes, stream);
}

void copy(void* to, const void* from, size_t bytes, cuda::Stream stream) {
  cuda::copy(to, from, bytes, stream);
}

}  // namespace tamis::bindings
