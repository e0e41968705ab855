#include "cuda/device/lorentz_pairs.h"
#include "tamis/cuda/lorentz.h"

namespace tamis::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kRowsAtOnce = 32;  // of a warp: it sums them one by one, and each lane ends one
constexpr int64_t kRowsOfBlock = kThreads / 32 * kRowsAtOnce;

__device__ int64_t first_row() {
  return blockIdx.x * kRowsOfBlock + threadIdx.x / 32 * kRowsAtOnce;
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    place_rows(Points<T> x, double* radius, double* norm, uint8_t* state) {
  const int64_t begin = first_row();
  const int64_t end = min(x.n_rows, begin + kRowsAtOnce);
  Square own;
  for (int64_t i = begin; i < end; ++i) {
    const Square square = square_of(x, i);
    if (i - begin == lane_of_warp()) own = square;
  }
  const int64_t row = begin + lane_of_warp();
  if (row >= end) return;
  const PointFacts facts = facts_of(x, row, own);
  radius[row] = facts.radius;
  norm[row] = ldexp(facts.norm, facts.exponent);
  state[row] = static_cast<uint8_t>(facts.state);
}

template <class T>
__device__ PairSums pair_sums(const Points<T>& apex, const Points<T>& point, int64_t i) {
  PairSums sums;
  for_elements(apex, i, point, i, [&](double a, double b) {
    sums.xx = fma(a, a, sums.xx);
    sums.yy = fma(b, b, sums.yy);
    sums.xy = fma(a, b, sums.xy);
  });
  return {warp_sum(sums.xx), warp_sum(sums.yy), warp_sum(sums.xy)};
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    compare_points(Points<T> apex, Points<T> point, PairRule rule, double* value) {
  const int64_t begin = first_row();
  const int64_t end = min(apex.n_rows, begin + kRowsAtOnce);
  PairSums own;
  for (int64_t i = begin; i < end; ++i) {
    const PairSums sums = pair_sums(apex, point, i);
    if (i - begin == lane_of_warp()) own = sums;
  }
  const int64_t row = begin + lane_of_warp();
  PairValue found;
  if (row < end && apex.on_hyperboloid(row, own.xx) && point.on_hyperboloid(row, own.yy)) {
    found = value_of(rule, own);
  }
  const unsigned doubtful = __ballot_sync(kWholeWarp, row < end && !found.good);
  for (int64_t i = begin; i < end; ++i) {
    if ((doubtful >> (i - begin) & 1u) == 0) continue;
    const double redone = wide_pair(rule, apex, i, point, i);
    if (i == row) found.value = redone;
  }
  if (row < end) value[row] = found.value;
}

template <class T>
void launch_radii(const PointRows& x, double* radius, double* norm, uint8_t* state, Stream stream) {
  launch(place_rows<T>, Grid{blocks_of(x.n_rows, kRowsOfBlock)}, kThreads, 0, stream, Points<T>(x),
         radius, norm, state);
}

template <class T>
void launch_paired(const PointRows& apex, const PointRows& point, const PairRule& rule,
                   double* value, Stream stream) {
  launch(compare_points<T>, Grid{blocks_of(apex.n_rows, kRowsOfBlock)}, kThreads, 0, stream,
         Points<T>(apex), Points<T>(point), rule, value);
}

}  // namespace

void radii(const PointRows& x, double* radius, double* norm, uint8_t* state, Stream stream) {
  switch (x.element) {
    case tamis::Element::half:
      return launch_radii<uint16_t>(x, radius, norm, state, stream);
    case tamis::Element::single:
      return launch_radii<float>(x, radius, norm, state, stream);
    case tamis::Element::wide:
      return launch_radii<double>(x, radius, norm, state, stream);
  }
}

void paired(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
            double* value, Stream stream) {
  const PairRule rule = pair_rule(apex, measure, min_radius);
  switch (apex.element) {
    case tamis::Element::half:
      return launch_paired<uint16_t>(apex, point, rule, value, stream);
    case tamis::Element::single:
      return launch_paired<float>(apex, point, rule, value, stream);
    case tamis::Element::wide:
      return launch_paired<double>(apex, point, rule, value, stream);
  }
}

}  // namespace tamis::cuda
