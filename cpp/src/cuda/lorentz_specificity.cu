// Specificity: energies of all pairs from unit vectors multiplied on tensor cores, summed per row.
//
// Any element type goes the same way. A unit vector u = x / |x|, of float64, becomes
//     hi = u rounded to a multiple of 2^-11, lo = float16(u - hi), mid = float16(u),
// of which a row keeps (lo, mid, hi) and a reference (hi, lo, hi), side by side: one product of
// three times the dimension is lo hi' + mid lo' + hi hi' = u.u', but for roundings.
//
// Error of g = u.u'. A slice of the mainloop is 32 elements, all of one part.
//   hi hi': multiples of 2^-22 whose partial sums stay below 2 (Cauchy-Schwarz): float32 holds
//     them, so a slice is exact in whatever order tensor cores add, and wherever they cut.
//   lo hi' + mid lo': |lo| <= 2^-12, so that |lo|.|hi'| sums to less than 2^-12 sqrt d, of which a
//     slice loses 32 * 2^-23 at most (fine_dot_error): 2^-29 sqrt d for both.
//   Roundings to nearest: (u - hi - lo) u', twice, is below 2^-24 |u'|_1 <= 2^-24 sqrt d, and
//     (u - mid) lo' below 2^-23 sqrt d; d / 32 slices are added, 2^-24 each, the small ones first.
// In all |error of g| <= eps = (4.1 sqrt d + ceil(d / 32) + 2) 2^-24, 6.6e-6 for d = 512 and about
// 1e-7 in practice. Truncation, the one error that has a sign, is the 2^-29 sqrt d: 4e-8 at most.
//
// Error of an angle. To first order kappa eps, kappa as in lorentz.h, and 3e-7 for the arithmetic
// of float32. Pairs with kappa > kIllConditioned are computed from differences in float64, so
// |error| <= kIllConditioned eps + 3e-7 = 5.4e-5 (d = 512). The errors of a row's references are
// independent but for the rounding of its own tanh, kIllConditioned 2^-24 = 4.8e-7 at most, and of
// its own u: means over kFewReferences or more are within 1e-6 rad (3e-7 is the most that was
// seen). Means over fewer are summed from differences in float64.
//
// Memory: 6 bytes an element for the references and for the rows at once.
#include <algorithm>
#include <cmath>

#include "cuda/device/half.h"
#include "cuda/device/launch.h"
#include "cuda/device/lorentz_energy.h"
#include "cuda/device/lorentz_pairs.h"
#include "cuda/device/mainloop.h"
#include "tamis/cuda/lorentz.h"

namespace tamis::cuda {
namespace {

constexpr int kParts = 3;
constexpr int kWarps = kBlockThreads / 32;
constexpr int64_t kWaves = 4;  // of blocks, for the rows at once
constexpr int64_t kFewReferences = 48;
constexpr float kMarked = -1;  // for the 1 / cosh of a row that does not count

struct Point {
  PointFacts facts;
  double aper;
  float tanh, sech;
};

struct Packed {
  uint16_t* parts = nullptr;  // [n_rows x kParts * padded dim]
  Point* points = nullptr;    // [n_rows]
};

__device__ __forceinline__ void write(const EnergySums& sums, int64_t row, const Totals& totals,
                                      bool good) {
  sums.sum[row] = good ? totals.sum : NAN;
  sums.square[row] = good ? totals.square : NAN;
  sums.clamped[row] = good ? totals.clamped : NAN;
  sums.entailed[row] = good ? totals.entailed : 0;
}

// A warp for each row from `first` on, to place 0 on.
template <class T>
__global__ void __launch_bounds__(kBlockThreads)
    place_points(Points<T> x, int64_t first, int64_t n_rows, Point* to) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; i < n_rows; i += stride) {
    const Square square = square_of(x, first + i);
    if (threadIdx.x % 32 == 0) to[i].facts = facts_of(x, first + i, square);
  }
}

// One thread's: what the tiles need of a point whose facts are known.
__device__ __forceinline__ void finish(Point& point, double min_radius) {
  const PointFacts& facts = point.facts;
  const bool counts = is_usable(facts.state);
  point.tanh = counts ? static_cast<float>(facts.sinh / facts.cosh) : 0.0f;
  point.sech = counts ? static_cast<float>(1 / facts.cosh) : kMarked;
  // An apex at the origin has the angle that a tile gives it, so that its energy is 0.
  point.aper = counts && facts.norm > 0 ? half_aperture(facts.sinh, min_radius) : kRightAngle;
}

