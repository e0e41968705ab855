// AVX2 with FMA and F16C.
#include <immintrin.h>

#include "cpu/lorentz_kernels.h"

namespace tamis::cpu {
namespace lorentz_avx2 {
namespace {

constexpr int kBytes = 32;

#include "cpu/lorentz_loops-inl.h"

}  // namespace
}  // namespace lorentz_avx2

const LorentzKernels kLorentzAvx2 = {
    .sums_half = lorentz_avx2::sums_half,
    .sums_single = lorentz_avx2::sums_single,
    .sums_wide = lorentz_avx2::sums_wide,
    .chords = lorentz_avx2::chords,
    .finish = lorentz_avx2::finish,
    .angles = lorentz_avx2::angles,
    .accumulate = lorentz_avx2::accumulate,
};

}  // namespace tamis::cpu
