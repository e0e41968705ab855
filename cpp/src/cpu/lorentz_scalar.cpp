// Plain vectors of SSE2, for any x86-64 processor.
#include <immintrin.h>

#include "cpu/lorentz_kernels.h"

namespace tamis::cpu {
namespace lorentz_scalar {
namespace {

constexpr int kBytes = 16;

#include "cpu/lorentz_loops-inl.h"

}  // namespace
}  // namespace lorentz_scalar

const LorentzKernels kLorentzScalar = {
    .sums_half = lorentz_scalar::sums_half,
    .sums_single = lorentz_scalar::sums_single,
    .sums_wide = lorentz_scalar::sums_wide,
    .chords = lorentz_scalar::chords,
    .finish = lorentz_scalar::finish,
    .angles = lorentz_scalar::angles,
    .accumulate = lorentz_scalar::accumulate,
};

}  // namespace tamis::cpu