// The same, once points are placed. scored: the order of the parts.
template <class T>
__global__ void __launch_bounds__(kBlockThreads)
    pack_points(Points<T> x, int64_t first, int64_t n_rows, double min_radius, int64_t padded,
                bool scored, Packed to) {
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  const int64_t skipped = x.kind == Kind::lorentz ? 1 : 0, dim = x.n_columns - skipped;
  for (; i < n_rows; i += stride) {
    if (threadIdx.x % 32 == 0) finish(to.points[i], min_radius);
    const PointFacts& facts = to.points[i].facts;
    const double norm = is_usable(facts.state) ? facts.norm : 0;
    const int exponent = facts.exponent;
    uint16_t* parts = to.parts + i * kParts * padded;
    const T* from = x.data + (first + i) * x.n_columns + skipped;
    for (int64_t k = threadIdx.x % 32; k < padded; k += 32) {
      double u = 0;
      if (norm > 0 && k < dim) {
        const double value = widened(from[k]);
        u = (exponent != 0 ? ldexp(value, -exponent) : value) / norm;
      }
      const double high = rint(u * 0x1p11) * 0x1p-11;
      const uint16_t hi = double_to_half(high), lo = double_to_half(u - high);
      parts[k] = scored ? lo : hi;
      parts[padded + k] = scored ? double_to_half(u) : lo;
      parts[2 * padded + k] = hi;
    }
  }
}

struct MatrixShared {
  Stages stages;
  Totals totals[mainloop::kWarpsAcross][kBlockRows];
  uint32_t doubts[kWarps][mainloop::kWarpRows];  // a bit for each column of the warp
  double aper[kBlockRows];
  float tanh[kBlockRows], sech[kBlockRows];  // kMarked
};

// The whole warp's: of apex i and point j, both usable, from differences of elements.
template <class T>
__device__ __forceinline__ double wide_energy(const PairRule& rule, const Points<T>& apexes,
                                              int64_t i, const PointFacts& x,
                                              const Points<T>& points, int64_t j,
                                              const PointFacts& y) {
  Chords between;
  if (x.norm > 0 && y.norm > 0) between = chords(apexes, i, x, points, j, y);
  return wide_value(rule, x, y, between);
}

// Rows and references, and their numbers in `packed` and `others`: row first_row + number.
template <class T>
struct Scored {
  Points<T> rows, references;
  Packed packed, others;
  int64_t first_row, n_rows;
  bool rows_are_apexes;
  PairRule rule;
};

template <class T>
__device__ __forceinline__ double redone_energy(const Scored<T>& scored, int64_t row,
                                                int64_t reference) {
  const PointFacts& own = scored.packed.points[row].facts;
  const PointFacts& other = scored.others.points[reference].facts;
  const int64_t i = scored.first_row + row;
  // One call, for it is long.
  const bool swap = !scored.rows_are_apexes;
  return wide_energy(scored.rule, swap ? scored.references : scored.rows, swap ? reference : i,
                     swap ? other : own, swap ? scored.rows : scored.references,
                     swap ? i : reference, swap ? own : other);
}

// A warp's pairs that were too ill-conditioned, in order of rows, then columns: 64 rows by 32
// columns from (row, column) on. Returns how many.
template <class T>
__device__ __forceinline__ int64_t redo(const Scored<T>& scored, int64_t row, int64_t column,
                                        const uint32_t* doubts, Totals* totals) {
  int64_t n = 0;
#pragma unroll 1
  for (int r = 0; r < mainloop::kWarpRows; ++r) {
#pragma unroll 1
    for (uint32_t rest = doubts[r]; rest != 0; rest &= rest - 1) {
      const int64_t reference = column + __ffs(static_cast<int>(rest)) - 1;
      const double e = redone_energy(scored, row + r, reference);
      if (threadIdx.x % 32 == 0) totals[r].add_energy(e);
      ++n;
    }
  }
  return n;
}

