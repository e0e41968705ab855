#pragma once

#include "bind_cuda_arguments.h"
#include "bind_cuda_assign.h"
#include "tamis/cuda/update.h"

namespace tamis::bindings {

// Labels are not read here: a row whose label names no cluster belongs to none.
inline const int32_t* device_labels(const Address& labels, int64_t n_rows) {
  return memory<const int32_t>(labels, n_rows, "labels");
}

// What one launch takes of them.
inline int64_t problems_at_once(int64_t n_problems, int64_t n_rows, int64_t n_clusters) {
  within(n_problems, 1, 65535, "n_problems");
  return problems(n_problems, n_rows, n_clusters);
}

inline void bind_update_centroids(const Address& x, int64_t n_rows, int64_t dim,
                                  const Address& labels, const Address& centroids,
                                  int64_t n_clusters, bool spherical, const Address& next,
                                  const Address& work, int64_t work_bytes, int device,
                                  uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const HalfRows before = device_centroids(centroids, n_clusters, dim);
  const int32_t* label = device_labels(labels, n_rows);
  uint16_t* out = memory<uint16_t>(next, n_clusters * dim, "next");
  void* scratch = work_memory(work, work_bytes, cuda::update_work_bytes(n_rows, dim, n_clusters));
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::update_centroids(rows, label, before, spherical, out, scratch, queue);
  });
}

inline void bind_add_rows(const Address& x, int64_t n_rows, int64_t dim, const Address& labels,
                          int64_t n_clusters, const Address& sum, const Address& count,
                          const Address& work, int64_t work_bytes, int64_t n_problems, int device,
                          uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  within(n_clusters, 1, INT32_MAX, "n_clusters");
  problems_at_once(n_problems, n_rows, n_clusters);
  const int32_t* label = device_labels(labels, n_rows);
  const cuda::ClusterSums sums{memory<double>(sum, n_clusters * dim, "sum"),
                               memory<int64_t>(count, n_clusters, "count")};
  void* scratch = work_memory(work, work_bytes, cuda::add_rows_work_bytes(n_rows, n_clusters));
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::add_rows(rows, label, n_clusters, n_problems, sums, scratch, queue);
  });
}

inline void bind_next_centroids(const Address& sum, const Address& count, const Address& centroids,
                                int64_t n_clusters, int64_t dim, bool spherical,
                                const Address& next, int device, uintptr_t stream) {
  const HalfRows before = device_centroids(centroids, n_clusters, dim);
  const cuda::ClusterSums sums{memory<double>(sum, n_clusters * dim, "sum"),
                               memory<int64_t>(count, n_clusters, "count")};
  uint16_t* out = memory<uint16_t>(next, n_clusters * dim, "next");
  on_device(device, stream,
            [&](cuda::Stream queue) { cuda::next_centroids(sums, before, spherical, out, queue); });
}

inline void bind_add_inertia(const Address& x, int64_t n_rows, int64_t dim, const Address& labels,
                             const Address& centroids, int64_t n_clusters, const Address& total,
                             int64_t n_problems, int device, uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const HalfRows means = device_centroids(centroids, n_clusters, dim);
  problems_at_once(n_problems, n_rows, n_clusters);
  const int32_t* label = device_labels(labels, n_rows);
  Inertia* sums = memory<Inertia>(total, n_problems, "total");
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::add_inertia(rows, label, means, n_problems, sums, queue);
  });
}

inline void bind_count_changed(const Address& labels, const Address& before, int64_t n_rows,
                               const Address& changed, int64_t n_problems, int device,
                               uintptr_t stream) {
  within(n_rows, 0, kMostElements, "n_rows");
  problems_at_once(n_problems, n_rows, n_problems);
  const int32_t* now = device_labels(labels, n_rows);
  const int32_t* then = memory<const int32_t>(before, n_rows, "before");
  int64_t* counts = memory<int64_t>(changed, n_problems, "changed");
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::count_changed(now, then, n_rows, n_problems, counts, queue);
  });
}

inline void bind_cuda_update(py::module_& module) {
  module.def(
      "update_work_bytes",
      [](int64_t n_rows, int64_t dim, int64_t n_clusters) {
        elements(n_rows, within(dim, 1, kMostColumns, "dim"), "n_rows");
        return cuda::update_work_bytes(n_rows, dim, within(n_clusters, 1, INT32_MAX, "n_clusters"));
      },
      py::arg("n_rows"), py::arg("dim"), py::arg("n_clusters"), "-> bytes of update_centroids.");
  module.def("update_centroids", &bind_update_centroids, py::arg("x"), py::arg("n_rows"),
             py::arg("dim"), py::arg("labels"), py::arg("centroids"), py::arg("n_clusters"),
             py::arg("spherical"), py::arg("next"), py::arg("work"), py::arg("work_bytes"),
             py::kw_only(), py::arg("device"), py::arg("stream"),
             "x, centroids float16 bits, labels int32 [n] -> next float16 bits [k, dim].");
  module.def(
      "add_rows_work_bytes",
      [](int64_t n_rows, int64_t n_clusters) {
        within(n_rows, 0, kMostElements, "n_rows");
        return cuda::add_rows_work_bytes(n_rows, within(n_clusters, 1, INT32_MAX, "n_clusters"));
      },
      py::arg("n_rows"), py::arg("n_clusters"), "-> bytes of add_rows.");
  module.def("add_rows", &bind_add_rows, py::arg("x"), py::arg("n_rows"), py::arg("dim"),
             py::arg("labels"), py::arg("n_clusters"), py::arg("sum"), py::arg("count"),
             py::arg("work"), py::arg("work_bytes"), py::kw_only(), py::arg("n_problems") = 1,
             py::arg("device"), py::arg("stream"),
             "Adds rows to sum float64 [k, dim] and count int64 [k].");
  module.def("next_centroids", &bind_next_centroids, py::arg("sum"), py::arg("count"),
             py::arg("centroids"), py::arg("n_clusters"), py::arg("dim"), py::arg("spherical"),
             py::arg("next"), py::kw_only(), py::arg("device"), py::arg("stream"),
             "-> next float16 bits [k, dim].");
  module.def("add_inertia", &bind_add_inertia, py::arg("x"), py::arg("n_rows"), py::arg("dim"),
             py::arg("labels"), py::arg("centroids"), py::arg("n_clusters"), py::arg("total"),
             py::kw_only(), py::arg("n_problems") = 1, py::arg("device"), py::arg("stream"),
             "Adds sum |x - c|^2 in units of 2^-48 to total [n_problems]: int64 high, uint64 low.");
  module.def("count_changed", &bind_count_changed, py::arg("labels"), py::arg("before"),
             py::arg("n_rows"), py::arg("changed"), py::kw_only(), py::arg("n_problems") = 1,
             py::arg("device"), py::arg("stream"),
             "Adds the number of labels that differ to changed int64 [n_problems].");
}

}  // namespace tamis::bindings
