// The module tamis._cuda: the kernels on device memory, without logic of its own. Importing it
// touches no GPU and needs no driver.
#include "bind_cuda_assign.h"
#include "bind_cuda_canonical.h"
#include "bind_cuda_device.h"
#include "bind_cuda_lorentz.h"
#include "bind_cuda_max_cosine.h"
#include "bind_cuda_update.h"

PYBIND11_MODULE(_cuda, module) {
  module.doc() =
      "Kernels of tamis on NVIDIA GPUs. Memory goes by its address, streams by their handle; work "
      "is queued on the stream and nothing waits for it.";
  tamis::bindings::bind_cuda_device(module);
  tamis::bindings::bind_cuda_canonical(module);
  tamis::bindings::bind_cuda_assign(module);
  tamis::bindings::bind_cuda_update(module);
  tamis::bindings::bind_cuda_max_cosine(module);
  tamis::bindings::bind_cuda_lorentz(module);
}
