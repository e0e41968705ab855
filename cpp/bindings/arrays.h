// NumPy arrays as checked views. float16 crosses as uint16, never by conversion; nothing is copied.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>
#include <string>

#include "cpu/level.h"
#include "tamis/array.h"

namespace tamis::bindings {

namespace py = pybind11;

// An array of T, C-contiguous and aligned, with `n_dims` dimensions; TypeError or ValueError
// otherwise.
template <class T>
py::array_t<T> checked(const py::array& array, const char* name, int n_dims) {
  if (!py::isinstance<py::array_t<T>>(array)) {
    throw py::type_error(std::string(name) + ": expected dtype " +
                         std::string(py::str(py::dtype::of<T>())) + ", got " +
                         std::string(py::str(array.dtype())));
  }
  if (array.ndim() != n_dims) {
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(n_dims) +
                                " dimensions, got " + std::to_string(array.ndim()));
  }
  if (!(array.flags() & py::array::c_style)) {
    throw std::invalid_argument(std::string(name) + ": expected a C-contiguous array");
  }
  if (reinterpret_cast<uintptr_t>(array.data()) % alignof(T) != 0) {
    throw std::invalid_argument(std::string(name) + ": expected an aligned array");
  }
  return py::reinterpret_borrow<py::array_t<T>>(array);
}

template <class T>
const T* vector(const py::array& array, const char* name, int64_t size) {
  const auto view = checked<T>(array, name, 1);
  if (view.size() != size) {
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(size) +
                                " elements, got " + std::to_string(view.size()));
  }
  return view.data();
}

inline HalfRows half_rows(const py::array& array, const char* name) {
  const auto view = checked<uint16_t>(array, name, 2);
  if (view.shape(1) < 1 || view.shape(1) > 65536) {
    throw std::invalid_argument(std::string(name) + ": expected 1 to 65536 columns, got " +
                                std::to_string(view.shape(1)));
  }
  return {view.data(), view.shape(0), view.shape(1)};
}

inline void same_dim(const HalfRows& x, const HalfRows& y) {
  if (x.dim != y.dim) {
    throw std::invalid_argument("expected rows of one dimension, got " + std::to_string(x.dim) +
                                " and " + std::to_string(y.dim));
  }
}

// Threads from the environment; Ctrl-C is noticed between tasks. The GIL must be released.
inline Context context() {
  return {cpu::thread_count(), [] {
            const py::gil_scoped_acquire gil;
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
          }};
}

inline py::dict as_dict(const Counts& counts) {
  py::dict out;
  out["rows"] = counts.rows;
  out["rescored"] = counts.rescored;
  out["climbed"] = counts.climbed;
  return out;
}

}  // namespace tamis::bindings
