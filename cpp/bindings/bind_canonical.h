#pragma once

#include "arrays.h"
#include "tamis/canonical.h"

namespace tamis::bindings {

template <class T>
py::array_t<uint8_t> classify(const py::array& x, const py::object& rows) {
  const auto view = checked<T>(x, "x", 2);
  const int64_t n = view.shape(0), dim = view.shape(1);
  uint16_t* out = nullptr;
  if (!rows.is_none()) {
    auto target = checked<uint16_t>(py::cast<py::array>(rows), "rows", 2);
    if (target.shape(0) != n || target.shape(1) != dim) {
      throw std::invalid_argument("rows: expected the shape of x");
    }
    out = target.mutable_data();
  }
  py::array_t<uint8_t> state(n);
  uint8_t* state_data = state.mutable_data();
  const T* data = view.data();
  const py::gil_scoped_release release;
  canonical(data, n, dim, out, state_data, context());
  return state;
}

inline void bind_canonical(py::module_& module) {
  module.def(
      "canonical",
      [](const py::array& x, const py::object& rows) {
        if (py::isinstance<py::array_t<uint16_t>>(x)) return classify<uint16_t>(x, rows);
        if (py::isinstance<py::array_t<float>>(x)) return classify<float>(x, rows);
        return classify<double>(x, rows);
      },
      py::arg("x"), py::arg("rows"),
      "x [n, dim] float16 bits, float32 or float64 -> state uint8 [n]; fills rows (or None).");
  module.def(
      "squared_norms",
      [](const py::array& x) {
        const auto view = checked<double>(x, "x", 2);
        py::array_t<double> squares(view.shape(0));
        double* data = squares.mutable_data();
        const py::gil_scoped_release release;
        squared_norms(view.data(), view.shape(0), view.shape(1), data, context());
        return squares;
      },
      py::arg("x"), "x [n, dim] float64 -> |x|^2 float64 [n].");
}

}  // namespace tamis::bindings
