// The module tamis._cpu: the kernels on NumPy arrays, without logic of its own.
#include <pybind11/stl.h>

#include "bind_canonical.h"
#include "bind_kmeans.h"
#include "bind_lorentz.h"
#include "bind_max_cosine.h"

PYBIND11_MODULE(_cpu, module) {
  module.doc() = "Kernels of tamis on the CPU. float16 crosses as uint16 views.";
  tamis::bindings::bind_canonical(module);
  tamis::bindings::bind_kmeans(module);
  tamis::bindings::bind_lorentz(module);
  tamis::bindings::bind_max_cosine(module);
  module.def("levels", &tamis::cpu::levels, "Instruction sets of this machine, lowest first.");
  module.def("level", &tamis::cpu::level, "The level in use.");
  module.def("thread_count", &tamis::cpu::thread_count, "Threads that a call uses.");
}
