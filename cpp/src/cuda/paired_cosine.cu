#include <algorithm>

#include "cuda/device/dot.h"
#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "tamis/cuda/max_cosine.h"

namespace tamis::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

// A warp for each pair.
__global__ void __launch_bounds__(kThreads)
    compare_pairs(HalfRows x, const int64_t* i, HalfRows y, const int64_t* j, int64_t n_pairs,
                  double* cosine) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t pair = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; pair < n_pairs; pair += stride) {
    const uint16_t* left = x.data + i[pair] * x.dim;
    const uint16_t* right = y.data + j[pair] * y.dim;
    const double left_norm = square_root(warp_dot_of_any(left, left, x.dim));
    const double right_norm = square_root(warp_dot_of_any(right, right, x.dim));
    const double dot = warp_dot_of_any(left, right, x.dim);
    if (threadIdx.x % 32 == 0) cosine[pair] = divide(dot, multiply(left_norm, right_norm));
  }
}

}  // namespace

void paired_cosine(const HalfRows& x, const int64_t* i, const HalfRows& y, const int64_t* j,
                   int64_t n_pairs, double* cosine, Stream stream) {
  const Grid grid{std::min<int64_t>((n_pairs + kWarps - 1) / kWarps, 1 << 16)};
  launch(compare_pairs, grid, kThreads, 0, stream, x, i, y, j, n_pairs, cosine);
}

}  // namespace tamis::cuda
