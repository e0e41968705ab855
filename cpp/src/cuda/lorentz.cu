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

// Which rows a value is of: row i with row i, or, where n_points is given, every apex with all
// points.
struct Pairing {
  int64_t n_pairs, n_points;

  __device__ int64_t apex(int64_t pair) const { return n_points ? pair / n_points : pair; }
  __device__ int64_t point(int64_t pair) const { return n_points ? pair % n_points : pair; }
};

template <class T>
__device__ PairSums pair_sums(const Points<T>& apex, int64_t i, const Points<T>& point, int64_t j) {
  PairSums sums;
  for_elements(apex, i, point, j, [&](double a, double b) {
    sums.xx = fma(a, a, sums.xx);
    sums.yy = fma(b, b, sums.yy);
    sums.xy = fma(a, b, sums.xy);
  });
  return {warp_sum(sums.xx), warp_sum(sums.yy), warp_sum(sums.xy)};
}

template <class T, class Value>
__global__ void __launch_bounds__(kThreads)
    compare_points(Points<T> apex, Points<T> point, Pairing pairing, PairRule rule, Value* value) {
  const int64_t begin = first_row();
  const int64_t end = min(pairing.n_pairs, begin + kRowsAtOnce);
  PairSums own;
  for (int64_t i = begin; i < end; ++i) {
    const PairSums sums = pair_sums(apex, pairing.apex(i), point, pairing.point(i));
    if (i - begin == lane_of_warp()) own = sums;
  }
  const int64_t pair = begin + lane_of_warp();
  PairValue found;
  if (pair < end && apex.on_hyperboloid(pairing.apex(pair), own.xx) &&
      point.on_hyperboloid(pairing.point(pair), own.yy)) {
    found = value_of(rule, own);
  }
  const unsigned doubtful = __ballot_sync(kWholeWarp, pair < end && !found.good);
  for (int64_t i = begin; i < end; ++i) {
    if ((doubtful >> (i - begin) & 1u) == 0) continue;
    const double redone = wide_pair(rule, apex, pairing.apex(i), point, pairing.point(i));
    if (i == pair) found.value = redone;
  }
  if (pair < end) value[pair] = static_cast<Value>(found.value);
}

template <class T>
void launch_radii(const PointRows& x, double* radius, double* norm, uint8_t* state, Stream stream) {
  launch(place_rows<T>, Grid{blocks_of(x.n_rows, kRowsOfBlock)}, kThreads, 0, stream, Points<T>(x),
         radius, norm, state);
}

template <class Value>
void compare(const PointRows& apex, const PointRows& point, const Pairing& pairing,
             const PairRule& rule, Value* value, Stream stream) {
  const Grid grid{blocks_of(pairing.n_pairs, kRowsOfBlock)};
  const auto run = [&]<class T>(const Points<T>& x, const Points<T>& y) {
    launch(compare_points<T, Value>, grid, kThreads, 0, stream, x, y, pairing, rule, value);
  };
  switch (apex.element) {
    case tamis::Element::half:
      return run(Points<uint16_t>(apex), Points<uint16_t>(point));
    case tamis::Element::single:
      return run(Points<float>(apex), Points<float>(point));
    case tamis::Element::wide:
      return run(Points<double>(apex), Points<double>(point));
  }
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
  compare(apex, point, {apex.n_rows, 0}, pair_rule(apex, measure, min_radius), value, stream);
}

void all_pairs(const PointRows& apex, const PointRows& point, Measure measure, double min_radius,
               float* value, Stream stream) {
  compare(apex, point, {apex.n_rows * point.n_rows, point.n_rows},
          pair_rule(apex, measure, min_radius), value, stream);
}

}  // namespace tamis::cuda
