#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "cuda/copies.h"
#include "cuda/device/collect.h"
#include "cuda/device/exact.h"
#include "cuda/device/launch.h"
#include "cuda/device/search.h"
#include "cuda/device/shortlist.h"
#include "cuda/device/sight.h"
#include "cuda/look.h"
#include "cuda/pack.h"
#include "cuda/plan.h"
#include "cuda/tensor_map.h"
#include "tamis/cuda/canonical.h"
#include "tamis/cuda/max_cosine.h"

namespace tamis::cuda {
namespace {

constexpr int kWarps = kBlockThreads / 32;
constexpr int kExactBlocksPerSm = 4;  // of the kernels that work in float64

// Rows left to rescan, in any order.
struct Rescans {
  unsigned long long* count = nullptr;
  int32_t* block = nullptr;  // [n_rows]
  int32_t* place = nullptr;  // [n_rows]
};

// norm: |y|^2 before, |y| after. inverse: null where not wanted.
__global__ void __launch_bounds__(kBlockThreads)
    finish_norms(double* norm, float* inverse, int64_t n_rows) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kBlockThreads + threadIdx.x;
  if (row >= n_rows) return;
  const double size = square_root(norm[row]);
  norm[row] = size;
  if (inverse != nullptr) inverse[row] = static_cast<float>(divide(1.0, size));
}

// A block for each stretch of rows that see few columns, a warp for each row.
__global__ void __launch_bounds__(kBlockThreads, kExactBlocksPerSm)
    compare_directly(Search search) {
  const DirectStretch stretch = search.stretches[blockIdx.x];
  const bool leads = threadIdx.x % 32 == 0;
  int64_t n_rows = 0, n_scored = 0;
  for (int64_t row = stretch.row_begin + threadIdx.x / 32; row < stretch.row_end; row += kWarps) {
    const int64_t s = segment_of(search.offsets, stretch.first_segment, search.n_segments, row);
    const int64_t column = search.column_offsets[s];
    const int64_t n_columns = search.column_offsets[s + 1] - column;
    const int64_t seen = columns_seen(search.sight, row, search.offsets[s], n_columns);
    const Best best =
        best_of_columns(search, row, column, 0, static_cast<int32_t>(seen), 1, nullptr, n_scored);
    if (leads) settle(search, row, column, best);
    ++n_rows;
  }
  if (!leads || search.counts == nullptr) return;
  count(&search.counts->rows, n_rows);
  count(&search.counts->rescored, n_scored);
}

// A block for each block of rows: decides among the candidates of a look. A lane for each row finds
// its only candidate, if there is one; a warp scores. What cannot be decided gets index kRescan
// after the first look, and goes to rescans after the second.
template <bool kSecond>
__global__ void __launch_bounds__(kBlockThreads, kExactBlocksPerSm)
    decide(Search search, float margin, Rescans rescans) {
  const RowBlock block = search.blocks[blockIdx.x];
  if (kSecond && search.again[block.segment] == 0) return;
  const CandidateLists lists = {search.lists.list + block.first_list * kCandidates,
                                search.lists.count + block.first_list, block.n_parts};
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int n_rescored = 0, n_climbed = 0;
  for (int first = static_cast<int>(threadIdx.x) / 32; first < block.n_rows;
       first += kBlockThreads) {
    const int own = first + lane * kWarps;  // the warps of a block have as many rows each
    const bool looks =
        own < block.n_rows && (!kSecond || search.index[block.row_begin + own] == kRescan);
    const int32_t found = looks ? only_candidate(lists, own, margin) : kNoColumn;
    if (looks && found == kNoColumn) settle(search, block.row_begin + own, 0, {0, kNoColumn});
    unsigned left = __ballot_sync(0xffffffffu, found != kNoColumn);
    for (; left != 0; left &= left - 1) {
      const int next = __ffs(static_cast<int>(left)) - 1, place = first + next * kWarps;
      const int32_t only = __shfl_sync(0xffffffffu, found, next);
      const int64_t row = block.row_begin + place;
      const Best best = best_of(lists, place, only, margin, n_rescored, [&](int32_t column) {
        return exact_cosine(search, row, block.column_begin + column);
      });
      n_climbed += best.column == kRescan;
      if (lane != 0) continue;
      if (best.column != kRescan) {
        settle(search, row, block.column_begin, best);
      } else if constexpr (kSecond) {
        const auto at = atomicAdd(rescans.count, 1ull);
        rescans.block[at] = static_cast<int32_t>(blockIdx.x);
        rescans.place[at] = place;
      } else {
        search.index[row] = kRescan;
        atomicExch(search.again + block.segment, 1);
        atomicExch(search.again + search.n_segments, 1);
      }
    }
  }
  if (lane != 0 || search.counts == nullptr) return;
  if (threadIdx.x == 0 && !kSecond) count(&search.counts->rows, block.n_rows);
  count(&search.counts->rescored, n_rescored);
  count(&search.counts->climbed, n_climbed);
}

// A block for each row that is left, with every column.
__global__ void __launch_bounds__(kBlockThreads, kExactBlocksPerSm)
    rescan(Search search, Rescans rescans, const uint8_t* spare) {
  Best* found = reinterpret_cast<Best*>(shared_memory());  // [kWarps]
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const auto n = static_cast<int64_t>(*rescans.count);
  int64_t n_scored = 0;
  for (int64_t i = blockIdx.x; i < n; i += gridDim.x) {
    const RowBlock block = search.blocks[rescans.block[i]];
    const int64_t row = block.row_begin + rescans.place[i];
    const int64_t seen = columns_seen(search.sight, row, block.segment_row_begin, block.n_columns);
    Best best = best_of_columns(search, row, block.column_begin, warp, static_cast<int32_t>(seen),
                                kWarps, spare, n_scored);
    if (threadIdx.x % 32 == 0) found[warp] = best;
    __syncthreads();
    if (threadIdx.x == 0) {
      for (int w = 1; w < kWarps; ++w) {
        if (beats(found[w], best)) best = found[w];
      }
      settle(search, row, block.column_begin, best);
    }
    __syncthreads();  // before the next row overwrites what was found
  }
  if (threadIdx.x % 32 == 0 && search.counts != nullptr) {
    count(&search.counts->rescored, n_scored);
  }
}

// The work memory, part after part; where it begins at 0 this only adds up its size.
class Memory {
 public:
  explicit Memory(void* work) : begin_(reinterpret_cast<uintptr_t>(work)) {}

