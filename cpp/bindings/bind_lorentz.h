#pragma once

#include "arrays.h"
#include "tamis/lorentz.h"

namespace tamis::bindings {

inline PointRows point_rows(const py::array& x, const char* name, int kind, double curvature) {
  if (kind < 0 || kind > 3) throw std::invalid_argument("kind: expected 0 to 3");
  if (!(curvature > 0) || !(curvature <= 1e300)) {
    throw std::invalid_argument("curvature: expected a number above 0");
  }
  PointRows rows;
  rows.kind = static_cast<Kind>(kind);
  rows.curvature = curvature;
  const auto take = [&](const auto& view, Element element) {
    rows.data = view.data();
    rows.element = element;
    rows.n_rows = view.shape(0);
    rows.n_columns = view.shape(1);
  };
  if (py::isinstance<py::array_t<uint16_t>>(x)) {
    take(checked<uint16_t>(x, name, 2), Element::half);
  } else if (py::isinstance<py::array_t<float>>(x)) {
    take(checked<float>(x, name, 2), Element::single);
  } else {
    take(checked<double>(x, name, 2), Element::wide);
  }
  const int64_t least = rows.kind == Kind::lorentz ? 2 : 1;
  if (rows.n_columns < least || rows.n_columns > 65536) {
    throw std::invalid_argument(std::string(name) + ": expected " + std::to_string(least) +
                                " to 65536 columns, got " + std::to_string(rows.n_columns));
  }
  return rows;
}

inline void comparable(const PointRows& x, const PointRows& y) {
  if (x.n_columns != y.n_columns) {
    throw std::invalid_argument("expected rows of one dimension, got " +
                                std::to_string(x.n_columns) + " and " +
                                std::to_string(y.n_columns));
  }
  if (x.element != y.element) throw std::invalid_argument("expected rows of one dtype");
}

inline Measure checked_measure(int measure, double min_radius) {
  if (measure < 0 || measure > 3) throw std::invalid_argument("measure: expected 0 to 3");
  if (!(min_radius > 0 && min_radius <= 1e300)) {
    throw std::invalid_argument("min_radius: expected a number above 0");
  }
  return static_cast<Measure>(measure);
}

inline py::tuple bind_radii(const py::array& x, int kind, double curvature) {
  const PointRows rows = point_rows(x, "x", kind, curvature);
  py::array_t<double> radius(rows.n_rows), norm(rows.n_rows);
  py::array_t<uint8_t> state(rows.n_rows);
  double *radius_data = radius.mutable_data(), *norm_data = norm.mutable_data();
  uint8_t* state_data = state.mutable_data();
  {
    const py::gil_scoped_release release;
    radii(rows, radius_data, norm_data, state_data, context());
  }
  return py::make_tuple(radius, norm, state);
}

inline py::array_t<double> bind_lorentz_paired(const py::array& apex, const py::array& point,
                                               int kind, double curvature, int measure,
                                               double min_radius) {
  const PointRows x = point_rows(apex, "apex", kind, curvature),
                  y = point_rows(point, "point", kind, curvature);
  comparable(x, y);
  if (x.n_rows != y.n_rows) {
    throw std::invalid_argument("expected as many points as apexes, got " +
                                std::to_string(y.n_rows) + " and " + std::to_string(x.n_rows));
  }
  const Measure wanted = checked_measure(measure, min_radius);
  py::array_t<double> value(x.n_rows);
  double* data = value.mutable_data();
  const py::gil_scoped_release release;
  paired(x, y, wanted, min_radius, data, context());
  return value;
}

inline py::array_t<float> bind_lorentz_all_pairs(const py::array& apex, const py::array& point,
                                                 int kind, double curvature, int measure,
                                                 double min_radius) {
  const PointRows x = point_rows(apex, "apex", kind, curvature),
                  y = point_rows(point, "point", kind, curvature);
  comparable(x, y);
  const Measure wanted = checked_measure(measure, min_radius);
  py::array_t<float> value({x.n_rows, y.n_rows});
  float* data = value.mutable_data();
  const py::gil_scoped_release release;
  all_pairs(x, y, wanted, min_radius, data, context());
  return value;
}

inline py::tuple bind_specificity(const py::array& rows, const py::array& references, int kind,
                                  double curvature, bool rows_are_apexes, double min_radius) {
  const PointRows x = point_rows(rows, "rows", kind, curvature),
                  y = point_rows(references, "references", kind, curvature);
  comparable(x, y);
  checked_measure(3, min_radius);
  py::array_t<double> sum(x.n_rows), square(x.n_rows), clamped(x.n_rows);
  py::array_t<int64_t> entailed(x.n_rows);
  const EnergySums sums{sum.mutable_data(), square.mutable_data(), clamped.mutable_data(),
                        entailed.mutable_data()};
  int64_t rescored;
  {
    const py::gil_scoped_release release;
    rescored = specificity(x, y, rows_are_apexes, min_radius, sums, context());
  }
  return py::make_tuple(sum, square, clamped, entailed, rescored);
}

inline void bind_lorentz(py::module_& module) {
  module.def("lorentz_radii", &bind_radii, py::arg("x"), py::arg("kind"), py::arg("curvature"),
             "x float16 bits, float32 or float64 [n, columns]; kind 0 tangent, 1 space, 2 lorentz, "
             "3 poincare -> radius float64 [n], norm float64 [n], state uint8 [n].");
  module.def("lorentz_paired", &bind_lorentz_paired, py::arg("apex"), py::arg("point"),
             py::arg("kind"), py::arg("curvature"), py::arg("measure"), py::arg("min_radius"),
             "measure 0 inner, 1 distance, 2 angle, 3 energy -> float64 [n].");
  module.def("lorentz_all_pairs", &bind_lorentz_all_pairs, py::arg("apex"), py::arg("point"),
             py::arg("kind"), py::arg("curvature"), py::arg("measure"), py::arg("min_radius"),
             "-> float32 [n_apexes, n_points].");
  module.def(
      "lorentz_specificity", &bind_specificity, py::arg("rows"), py::arg("references"),
      py::arg("kind"), py::arg("curvature"), py::arg("rows_are_apexes"), py::arg("min_radius"),
      "-> sums of e, e^2, max(e, 0) float64 [n], count of e <= 0 int64 [n], pairs rescored.");
}

}  // namespace tamis::bindings
