#pragma once

#include "bind_cuda_arguments.h"
#include "tamis/cuda/kmeans.h"

namespace tamis::bindings {

inline Metric metric_of(bool euclidean) { return euclidean ? Metric::euclidean : Metric::dot; }

// element: what the centroids are of, float16 or float64.
inline Centroids centroids_of(const Address& address, const std::string& element,
                              int64_t n_clusters, int64_t dim) {
  if (element == "float16") return {device_centroids(address, n_clusters, dim), nullptr};
  if (element != "float64") {
    throw std::invalid_argument("element: expected float16 or float64, got " + element);
  }
  within(n_clusters, 1, INT32_MAX, "n_clusters");
  within(dim, 1, kMostColumns, "dim");
  return {{nullptr, n_clusters, dim},
          memory<const double>(address, elements(n_clusters, dim, "centroids"), "centroids")};
}

// How many problems of one size lie in rows and centroids, one after another.
inline int64_t problems(int64_t n_problems, int64_t n_rows, int64_t n_clusters) {
  within(n_problems, 1, n_clusters, "n_problems");
  if (n_rows % n_problems != 0 || n_clusters % n_problems != 0) {
    refuse("n_problems", "a divisor of n_rows and n_clusters", n_problems);
  }
  return n_problems;
}

inline size_t bind_assign_work_bytes(const Address& x, int64_t n_rows, int64_t dim,
                                     const Address& centroids, int64_t n_clusters, bool euclidean,
                                     int64_t n_problems, int device) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const HalfRows targets = device_centroids(centroids, n_clusters, dim);
  const int64_t n = problems(n_problems, n_rows, n_clusters);
  return on_device(device, 0, [&](cuda::Stream) {
    return cuda::assign_work_bytes(rows, targets, metric_of(euclidean), n);
  });
}

inline void bind_device_assign(const Address& x, int64_t n_rows, int64_t dim,
                               const Address& centroids, int64_t n_clusters, bool euclidean,
                               const Address& labels, const Address& scores, const Address& counts,
                               const Address& work, int64_t work_bytes, int64_t n_problems, int top,
                               int device, uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const HalfRows targets = device_centroids(centroids, n_clusters, dim);
  const int64_t n = problems(n_problems, n_rows, n_clusters);
  within(top, 1, n_clusters / n, "top");
  const int64_t n_found = elements(n_rows, top, "labels");
  int32_t* label = memory<int32_t>(labels, n_found, "labels");
  double* score = memory_or_none<double>(scores, n_found, "scores");
  Counts* count = memory_or_none<Counts>(counts, 1, "counts");
  const Metric metric = metric_of(euclidean);
  const size_t needed =
      bind_assign_work_bytes(x, n_rows, dim, centroids, n_clusters, euclidean, n_problems, device);
  void* scratch = work_memory(work, work_bytes, needed);
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::assign(rows, targets, metric, n, top, label, score, count, scratch, queue);
  });
}

inline void bind_score_labels(const Address& x, int64_t n_rows, int64_t dim,
                              const Address& centroids, int64_t n_clusters, bool euclidean,
                              const Address& labels, const Address& scores, int64_t n_problems,
                              int device, uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const HalfRows targets = device_centroids(centroids, n_clusters, dim);
  const int64_t n = problems(n_problems, n_rows, n_clusters);
  const int32_t* label = memory<const int32_t>(labels, n_rows, "labels");
  double* score = memory<double>(scores, n_rows, "scores");
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::score_labels(rows, targets, metric_of(euclidean), n, label, score, queue);
  });
}

inline size_t bind_assign_exact_work_bytes(const Address& x, int64_t n_rows, int64_t dim,
                                           const Address& centroids, const std::string& element,
                                           int64_t n_clusters, bool euclidean, int device) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const Centroids targets = centroids_of(centroids, element, n_clusters, dim);
  return on_device(device, 0, [&](cuda::Stream) {
    return cuda::assign_exact_work_bytes(rows, targets, metric_of(euclidean));
  });
}

inline void bind_assign_exact(const Address& x, int64_t n_rows, int64_t dim,
                              const Address& centroids, const std::string& element,
                              int64_t n_clusters, bool euclidean, int top, const Address& labels,
                              const Address& scores, const Address& work, int64_t work_bytes,
                              int device, uintptr_t stream) {
  const HalfRows rows = device_rows(x, n_rows, dim, "x");
  const Centroids targets = centroids_of(centroids, element, n_clusters, dim);
  within(top, 1, n_clusters < cuda::kMostTop ? n_clusters : cuda::kMostTop, "top");
  const int64_t n = elements(n_rows, top, "labels");
  int32_t* label = memory<int32_t>(labels, n, "labels");
  double* score = memory<double>(scores, n, "scores");
  const size_t needed = bind_assign_exact_work_bytes(x, n_rows, dim, centroids, element, n_clusters,
                                                     euclidean, device);
  void* scratch = work_memory(work, work_bytes, needed);
  on_device(device, stream, [&](cuda::Stream queue) {
    cuda::assign_exact(rows, targets, metric_of(euclidean), top, label, score, scratch, queue);
  });
}

inline void bind_cuda_assign(py::module_& module) {
  module.def("assign_work_bytes", &bind_assign_work_bytes, py::arg("x"), py::arg("n_rows"),
             py::arg("dim"), py::arg("centroids"), py::arg("n_clusters"), py::arg("euclidean"),
             py::kw_only(), py::arg("n_problems") = 1, py::arg("device"),
             "-> bytes of assign with these addresses.");
  module.def("assign", &bind_device_assign, py::arg("x"), py::arg("n_rows"), py::arg("dim"),
             py::arg("centroids"), py::arg("n_clusters"), py::arg("euclidean"), py::arg("labels"),
             py::arg("scores"), py::arg("counts"), py::arg("work"), py::arg("work_bytes"),
             py::kw_only(), py::arg("n_problems") = 1, py::arg("top") = 1, py::arg("device"),
             py::arg("stream"),
             "x, centroids float16 bits, of n_problems one after another -> labels int32 [n, top], "
             "scores float64 [n, top] (or None); adds to counts int64 [3] (or None): rows, "
             "rescored, climbed.");
  module.def("score_labels", &bind_score_labels, py::arg("x"), py::arg("n_rows"), py::arg("dim"),
             py::arg("centroids"), py::arg("n_clusters"), py::arg("euclidean"), py::arg("labels"),
             py::arg("scores"), py::kw_only(), py::arg("n_problems") = 1, py::arg("device"),
             py::arg("stream"), "labels int32 [n] -> scores float64 [n] as assign gives them.");
  module.def("assign_exact_work_bytes", &bind_assign_exact_work_bytes, py::arg("x"),
             py::arg("n_rows"), py::arg("dim"), py::arg("centroids"), py::arg("element"),
             py::arg("n_clusters"), py::arg("euclidean"), py::kw_only(), py::arg("device"),
             "-> bytes of assign_exact with these addresses.");
  module.def("assign_exact", &bind_assign_exact, py::arg("x"), py::arg("n_rows"), py::arg("dim"),
             py::arg("centroids"), py::arg("element"), py::arg("n_clusters"), py::arg("euclidean"),
             py::arg("top"), py::arg("labels"), py::arg("scores"), py::arg("work"),
             py::arg("work_bytes"), py::kw_only(), py::arg("device"), py::arg("stream"),
             "centroids of element float16 (bits) or float64 -> labels int32 [n, top], scores "
             "float64 [n, top]; top is at most 64.");
}

}  // namespace tamis::bindings
