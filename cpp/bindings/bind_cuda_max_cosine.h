#pragma once

#include <memory>

#include "bind_cuda_arguments.h"
#include "segments.h"
#include "tamis/cuda/max_cosine.h"

namespace tamis::bindings {

// A plan and the sizes that it was made for.
struct PlannedMaxCosine {
  std::unique_ptr<cuda::MaxCosine> plan;
  int64_t n_rows = 0, n_other = 0, dim = 0;
  bool has_other = false, has_limits = false;
  int device = 0;

  HalfRows columns_of(const HalfRows& rows, const Address& other) const {
    return has_other ? device_rows(other, n_other, dim, "other") : rows;
  }

  size_t work_bytes(const Address& x, const Address& other) const {
    const HalfRows rows = device_rows(x, n_rows, dim, "x"), columns = columns_of(rows, other);
    return plan->work_bytes(rows, has_other ? &columns : nullptr);
  }

  void run(const Address& x, const Address& other, const Address& limits, const Address& cosine,
           const Address& index, const Address& counts, const Address& work, int64_t given_bytes,
           uintptr_t stream) const {
    const HalfRows rows = device_rows(x, n_rows, dim, "x"), columns = columns_of(rows, other);
    const int64_t* limit = memory<const int64_t>(limits, has_limits ? n_rows : 0, "limits");
    double* cosines = memory<double>(cosine, n_rows, "cosine");
    int64_t* indices = memory<int64_t>(index, n_rows, "index");
    Counts* count = memory_or_none<Counts>(counts, 1, "counts");
    void* scratch = work_memory(work, given_bytes, work_bytes(x, other));
    on_device(device, stream, [&](cuda::Stream queue) {
      plan->run(rows, has_other ? &columns : nullptr, limit, cosines, indices, count, scratch,
                queue);
    });
  }
};

// Offsets and limits are NumPy arrays in host memory, checked as on the CPU; other_offsets null:
// the columns are the rows themselves.
inline PlannedMaxCosine planned_max_cosine(const py::array& offsets,
                                           const py::object& other_offsets,
                                           const py::object& limits, bool exclude_self, int64_t dim,
                                           int device) {
  PlannedMaxCosine out;
  out.dim = within(dim, 1, kMostColumns, "dim");
  out.device = device;
  const Segments segments = planned_segments(offsets, "offsets", out.n_rows);
  Segments columns = segments;
  out.n_other = out.n_rows;
  out.has_other = !other_offsets.is_none();
  if (out.has_other) {
    columns = planned_segments(py::cast<py::array>(other_offsets), "other_offsets", out.n_other);
    same_segments(segments, columns);
  }
  Sight sight = sight_of(out.has_other, exclude_self);
  out.has_limits = !limits.is_none();
  if (out.has_limits) {
    sight.kind = Sight::prefix;
    sight.limits = checked_limits(py::cast<py::array>(limits), segments, columns);
  }
  const py::gil_scoped_release release;
  out.plan = std::make_unique<cuda::MaxCosine>(segments, out.has_other ? &columns : nullptr, sight,
                                               dim, cuda::device(device));
  return out;
}

inline void bind_device_paired(const Address& x, int64_t n_x, const Address& i, const Address& y,
                               int64_t n_y, const Address& j, int64_t dim, int64_t n_pairs,
                               const Address& cosine, int device, uintptr_t stream) {
  const HalfRows left = device_rows(x, n_x, dim, "x"), right = device_rows(y, n_y, dim, "y");
  within(n_pairs, 0, kMostElements, "n_pairs");
  const int64_t* i_data = memory<const int64_t>(i, n_pairs, "i");
  const int64_t* j_data = memory<const int64_t>(j, n_pairs, "j");
  double* data = memory<double>(cosine, n_pairs, "cosine");
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::paired_cosine(left, i_data, right, j_data, n_pairs, data, queue);
  });
}

inline void bind_cuda_max_cosine(py::module_& module) {
  py::class_<PlannedMaxCosine>(module, "MaxCosine",
                               "What a call compares, planned from host offsets; it holds no "
                               "device memory and keeps no array.")
      .def(py::init(&planned_max_cosine), py::arg("offsets"), py::arg("other_offsets"),
           py::arg("limits"), py::arg("exclude_self"), py::arg("dim"), py::kw_only(),
           py::arg("device"))
      .def("work_bytes", &PlannedMaxCosine::work_bytes, py::arg("x"), py::arg("other"),
           "-> bytes of a run with these addresses.")
      .def("run", &PlannedMaxCosine::run, py::arg("x"), py::arg("other"), py::arg("limits"),
           py::arg("cosine"), py::arg("index"), py::arg("counts"), py::arg("work"),
           py::arg("work_bytes"), py::kw_only(), py::arg("stream"),
           "x, other float16 bits -> cosine float64 [n], index int64 [n]; limits int64 [n] as "
           "planned; adds to counts int64 [3] (or None).");
  module.def("paired_cosine", &bind_device_paired, py::arg("x"), py::arg("n_x"), py::arg("i"),
             py::arg("y"), py::arg("n_y"), py::arg("j"), py::arg("dim"), py::arg("n_pairs"),
             py::arg("cosine"), py::kw_only(), py::arg("device"), py::arg("stream"),
             "-> float64 cosines of x[i[t]] and y[j[t]]; i, j int64 row numbers that exist.");
}

}  // namespace tamis::bindings