// The block's part of a tile: to the totals of its rows, four lanes together, or to the doubts.
// Returns this thread's share of what is in doubt.
template <bool kRowsAreApexes>
__device__ __forceinline__ uint32_t add_tile(const Sums& products, MatrixShared& shared,
                                             const Point* others, int64_t first,
                                             int64_t n_references) {
  const int warp = static_cast<int>(threadIdx.x / 32);
  uint32_t any = 0;
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    const int row = Sums::row(r);
    const float row_tanh = shared.tanh[row], row_sech = shared.sech[row];
    const double row_aper = shared.aper[row];
    Totals own = {0, 0, 0, 0};
    uint32_t word = 0;
#pragma unroll
    for (int c = 0; c < Sums::kColumns; ++c) {
      const int64_t column = first + Sums::column(c);
      if (column >= n_references || row_sech == kMarked) continue;
      const Point& other = others[column];
      if (other.sech == kMarked) continue;
      bool doubtful;
      const double angle =
          kRowsAreApexes
              ? angle_from(products.at(r, c), row_tanh, row_sech, other.tanh, doubtful)
              : angle_from(products.at(r, c), other.tanh, other.sech, row_tanh, doubtful);
      if (doubtful) {
        word |= 1u << (Sums::column(c) % mainloop::kWarpColumns);
      } else {
        own.add_energy(angle - (kRowsAreApexes ? row_aper : other.aper));
      }
    }
#pragma unroll
    for (int step = 1; step < 4; step *= 2) {
      own.add_totals(own.of_lane(step));
      word |= __shfl_xor_sync(kWholeWarp, word, step);
    }
    if (threadIdx.x % 4 == 0) {
      shared.totals[warp % mainloop::kWarpsAcross][row].add_totals(own);
      shared.doubts[warp][row % mainloop::kWarpRows] = word;
    }
    any |= word;
  }
  return any;
}

// points: of the block's rows, [n_own]
__device__ __forceinline__ void prepare(MatrixShared& shared, const Point* points, int n_own) {
  for (int i = static_cast<int>(threadIdx.x); i < kBlockRows; i += kBlockThreads) {
    shared.tanh[i] = i < n_own ? points[i].tanh : 0.0f;
    shared.sech[i] = i < n_own ? points[i].sech : kMarked;
    shared.aper[i] = i < n_own ? points[i].aper : 0.0;
    for (auto& totals : shared.totals) totals[i] = {0, 0, 0, 0};
  }
}

// A block for 128 rows.
template <class T, bool kRowsAreApexes>
__global__ void __launch_bounds__(kBlockThreads, 1)
    sum_energies(Scored<T> scored, int64_t padded, EnergySums sums, int64_t* redone) {
  auto& shared = *reinterpret_cast<MatrixShared*>(shared_memory());
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  const int across = warp % mainloop::kWarpsAcross;
  const int warp_row = warp / mainloop::kWarpsAcross * mainloop::kWarpRows;
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const int64_t end = min(begin + kBlockRows, scored.n_rows);
  const int n_own = static_cast<int>(end - begin);
  prepare(shared, scored.packed.points + begin, n_own);
  const int64_t words = kParts * padded, n_references = scored.references.n_rows;
  int64_t n_redone = 0;
  multiply<true>(
      {scored.packed.parts, words, begin, end}, {scored.others.parts, words, 0, n_references},
      shared.stages, [&](int64_t first, const Sums& products) {
        const uint32_t any =
            add_tile<kRowsAreApexes>(products, shared, scored.others.points, first, n_references);
        if (!__any_sync(kWholeWarp, any != 0)) return;
        __syncwarp();
        n_redone += redo(scored, begin + warp_row, first + across * mainloop::kWarpColumns,
                         shared.doubts[warp], shared.totals[across] + warp_row);
        __syncwarp();  // before the next tile's doubts
      });
  __syncthreads();
  for (int i = thread; i < n_own; i += kBlockThreads) {
    Totals all = shared.totals[0][i], upper = shared.totals[1][i];
    all.add_totals(shared.totals[2][i]);
    upper.add_totals(shared.totals[3][i]);
    all.add_totals(upper);
    write(sums, scored.first_row + begin + i, all, shared.sech[i] != kMarked);
  }
  if (thread % 32 == 0 && n_redone != 0) {
    atomicAdd(reinterpret_cast<unsigned long long*>(redone),
              static_cast<unsigned long long>(n_redone));
  }
}

// A warp for each row, all of its pairs from differences.
template <class T>
__global__ void __launch_bounds__(kBlockThreads)
    sum_few(Scored<T> scored, EnergySums sums, int64_t* redone) {
  const int64_t n_references = scored.references.n_rows;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kWarps;
  int64_t i = static_cast<int64_t>(blockIdx.x) * kWarps + threadIdx.x / 32;
  for (; i < scored.n_rows; i += stride) {
    Totals totals = {0, 0, 0, 0};
    bool good = false;
    const bool marked = !is_usable(scored.packed.points[i].facts.state);
    for (int64_t j = 0; !marked && j < n_references; ++j) {
      if (!is_usable(scored.others.points[j].facts.state)) continue;
      good = true;
      totals.add_energy(redone_energy(scored, i, j));
    }
    if (threadIdx.x % 32 != 0) continue;
    write(sums, scored.first_row + i, totals, good);
    atomicAdd(reinterpret_cast<unsigned long long*>(redone),
              static_cast<unsigned long long>(n_references));
  }
}

