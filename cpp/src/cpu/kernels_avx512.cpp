// AVX-512 F, DQ, BW and VL.
#include <immintrin.h>

#include "cpu/kernels.h"

namespace tamis::cpu {
namespace avx512 {
namespace {

#include "cpu/avx512-inl.h"
#include "cpu/lanes-inl.h"

}  // namespace
}  // namespace avx512

const Kernels kAvx512 = {
    "avx512",         avx512::widen,        avx512::narrow, avx512::dot,
    avx512::dot_wide, avx512::norm_squared, avx512::divide, avx512::add,
    avx512::pack_i8,  avx512::tile_f32,     nullptr,        avx512::scan_f32,
    nullptr,
};

}  // namespace tamis::cpu
