// Specificity of tamis/cuda/lorentz.h for tests.
#include "exports.h"
#include "tamis/cuda/lorentz.h"

using tamis::emulation::guarded;

extern "C" {

// work: null asks for *bytes only. sum, square, clamped: [n_rows]; entailed: int64 [n_rows]
TAMIS_EXPORT const char* emulated_specificity(const void* rows, int64_t n_rows,
                                              const void* references, int64_t n_references,
                                              int64_t element, int64_t n_columns, int64_t kind,
                                              double curvature, int64_t rows_are_apexes,
                                              double min_radius, double* sum, double* square,
                                              double* clamped, int64_t* entailed, int64_t* redone,
                                              int64_t* bytes, void* work) {
  return guarded([&] {
    const auto points = [&](const void* data, int64_t n) {
      return tamis::PointRows{data,      static_cast<tamis::Element>(element), n,
                              n_columns, static_cast<tamis::Kind>(kind),       curvature};
    };
    const auto scored = points(rows, n_rows), others = points(references, n_references);
    *bytes = static_cast<int64_t>(tamis::cuda::specificity_work_bytes(scored, others));
    if (work == nullptr) return;
    tamis::cuda::specificity(scored, others, rows_are_apexes != 0, min_radius,
                             {sum, square, clamped, entailed}, redone, work, {});
  });
}

}  // extern "C"