  template <class T>
  T* take(int64_t n) {
    const size_t at = size_;
    size_ += (static_cast<size_t>(n) * sizeof(T) + 255) / 256 * 256;
    return reinterpret_cast<T*>(begin_ + at);
  }
  size_t size() const { return size_; }

 private:
  uintptr_t begin_;
  size_t size_ = 0;
};

int64_t size_of(const auto& values) { return static_cast<int64_t>(values.size()); }

}  // namespace

struct MaxCosine::Comparison {
  std::vector<int64_t> offsets, column_offsets;  // the second empty where columns are rows of x
  Sight sight;
  int64_t dim;
  int sms;
  Mainloop mainloop;
  Plan plan;
  std::vector<unsigned char> tables;  // all of them, as they lie in the work memory

  int64_t n_rows() const { return offsets.back(); }
  int64_t n_columns() const { return same() ? offsets.back() : column_offsets.back(); }
  bool same() const { return column_offsets.empty(); }
};

namespace {

// What a run reads beside the rows, at the beginning of its work memory.
struct Tables {
  int64_t *offsets, *column_offsets;
  RowBlock* blocks;
  Unit* units;
  DirectStretch* stretches;

  template <class Comparison>
  Tables(const Comparison& c, Memory& memory) {
    const auto take = [&]<class T>(T*& part, const std::vector<T>& values) {
      part = memory.take<T>(size_of(values));
    };
    take(offsets, c.offsets);
    take(column_offsets, c.column_offsets);
    take(blocks, c.plan.blocks);
    take(units, c.plan.units);
    take(stretches, c.plan.stretches);
  }
};

// One copy is one wait, for memory that is not page-locked.
template <class Comparison>
std::vector<unsigned char> tables_of(const Comparison& c) {
  Memory memory(nullptr);
  const Tables at(c, memory);
  std::vector<unsigned char> all(memory.size());
  const auto put = [&]<class T>(const T* part, const std::vector<T>& values) {
    std::copy_n(reinterpret_cast<const unsigned char*>(values.data()), values.size() * sizeof(T),
                all.data() + reinterpret_cast<uintptr_t>(part));
  };
  put(at.offsets, c.offsets);
  put(at.column_offsets, c.column_offsets);
  put(at.blocks, c.plan.blocks);
  put(at.units, c.plan.units);
  put(at.stretches, c.plan.stretches);
  return all;
}

// What a run writes beside its results.
struct Buffers : Tables {
  double *norm, *column_norm;
  float* inverse;
  CandidateLists lists;
  int32_t* again;
  uint8_t* spare;
  unsigned char* spare_work;
  Rescans rescans;
  unsigned char *x, *columns;  // packed

