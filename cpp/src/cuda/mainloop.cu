#include <array>
#include <atomic>
#include <string>

#include "cuda/device/launch.h"
#include "cuda/device/warpgroup_mainloop.h"
#include "tamis/cuda/device.h"
#include "tamis/cuda/mainloop.h"

namespace tamis::cuda {
namespace {

constexpr int kMostDevices = 64;

std::array<std::atomic<Mainloop>, kMostDevices> chosen{};

// Its bound tells which of the architectures that were built the driver has chosen.
__global__ void __launch_bounds__(kHasWarpgroups ? kWalkerThreads : 32) tell() {}

bool is_built_for_warpgroups(int ordinal) {
  const DeviceScope scope(ordinal);
  cudaFuncAttributes facts;
  check(cudaFuncGetAttributes(&facts, tell), "read a fact about a kernel");
  return facts.maxThreadsPerBlock == kWalkerThreads;
}

}  // namespace

Mainloop mainloop_of(int ordinal) {
  return ordinal < kMostDevices ? chosen[static_cast<size_t>(ordinal)].load() : Mainloop::mma;
}

void use_mainloop(int ordinal, Mainloop mainloop) {
  if (mainloop == Mainloop::wgmma) {
    if (ordinal >= kMostDevices) {
      throw Error("wgmma is for the first " + std::to_string(kMostDevices) + " devices");
    }
    const int capability = device(ordinal).capability;
    if (capability != 90) {
      throw Error("wgmma is of compute capability 9.0, and cuda:" + std::to_string(ordinal) +
                  " has " + std::to_string(capability / 10) + "." +
                  std::to_string(capability % 10));
    }
    if (!is_built_for_warpgroups(ordinal)) {
      throw Error("tamis was built without code for sm_90a, which wgmma needs");
    }
  }
  if (ordinal < kMostDevices) chosen[static_cast<size_t>(ordinal)] = mainloop;
}

}  // namespace tamis::cuda
