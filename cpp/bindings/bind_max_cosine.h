#pragma once

#include "segments.h"

namespace tamis::bindings {

inline py::tuple bind_max(const py::array& x, const py::array& offsets, const py::object& other,
                          const py::object& other_offsets, const py::object& limits,
                          bool exclude_self) {
  const HalfRows rows = half_rows(x, "x");
  const Segments segments = checked_segments(offsets, rows.n_rows, "offsets");
  HalfRows columns = rows;
  Segments column_segments = segments;
  const bool has_other = !other.is_none();
  if (has_other) {
    columns = half_rows(py::cast<py::array>(other), "other");
    same_dim(rows, columns);
    column_segments =
        checked_segments(py::cast<py::array>(other_offsets), columns.n_rows, "other_offsets");
    same_segments(segments, column_segments);
  }
  Sight sight = sight_of(has_other, exclude_self);
  if (!limits.is_none()) {
    sight.kind = Sight::prefix;
    sight.limits = checked_limits(py::cast<py::array>(limits), segments, column_segments);
  }
  py::array_t<double> cosine(rows.n_rows);
  py::array_t<int64_t> index(rows.n_rows);
  double* cosine_data = cosine.mutable_data();
  int64_t* index_data = index.mutable_data();
  Counts counts;
  {
    const py::gil_scoped_release release;
    counts = max_cosine(rows, segments, has_other ? &columns : nullptr,
                        has_other ? &column_segments : nullptr, sight, cosine_data, index_data,
                        context());
  }
  return py::make_tuple(cosine, index, as_dict(counts));
}

inline void checked_indices(const int64_t* index, int64_t size, int64_t n_rows, const char* name) {
  for (int64_t p = 0; p < size; ++p) {
    if (index[p] < 0 || index[p] >= n_rows) {
      throw std::invalid_argument(std::string(name) + ": expected row numbers below " +
                                  std::to_string(n_rows) + ", got " + std::to_string(index[p]));
    }
  }
}

inline py::array_t<double> bind_paired(const py::array& x, const py::array& i, const py::array& y,
                                       const py::array& j) {
  const HalfRows left = half_rows(x, "x"), right = half_rows(y, "y");
  same_dim(left, right);
  const int64_t n = checked<int64_t>(i, "i", 1).size();
  const int64_t* i_data = vector<int64_t>(i, "i", n);
  const int64_t* j_data = vector<int64_t>(j, "j", n);
  checked_indices(i_data, n, left.n_rows, "i");
  checked_indices(j_data, n, right.n_rows, "j");
  py::array_t<double> cosine(n);
  double* data = cosine.mutable_data();
  const py::gil_scoped_release release;
  paired_cosine(left, i_data, right, j_data, n, data, context());
  return cosine;
}

inline int64_t bind_pairs(const py::array& x, int64_t segment_begin, int64_t begin, int64_t end,
                          float threshold, const py::function& sink) {
  const HalfRows rows = half_rows(x, "x");
  if (!(0 <= segment_begin && segment_begin <= begin && begin <= end && end <= rows.n_rows)) {
    throw std::invalid_argument("expected 0 <= segment_begin <= begin <= end <= rows");
  }
  const py::gil_scoped_release release;
  return pairs_above(
      rows, segment_begin, begin, end, threshold,
      [&](const Pair* pairs, int64_t n) {
        const py::gil_scoped_acquire gil;
        py::array_t<int64_t> i(n), j(n);
        py::array_t<float> cosine(n);
        for (int64_t p = 0; p < n; ++p) {
          i.mutable_at(p) = pairs[p].i;
          j.mutable_at(p) = pairs[p].j;
          cosine.mutable_at(p) = pairs[p].cosine;
        }
        sink(i, j, cosine);
      },
      context());
}

inline py::array_t<bool> bind_greedy(const py::array& x, const py::array& offsets,
                                     float threshold) {
  const HalfRows rows = half_rows(x, "x");
  const Segments segments = checked_segments(offsets, rows.n_rows, "offsets");
  py::array_t<bool> keep(rows.n_rows);
  uint8_t* data = reinterpret_cast<uint8_t*>(keep.mutable_data());
  const py::gil_scoped_release release;
  greedy_keep(rows, segments, threshold, data, context());
  return keep;
}

inline py::array_t<int64_t> bind_components(const py::array& x, const py::array& offsets,
                                            float threshold) {
  const HalfRows rows = half_rows(x, "x");
  const Segments segments = checked_segments(offsets, rows.n_rows, "offsets");
  py::array_t<int64_t> component(rows.n_rows);
  int64_t* data = component.mutable_data();
  const py::gil_scoped_release release;
  components(rows, segments, threshold, data, context());
  return component;
}

inline void bind_max_cosine(py::module_& module) {
  module.def("max_cosine", &bind_max, py::arg("x"), py::arg("offsets"), py::arg("other"),
             py::arg("other_offsets"), py::arg("limits"), py::arg("exclude_self"),
             "-> cosine float64 [n], index int64 [n], counts.");
  module.def("paired_cosine", &bind_paired, py::arg("x"), py::arg("i"), py::arg("y"), py::arg("j"),
             "-> float64 cosines of x[i[t]] and y[j[t]].");
  module.def(
      "pairs_above", &bind_pairs, py::arg("x"), py::arg("segment_begin"), py::arg("begin"),
      py::arg("end"), py::arg("threshold"), py::arg("sink"),
      "Calls sink(i, j, cosine) with blocks of pairs, ordered by (j, i) -> row to go on with.");
  module.def("greedy_keep", &bind_greedy, py::arg("x"), py::arg("offsets"), py::arg("threshold"),
             "-> keep bool [n].");
  module.def("components", &bind_components, py::arg("x"), py::arg("offsets"), py::arg("threshold"),
             "-> lowest row of each row's component, int64 [n].");
}

}  // namespace tamis::bindings