  template <class Comparison>
  Buffers(const Comparison& c, const HalfRows& rows, const HalfRows* other, Memory& memory)
      : Tables(c, memory) {
    const bool same = c.same();
    const auto take = [&]<class T>(T*& part, int64_t n) { part = memory.take<T>(n); };
    take(norm, c.n_rows());
    take(column_norm, same ? 0 : c.n_columns());
    take(inverse, c.n_columns() + kColumnsPast);
    take(lists.list, c.plan.n_lists * kCandidates);
    take(lists.count, c.plan.n_lists);
    const bool direct = c.plan.blocks.empty();
    take(again, direct ? 0 : size_of(c.offsets));
    take(spare, direct ? 0 : c.n_columns() + kColumnsPast);
    take(spare_work, direct ? 0 : static_cast<int64_t>(mark_spare_work_bytes(c.n_columns())));
    take(rescans.count, 1);
    take(rescans.block, direct ? 0 : c.n_rows());
    take(rescans.place, direct ? 0 : c.n_rows());
    take(x, static_cast<int64_t>(packed_bytes(rows)));
    take(columns, same ? 0 : static_cast<int64_t>(packed_bytes(*other)));
    if (same) column_norm = norm, column_offsets = offsets;
  }
};

void norms_of(const HalfRows& rows, double* norm, float* inverse, Stream stream) {
  squared_norms(rows, norm, stream);
  launch(finish_norms, Grid{(rows.n_rows + kBlockThreads - 1) / kBlockThreads}, kBlockThreads, 0,
         stream, norm, inverse, rows.n_rows);
}

// The error of (dot + error) / |y| in float32, for |y| of at least 1 - 2^-9: the dot's, divided,
// and roundings of 1 / |y| and of the product by 2^-24 of at most 1 + 2^-9 each; the rest is more
// than float64 rounds.
float margin_for(double error) { return margin_of(error * (1 + 0x1p-8) + 3 * 0x1p-24); }

// Rows that see many columns.
void search_blocks(const Search& search, Mainloop mainloop, const Plan& plan, const Buffers& to,
                   int sms, Stream stream) {
  const Grid blocks{size_of(plan.blocks)};
  const int64_t dim = search.x.dim;
  const float margin = margin_for(dot_error(dim)), fine = margin_for(fine_dot_error(dim));
  fill(to.again, 0, static_cast<size_t>(search.n_segments + 1) * sizeof *to.again, stream);
  fill(to.rescans.count, 0, sizeof *to.rescans.count, stream);
  // A part that no row sees anything of may leave its lists as they are.
  fill(to.lists.count, 0, static_cast<size_t>(plan.n_lists) * sizeof *to.lists.count, stream);
  first_look(search, mainloop, size_of(plan.units), margin, sms, stream);
  launch(decide<false>, blocks, kBlockThreads, 0, stream, search, margin, to.rescans);
  mark_spare(search.columns, search.column_offsets, search.n_segments, to.again, to.spare,
             to.spare_work, stream);
  second_look(search, mainloop, size_of(plan.units), fine, to.spare, sms, stream);
  launch(decide<true>, blocks, kBlockThreads, 0, stream, search, fine, to.rescans);
  launch(rescan, Grid{int64_t{kExactBlocksPerSm} * sms}, kBlockThreads, kWarps * sizeof(Best),
         stream, search, to.rescans, to.spare);
}

}  // namespace