// The parts of the work memory, and how many rows are done at once.
struct Plan {
  bool few;
  int64_t padded, rows_at_once;
  size_t row_points = 0, row_parts = 0, points = 0, parts = 0, bytes = 0;  // where each begins

  Plan(const PointRows& rows, const PointRows& references)
      : few(references.n_rows < kFewReferences),
        padded((rows.n_columns - (rows.kind == Kind::lorentz) + mainloop::kSlice - 1) /
               mainloop::kSlice * mainloop::kSlice),
        rows_at_once(std::min(rows.n_rows, kWaves * device(current_device()).sms * kBlockRows)) {
    const auto n_rows = static_cast<size_t>(rows_at_once);
    const auto n_references = static_cast<size_t>(references.n_rows);
    const size_t row_bytes = few ? 0 : static_cast<size_t>(kParts * padded) * sizeof(uint16_t);
    row_points = take(n_rows * sizeof(Point));
    points = take(n_references * sizeof(Point));
    row_parts = take(n_rows * row_bytes);
    parts = take(n_references * row_bytes);
  }

  Packed packed(void* work, size_t points_at, size_t parts_at) const {
    auto* const bytes_of = static_cast<unsigned char*>(work);
    return {few ? nullptr : reinterpret_cast<uint16_t*>(bytes_of + parts_at),
            reinterpret_cast<Point*>(bytes_of + points_at)};
  }

 private:
  size_t take(size_t size) {
    const size_t begin = bytes;
    bytes = (bytes + size + 255) / 256 * 256;
    return begin;
  }
};

Grid warps_for(int64_t rows) {
  return {std::min<int64_t>((rows + kWarps - 1) / kWarps, int64_t{1} << 16)};
}

template <class T>
void score(const PointRows& rows, const PointRows& references, bool rows_are_apexes,
           double min_radius, const EnergySums& sums, int64_t* redone, void* work, Stream stream) {
  const Plan plan(rows, references);
  Scored<T> scored = {Points<T>(rows),
                      Points<T>(references),
                      plan.packed(work, plan.row_points, plan.row_parts),
                      plan.packed(work, plan.points, plan.parts),
                      0,
                      0,
                      rows_are_apexes,
                      pair_rule(rows, Measure::energy, min_radius)};
  const auto pack = [&](const Points<T>& x, int64_t first, int64_t n, bool scores, Packed to) {
    launch(place_points<T>, warps_for(n), kBlockThreads, 0, stream, x, first, n, to.points);
    if (plan.few) return;
    launch(pack_points<T>, warps_for(n), kBlockThreads, 0, stream, x, first, n, min_radius,
           plan.padded, scores, to);
  };
  pack(scored.references, 0, references.n_rows, false, scored.others);
  for (int64_t first = 0; first < rows.n_rows; first += plan.rows_at_once) {
    scored.first_row = first;
    scored.n_rows = std::min(plan.rows_at_once, rows.n_rows - first);
    pack(scored.rows, first, scored.n_rows, true, scored.packed);
    if (plan.few) {
      launch(sum_few<T>, warps_for(scored.n_rows), kBlockThreads, 0, stream, scored, sums, redone);
    } else {
      launch(rows_are_apexes ? sum_energies<T, true> : sum_energies<T, false>,
             Grid{(scored.n_rows + kBlockRows - 1) / kBlockRows}, kBlockThreads,
             sizeof(MatrixShared), stream, scored, plan.padded, sums, redone);
    }
  }
}

}  // namespace

size_t specificity_work_bytes(const PointRows& rows, const PointRows& references) {
  return Plan(rows, references).bytes;
}

void specificity(const PointRows& rows, const PointRows& references, bool rows_are_apexes,
                 double min_radius, const EnergySums& sums, int64_t* redone, void* work,
                 Stream stream) {
  if (rows.n_rows == 0) return;
  const auto of = [&](auto run) {
    run(rows, references, rows_are_apexes, min_radius, sums, redone, work, stream);
  };
  switch (rows.element) {
    case tamis::Element::half:
      return of(score<uint16_t>);
    case tamis::Element::single:
      return of(score<float>);
    case tamis::Element::wide:
      return of(score<double>);
  }
}

}  // namespace tamis::cuda
