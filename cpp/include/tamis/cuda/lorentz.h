// Points of hyperbolic space on a GPU: the definitions, rules and error bounds of tamis/lorentz.h.
// Values are within 1e-6 rad (distances within 1e-6 of their value) of the CPU's, not its bits; on
// one device they are the same bits for any grid, order of blocks, and split of the rows.
//
// Pointers are device memory; work is queued on the stream and nothing waits for it. Rows are read
// 16 bytes at a time where each of them is 16-byte aligned, element by element elsewhere.
#pragma once

#include "tamis/cuda/device.h"
#include "tamis/lorentz.h"

namespace tamis::cuda {

// radius: float64 [n_rows]. norm: float64 [n_rows]. state: PointState [n_rows].
void radii(const PointRows& x, double* radius, double* norm, uint8_t* state, Stream stream);

// Apexes and points of one element, dimension, kind and curvature.
// value: float64 [n_rows].
void paired(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
            double* value, Stream stream);

// Each apex with each point, computed as paired. value: float32 [n_apexes x n_points].
void all_pairs(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
               float* value, Stream stream);

size_t specificity_work_bytes(const PointRows& rows, const PointRows& references);

// sums: device memory, each [n_rows]. redone: how many pairs were computed as paired ones is added
// to this word. work: specificity_work_bytes of scratch memory, 256-byte aligned.
void specificity(const PointRows& rows, const PointRows& references, bool rows_are_apexes,
                 double min_radius, const EnergySums& sums, int64_t* redone, void* work,
                 Stream stream);

}  // namespace tamis::cuda
