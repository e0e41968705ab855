// AVX-512 F, DQ, BW and VL.
#include <immintrin.h>

#include "cpu/lorentz_kernels.h"

namespace tamis::cpu {
namespace lorentz_avx512 {
namespace {

constexpr int kBytes = 64;

#include "cpu/lorentz_loops-inl.h"

}  // namespace
}  // namespace lorentz_avx512

const LorentzKernels kLorentzAvx512 = {
    .sums_half = lorentz_avx512::sums_half,
    .sums_single = lorentz_avx512::sums_single,
    .sums_wide = lorentz_avx512::sums_wide,
    .chords = lorentz_avx512::chords,
    .finish = lorentz_avx512::finish,
    .angles = lorentz_avx512::angles,
    .accumulate = lorentz_avx512::accumulate,
};

}  // namespace tamis::cpu
