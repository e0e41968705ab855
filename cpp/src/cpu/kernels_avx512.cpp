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
    .name = "avx512",
    .widen = avx512::widen,
    .narrow = avx512::narrow,
    .dot = avx512::dot,
    .dot_wide = avx512::dot_wide,
    .norm_squared = avx512::norm_squared,
    .divide = avx512::divide,
    .add = avx512::add,
    .tile_f32 = avx512::tile_f32,
    .scan_f32 = avx512::scan_f32,
    .dot_f32 = nullptr,
    .pack_i8 = nullptr,
    .tile_i8 = nullptr,
    .scan_i8 = nullptr,
};

}  // namespace tamis::cpu
