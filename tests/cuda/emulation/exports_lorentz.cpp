// Radii and paired values of tamis/cuda/lorentz.h for tests.
#include "exports.h"
#include "tamis/cuda/lorentz.h"

using tamis::PointRows;
using tamis::emulation::guarded;

namespace {

PointRows point_rows(const void* x, int64_t element, int64_t n_rows, int64_t n_columns,
                     int64_t kind, double curvature) {
  return {x,         static_cast<tamis::Element>(element), n_rows,
          n_columns, static_cast<tamis::Kind>(kind),       curvature};
}

}  // namespace

extern "C" {

TAMIS_EXPORT const char* emulated_radii(const void* x, int64_t element, int64_t n_rows,
                                        int64_t n_columns, int64_t kind, double curvature,
                                        double* radius, double* norm, uint8_t* state) {
  return guarded([&] {
    tamis::cuda::radii(point_rows(x, element, n_rows, n_columns, kind, curvature), radius, norm,
                       state, {});
  });
}

TAMIS_EXPORT const char* emulated_lorentz_paired(const void* apex, const void* point,
                                                 int64_t element, int64_t n_rows, int64_t n_columns,
                                                 int64_t kind, double curvature, int64_t measure,
                                                 double min_radius, double* value) {
  return guarded([&] {
    tamis::cuda::paired(point_rows(apex, element, n_rows, n_columns, kind, curvature),
                        point_rows(point, element, n_rows, n_columns, kind, curvature),
                        static_cast<tamis::Measure>(measure), min_radius, value, {});
  });
}

TAMIS_EXPORT const char* emulated_lorentz_all_pairs(const void* apex, int64_t n_apexes,
                                                    const void* point, int64_t n_points,
                                                    int64_t element, int64_t n_columns,
                                                    int64_t kind, double curvature, int64_t measure,
                                                    double min_radius, float* value) {
  return guarded([&] {
    tamis::cuda::all_pairs(point_rows(apex, element, n_apexes, n_columns, kind, curvature),
                           point_rows(point, element, n_points, n_columns, kind, curvature),
                           static_cast<tamis::Measure>(measure), min_radius, value, {});
  });
}

}  // extern "C"
