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

inline void bind_device_lorentz_all_pairs(const Address& apex, int64_t n_apexes,
                                          const Address& point, int64_t n_points,
                                          const std::string& element, int64_t n_columns, int kind,
                                          double curvature, int measure, double min_radius,
                                          const Address& value, int device, uintptr_t stream) {
  const PointRows x = device_points(apex, element, n_apexes, n_columns, kind, curvature, "apex"),
                  y = device_points(point, element, n_points, n_columns, kind, curvature, "point");
  const Measure wanted = static_cast<Measure>(within(measure, 0, 3, "measure"));
  device_least_radius(min_radius);
  float* values = memory<float>(value, elements(n_apexes, n_points, "value"), "value");
  on_device(device, stream,
            [&](cuda::Stream queue) { cuda::all_pairs(x, y, wanted, min_radius, values, queue); });
}

struct DeviceScored {
  PointRows rows, references;
};

inline DeviceScored device_scored(const Address& rows, int64_t n_rows, const Address& references,
                                  int64_t n_references, const std::string& element,
                                  int64_t n_columns, int kind, double curvature) {
  return {device_points(rows, element, n_rows, n_columns, kind, curvature, "rows"),
          device_points(references, element, within(n_references, 1, INT32_MAX, "n_references"),
                        n_columns, kind, curvature, "references")};
}

inline size_t bind_device_specificity_bytes(const Address& rows, int64_t n_rows,
                                            const Address& references, int64_t n_references,
                                            const std::string& element, int64_t n_columns, int kind,
                                            double curvature, int device) {
  const DeviceScored x =
      device_scored(rows, n_rows, references, n_references, element, n_columns, kind, curvature);
  const py::gil_scoped_release release;
  const cuda::DeviceScope scope(device);
  return cuda::specificity_work_bytes(x.rows, x.references);
}

inline void bind_device_specificity(const Address& rows, int64_t n_rows, const Address& references,
                                    int64_t n_references, const std::string& element,
                                    int64_t n_columns, int kind, double curvature,
                                    bool rows_are_apexes, double min_radius, const Address& sum,
                                    const Address& square, const Address& clamped,
                                    const Address& entailed, const Address& redone,
                                    const Address& work, int64_t given_bytes, int device,
                                    uintptr_t stream) {
  const DeviceScored x =
      device_scored(rows, n_rows, references, n_references, element, n_columns, kind, curvature);
  device_least_radius(min_radius);
  const EnergySums sums{
      memory<double>(sum, n_rows, "sum"), memory<double>(square, n_rows, "square"),
      memory<double>(clamped, n_rows, "clamped"), memory<int64_t>(entailed, n_rows, "entailed")};
  int64_t* count = memory<int64_t>(redone, 1, "redone");
  on_device(device, stream, [&](cuda::Stream queue) {
    void* scratch =
        work_memory(work, given_bytes, cuda::specificity_work_bytes(x.rows, x.references));
    cuda::specificity(x.rows, x.references, rows_are_apexes, min_radius, sums, count, scratch,
                      queue);
  });
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
  module.def("lorentz_all_pairs", &bind_device_lorentz_all_pairs, py::arg("apex"),
             py::arg("n_apexes"), py::arg("point"), py::arg("n_points"), py::arg("element"),
             py::arg("n_columns"), py::arg("kind"), py::arg("curvature"), py::arg("measure"),
             py::arg("min_radius"), py::arg("value"), py::kw_only(), py::arg("device"),
             py::arg("stream"), "measure as above -> value float32 [n_apexes, n_points].");
  module.def("lorentz_specificity_work_bytes", &bind_device_specificity_bytes, py::arg("rows"),
             py::arg("n_rows"), py::arg("references"), py::arg("n_references"), py::arg("element"),
             py::arg("n_columns"), py::arg("kind"), py::arg("curvature"), py::kw_only(),
             py::arg("device"), "-> bytes of lorentz_specificity.");
  module.def("lorentz_specificity", &bind_device_specificity, py::arg("rows"), py::arg("n_rows"),
             py::arg("references"), py::arg("n_references"), py::arg("element"),
             py::arg("n_columns"), py::arg("kind"), py::arg("curvature"),
             py::arg("rows_are_apexes"), py::arg("min_radius"), py::arg("sum"), py::arg("square"),
             py::arg("clamped"), py::arg("entailed"), py::arg("redone"), py::arg("work"),
             py::arg("work_bytes"), py::kw_only(), py::arg("device"), py::arg("stream"),
             "-> sums of e, e^2, max(e, 0) float64 [n], count of e <= 0 int64 [n]; adds pairs that "
             "were computed in float64 to redone int64 [1].");
}

}  // namespace tamis::bindings
