#pragma once

#include "bind_cuda_arguments.h"
#include "tamis/cuda/lorentz.h"

namespace tamis::bindings {

// Points on a device: the numbers of one array and what its rows are.
inline PointRows device_points(const Address& x, const std::string& element, int64_t n_rows,
                               int64_t n_columns, int kind, double curvature, const char* name) {
  PointRows rows;
  uintptr_t bytes = 2;
  if (element == "float16") {
    rows.element = Element::half;
  } else if (element == "float32") {
    rows.element = Element::single, bytes = 4;
  } else if (element == "float64") {
    rows.element = Element::wide, bytes = 8;
  } else {
    throw std::invalid_argument("element: expected float16, float32 or float64, got " + element);
  }
  rows.kind = static_cast<Kind>(within(kind, 0, 3, "kind"));
  if (!(curvature > 0 && curvature <= 1e300)) {
    throw std::invalid_argument("curvature: expected a number above 0");
  }
  rows.curvature = curvature;
  within(n_columns, rows.kind == Kind::lorentz ? 2 : 1, kMostColumns, "n_columns");
  rows.n_rows = n_rows;
  rows.n_columns = n_columns;
  rows.data = memory<const void>(x, elements(n_rows, n_columns, name), name, bytes);
  return rows;
}

inline double device_least_radius(double min_radius) {
  if (!(min_radius > 0 && min_radius <= 1e300)) {
    throw std::invalid_argument("min_radius: expected a number above 0");
  }
  return min_radius;
}

inline void bind_device_radii(const Address& x, const std::string& element, int64_t n_rows,
                              int64_t n_columns, int kind, double curvature, const Address& radius,
                              const Address& norm, const Address& state, int device,
                              uintptr_t stream) {
  const PointRows rows = device_points(x, element, n_rows, n_columns, kind, curvature, "x");
  double* radii = memory<double>(radius, n_rows, "radius");
  double* norms = memory<double>(norm, n_rows, "norm");
  uint8_t* states = memory<uint8_t>(state, n_rows, "state");
  on_device(device, stream,
            [&](cuda::Stream queue) { cuda::radii(rows, radii, norms, states, queue); });
}

inline void bind_device_lorentz_paired(const Address& apex, const Address& point,
                                       const std::string& element, int64_t n_rows,
                                       int64_t n_columns, int kind, double curvature, int measure,
                                       double min_radius, const Address& value, int device,
                                       uintptr_t stream) {
  const auto side = [&](const Address& x, const char* name) {
    return device_points(x, element, n_rows, n_columns, kind, curvature, name);
  };
  const PointRows x = side(apex, "apex"), y = side(point, "point");
  const Measure wanted = static_cast<Measure>(within(measure, 0, 3, "measure"));
  device_least_radius(min_radius);
  double* values = memory<double>(value, n_rows, "value");
  on_device(device, stream,
            [&](cuda::Stream queue) { cuda::paired(x, y, wanted, min_radius, values, queue); });
}

inline void bind_cuda_lorentz(py::module_& module) {
  module.def("lorentz_radii", &bind_device_radii, py::arg("x"), py::arg("element"),
             py::arg("n_rows"), py::arg("n_columns"), py::arg("kind"), py::arg("curvature"),
             py::arg("radius"), py::arg("norm"), py::arg("state"), py::kw_only(), py::arg("device"),
             py::arg("stream"),
             "x [n, columns] of element float16, float32 or float64; kind 0 tangent, 1 space, "
             "2 lorentz, 3 poincare -> radius, norm float64 [n], state uint8 [n].");
  module.def("lorentz_paired", &bind_device_lorentz_paired, py::arg("apex"), py::arg("point"),
             py::arg("element"), py::arg("n_rows"), py::arg("n_columns"), py::arg("kind"),
             py::arg("curvature"), py::arg("measure"), py::arg("min_radius"), py::arg("value"),
             py::kw_only(), py::arg("device"), py::arg("stream"),
             "measure 0 inner, 1 distance, 2 angle, 3 energy -> value float64 [n].");
}

}  // namespace tamis::bindings