MaxCosine::MaxCosine(const Segments& segments, const Segments* other_segments, const Sight& sight,
                     int64_t dim, const Device& device) {
  if (other_segments && sight.but_self) {
    throw Error("max_cosine: a row of one set has no number in another that it could pass over");
  }
  const int64_t n_rows = segments.offsets[segments.n_segments];
  const int64_t n_columns =
      other_segments ? other_segments->offsets[other_segments->n_segments] : n_rows;
  const bool mapped = std::max(n_rows, n_columns) <= kMostMappedRows;
  const Mainloop mainloop = mapped ? mainloop_of(device.ordinal) : Mainloop::mma;
  const auto copied = [](const Segments& from) {
    return std::vector<int64_t>(from.offsets, from.offsets + from.n_segments + 1);
  };
  auto comparison = std::make_unique<Comparison>(
      Comparison{copied(segments),
                 other_segments ? copied(*other_segments) : std::vector<int64_t>(),
                 Sight{sight.kind, nullptr, sight.but_self},
                 dim,
                 device.sms,
                 mainloop,
                 make_plan(segments, other_segments, sight, plan_sizes(mainloop, device.sms)),
                 {}});
  comparison->tables = tables_of(*comparison);
  comparison_ = std::move(comparison);
}

MaxCosine::~MaxCosine() = default;

size_t MaxCosine::work_bytes(const HalfRows& x, const HalfRows* other) const {
  Memory memory(nullptr);
  Buffers(*comparison_, x, other, memory);
  return memory.size();
}

void MaxCosine::run(const HalfRows& x, const HalfRows* other, const int64_t* limits, double* cosine,
                    int64_t* index, Counts* counts, void* work, Stream stream) const {
  const Comparison& c = *comparison_;
  if (x.n_rows != c.n_rows() || x.dim != c.dim || (other != nullptr) == c.same() ||
      (other && (other->n_rows != c.n_columns() || other->dim != c.dim))) {
    throw Error("max_cosine: the rows are not those that the comparison was planned for");
  }
  if (x.n_rows == 0) return;
  Memory memory(work);
  const Buffers to(c, x, other, memory);
  copy(work, c.tables.data(), c.tables.size(), stream);
  norms_of(x, to.norm, c.same() ? to.inverse : nullptr, stream);
  if (other) norms_of(*other, to.column_norm, to.inverse, stream);
  Search search;
  search.x = packed(x, to.x, stream);
  search.columns = other ? packed(*other, to.columns, stream) : search.x;
  search.norm = to.norm;
  search.column_norm = to.column_norm;
  search.inverse = to.inverse;
  search.offsets = to.offsets;
  search.column_offsets = to.column_offsets;
  search.n_segments = size_of(c.offsets) - 1;
  search.sight = {c.sight.kind, limits, c.sight.but_self};
  search.blocks = to.blocks;
  search.units = to.units;
  search.stretches = to.stretches;
  search.lists = to.lists;
  search.cosine = cosine;
  search.index = index;
  search.again = to.again;
  search.tile_columns = plan_sizes(c.mainloop, c.sms).tile_columns;
  search.counts = counts;
  launch(compare_directly, Grid{size_of(c.plan.stretches)}, kBlockThreads, 0, stream, search);
  if (!c.plan.blocks.empty()) search_blocks(search, c.mainloop, c.plan, to, c.sms, stream);
}

}  // namespace tamis::cuda
