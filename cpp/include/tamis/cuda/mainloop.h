// How a GPU multiplies rows by columns. Results have the same bits in either way.
#pragma once

namespace tamis::cuda {

enum class Mainloop {
  mma,    // mma.sync: any GPU
  wgmma,  // wgmma and TMA: compute capability 9.0
};

// What a device uses in this process: mma, until something else is asked for. Work memory and plans
// are made for one of them: ask before they are.
Mainloop mainloop_of(int ordinal);

// Throws Error where the device, or the code that was built, does not have it.
void use_mainloop(int ordinal, Mainloop mainloop);

}  // namespace tamis::cuda
