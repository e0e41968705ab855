#pragma once

#include "arrays.h"
#include "tamis/kmeans.h"

namespace tamis::bindings {

inline const int32_t* checked_labels(const py::array& labels, int64_t n_rows, int64_t n_clusters) {
  const int32_t* data = vector<int32_t>(labels, "labels", n_rows);
  for (int64_t i = 0; i < n_rows; ++i) {
    if (data[i] < 0 || data[i] >= n_clusters) {
      throw std::invalid_argument("labels: expected 0 to " + std::to_string(n_clusters - 1) +
                                  ", got " + std::to_string(data[i]) + " in row " +
                                  std::to_string(i));
    }
  }
  return data;
}

inline py::tuple bind_assign(const py::array& x, const py::array& centroids, bool euclidean,
                             int top, const py::object& guess) {
  const HalfRows rows = half_rows(x, "x");
  Centroids targets;
  if (py::isinstance<py::array_t<double>>(centroids)) {
    const auto view = checked<double>(centroids, "centroids", 2);
    targets.half = {nullptr, view.shape(0), view.shape(1)};
    targets.wide = view.data();
  } else {
    targets.half = half_rows(centroids, "centroids");
  }
  same_dim(rows, targets.half);
  if (top < 1 || top > targets.half.n_rows) {
    throw std::invalid_argument("top: expected 1 to " + std::to_string(targets.half.n_rows) +
                                " (the number of centroids), got " + std::to_string(top));
  }
  if (targets.half.n_rows > INT32_MAX) throw std::invalid_argument("centroids: too many");
  const int32_t* guesses = guess.is_none() ? nullptr
                                           : checked_labels(py::cast<py::array>(guess), rows.n_rows,
                                                            targets.half.n_rows);
  py::array_t<int32_t> labels({rows.n_rows, static_cast<int64_t>(top)});
  py::array_t<double> scores({rows.n_rows, static_cast<int64_t>(top)});
  int32_t* labels_data = labels.mutable_data();
  double* scores_data = scores.mutable_data();
  Counts counts;
  {
    const py::gil_scoped_release release;
    counts = assign(rows, targets, euclidean ? Metric::euclidean : Metric::dot, top, guesses,
                    labels_data, scores_data, context());
  }
  return py::make_tuple(labels, scores, as_dict(counts));
}

inline py::array_t<uint16_t> bind_update(const py::array& x, const py::array& labels,
                                         const py::array& centroids, bool spherical) {
  const HalfRows rows = half_rows(x, "x"), before = half_rows(centroids, "centroids");
  same_dim(rows, before);
  const int32_t* label = checked_labels(labels, rows.n_rows, before.n_rows);
  py::array_t<uint16_t> next({before.n_rows, before.dim});
  uint16_t* data = next.mutable_data();
  const py::gil_scoped_release release;
  update_centroids(rows, label, before, spherical, data, context());
  return next;
}

inline py::int_ bind_inertia(const py::array& x, const py::array& labels,
                             const py::array& centroids) {
  const HalfRows rows = half_rows(x, "x"), means = half_rows(centroids, "centroids");
  same_dim(rows, means);
  const int32_t* label = checked_labels(labels, rows.n_rows, means.n_rows);
  Inertia total;
  {
    const py::gil_scoped_release release;
    total = inertia(rows, label, means, context());
  }
  const py::int_ high(total.high), low(total.low), shift(64);
  return py::int_((high << shift) + low);
}

inline void bind_kmeans(py::module_& module) {
  module.def("assign", &bind_assign, py::arg("x"), py::arg("centroids"), py::arg("euclidean"),
             py::arg("top"), py::arg("guess") = py::none(),
             "x float16 bits [n, dim], centroids float16 bits or float64 [k, dim] -> labels int32 "
             "[n, top], scores float64 [n, top], counts.");
  module.def("update_centroids", &bind_update, py::arg("x"), py::arg("labels"),
             py::arg("centroids"), py::arg("spherical"),
             "-> next centroids, float16 bits [k, dim].");
  module.def("inertia", &bind_inertia, py::arg("x"), py::arg("labels"), py::arg("centroids"),
             "-> sum |x - c|^2 in units of 2^-48, an int.");
}

}  // namespace tamis::bindings
