// GPUs as the host sees them: streams, facts, errors. No CUDA headers, no Python.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace tamis::cuda {

// What the driver or a launch refused, in one sentence.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& sentence) : std::runtime_error(sentence) {}
};

// It refused for want of device memory: another try may work.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// A cudaStream_t of the current device; null is the legacy default stream.
struct Stream {
  void* handle = nullptr;
};

struct Device {
  int ordinal = 0;
  int sms = 0;
  size_t shared_bytes = 0;  // the largest dynamic shared memory of a block
  int capability = 0;       // 10 * major + minor
};

// 0 where there is a driver but no device; throws Error where there is no usable driver.
int device_count();
int current_device();
Device device(int ordinal);

// Makes a device the calling thread's current one, and puts the old one back.
class DeviceScope {
 public:
  explicit DeviceScope(int ordinal);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_;
  bool changes_;
};

// Waits until all work on the stream is done; throws Error where any of it failed.
void synchronize(Stream stream);

}  // namespace tamis::cuda
