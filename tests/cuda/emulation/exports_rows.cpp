// The row operations of tamis/cuda/canonical.h and update.h for tests.
#include "exports.h"
#include "tamis/cuda/canonical.h"
#include "tamis/cuda/update.h"

using tamis::emulation::guarded;

extern "C" {

TAMIS_EXPORT const char* emulated_canonical(const void* x, int64_t element, int64_t n_rows,
                                            int64_t dim, uint16_t* rows, uint8_t* state) {
  return guarded([&] {
    tamis::cuda::canonical(x, static_cast<tamis::cuda::Element>(element), n_rows, dim, rows, state,
                           {});
  });
}

TAMIS_EXPORT const char* emulated_squared_norms(const uint16_t* x, int64_t n_rows, int64_t dim,
                                                double* squares) {
  return guarded([&] { tamis::cuda::squared_norms({x, n_rows, dim}, squares, {}); });
}

TAMIS_EXPORT const char* emulated_update_work_bytes(int64_t n_rows, int64_t dim, int64_t n_clusters,
                                                    int64_t* bytes) {
  return guarded([&] {
    *bytes = static_cast<int64_t>(tamis::cuda::update_work_bytes(n_rows, dim, n_clusters));
  });
}

TAMIS_EXPORT const char* emulated_update_centroids(const uint16_t* x, int64_t n_rows, int64_t dim,
                                                   const int32_t* labels, const uint16_t* centroids,
                                                   int64_t n_clusters, int64_t spherical,
                                                   uint16_t* next, void* work) {
  return guarded([&] {
    tamis::cuda::update_centroids({x, n_rows, dim}, labels, {centroids, n_clusters, dim},
                                  spherical != 0, next, work, {});
  });
}

TAMIS_EXPORT const char* emulated_add_rows_work_bytes(int64_t n_rows, int64_t n_clusters,
                                                      int64_t* bytes) {
  return guarded(
      [&] { *bytes = static_cast<int64_t>(tamis::cuda::add_rows_work_bytes(n_rows, n_clusters)); });
}

TAMIS_EXPORT const char* emulated_add_rows(const uint16_t* x, int64_t n_rows, int64_t dim,
                                           const int32_t* labels, int64_t n_clusters,
                                           int64_t n_problems, double* sum, int64_t* count,
                                           void* work) {
  return guarded([&] {
    tamis::cuda::add_rows({x, n_rows, dim}, labels, n_clusters, n_problems, {sum, count}, work, {});
  });
}

TAMIS_EXPORT const char* emulated_next_centroids(double* sum, int64_t* count,
                                                 const uint16_t* centroids, int64_t n_clusters,
                                                 int64_t dim, int64_t spherical, uint16_t* next) {
  return guarded([&] {
    tamis::cuda::next_centroids({sum, count}, {centroids, n_clusters, dim}, spherical != 0, next,
                                {});
  });
}

TAMIS_EXPORT const char* emulated_add_inertia(const uint16_t* x, int64_t n_rows, int64_t dim,
                                              const int32_t* labels, const uint16_t* centroids,
                                              int64_t n_clusters, int64_t n_problems,
                                              tamis::Inertia* total) {
  return guarded([&] {
    tamis::cuda::add_inertia({x, n_rows, dim}, labels, {centroids, n_clusters, dim}, n_problems,
                             total, {});
  });
}

TAMIS_EXPORT const char* emulated_count_changed(const int32_t* labels, const int32_t* before,
                                                int64_t n_rows, int64_t n_problems,
                                                int64_t* changed) {
  return guarded(
      [&] { tamis::cuda::count_changed(labels, before, n_rows, n_problems, changed, {}); });
}

}  // extern "C"
