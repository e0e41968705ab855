#pragma once

#include <algorithm>
#include <climits>
#include <exception>
#include <string>
#include <vector>

#include "bind_cuda_arguments.h"
#include "driver.h"
#include "tamis/cuda/mainloop.h"

namespace tamis::bindings {

// What the build compiled for, as nvcc names it.
inline std::vector<std::string> architectures() {
  const std::string all = TAMIS_CUDA_ARCHITECTURES;
  std::vector<std::string> names;
  for (size_t begin = 0, end; begin < all.size(); begin = end + 1) {
    end = std::min(all.find(',', begin), all.size());  // no stream: one brings all of <locale>
    names.push_back(all.substr(begin, end - begin));
  }
  return names;
}

inline py::dict bind_device(int ordinal) {
  const cuda::Device facts = cuda::device(ordinal);
  py::dict out;
  out["ordinal"] = facts.ordinal;
  out["capability"] = facts.capability;
  out["sms"] = facts.sms;
  out["shared_bytes"] = facts.shared_bytes;
  return out;
}

inline const char* bind_mainloop(int ordinal) {
  return cuda::mainloop_of(ordinal) == cuda::Mainloop::mma ? "mma" : "wgmma";
}

inline void bind_use_mainloop(int ordinal, const std::string& name) {
  if (name != "mma" && name != "wgmma") {
    throw py::value_error("mainloop must be \"mma\" or \"wgmma\", got \"" + name + "\"");
  }
  within(ordinal, 0, INT_MAX, "ordinal");
  cuda::use_mainloop(ordinal, name == "mma" ? cuda::Mainloop::mma : cuda::Mainloop::wgmma);
}

inline void bind_cuda_device(py::module_& module) {
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const cuda::OutOfMemory& full) {
      PyErr_SetString(PyExc_MemoryError, full.what());
    }
  });
  module.def("architectures", &architectures, "What the kernels were compiled for.");
  module.def("runtime_version", &runtime_version,
             "The CUDA that the module was built with, 1000 * major + 10 * minor.");
  module.def("driver_version", &driver_version,
             "The newest CUDA that the driver knows; 0 where there is no driver.");
  module.def("device_count", &cuda::device_count, "How many GPUs this process sees.");
  module.def("current_device", &cuda::current_device, "The calling thread's device.");
  module.def("device", &bind_device, py::arg("ordinal"), "Facts about a device.");
  module.def("mainloop", &bind_mainloop, py::arg("ordinal"),
             "How a device multiplies rows by columns: \"mma\" or \"wgmma\".");
  module.def("use_mainloop", &bind_use_mainloop, py::arg("ordinal"), py::arg("mainloop"),
             "Chooses it, for what is planned from now on.");
  module.def(
      "synchronize",
      [](int device, uintptr_t stream) {
        on_device(device, stream, [](cuda::Stream queue) { cuda::synchronize(queue); });
      },
      py::kw_only(), py::arg("device"), py::arg("stream"), "Waits for all work on the stream.");
  module.def(
      "fill",
      [](const Address& to, int byte, int64_t n_bytes, int device, uintptr_t stream) {
        within(byte, 0, 255, "byte");
        void* data = memory<char>(to, within(n_bytes, 0, kMostElements, "n_bytes"), "to");
        on_device(device, stream, [&](cuda::Stream queue) {
          fill(data, byte, static_cast<size_t>(n_bytes), queue);
        });
      },
      py::arg("to"), py::arg("byte"), py::arg("n_bytes"), py::kw_only(), py::arg("device"),
      py::arg("stream"), "Sets every byte of device memory.");
  module.def(
      "copy",
      [](const Address& to, const Address& from, int64_t n_bytes, int device, uintptr_t stream) {
        void* target = memory<char>(to, within(n_bytes, 0, kMostElements, "n_bytes"), "to");
        const void* source = memory<const char>(from, n_bytes, "from_");
        on_device(device, stream, [&](cuda::Stream queue) {
          copy(target, source, static_cast<size_t>(n_bytes), queue);
        });
      },
      py::arg("to"), py::arg("from_"), py::arg("n_bytes"), py::kw_only(), py::arg("device"),
      py::arg("stream"), "Between host and device, either way, or on the device.");
}

}  // namespace tamis::bindings
