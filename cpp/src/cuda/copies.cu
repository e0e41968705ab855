#include <algorithm>

#include "cuda/copies.h"
#include "cuda/device/launch.h"
#include "cuda/device/sight.h"

namespace tamis::cuda {
namespace {

using Word = unsigned long long;  // as atomics want it

constexpr int kThreads = 256;
constexpr int64_t kRowsAtOnce = 32;  // of a warp
constexpr Word kNone = ~Word{0};

// A hash table, linearly probed: all bytes 0xff where it is empty.
struct Entry {
  Word key;
  Word first, second;  // the lowest rows with this key
};

struct Copies {
  HalfRows rows;
  const int64_t* offsets;  // [n_segments + 1]
  int64_t n_segments;
  const int32_t* wanted;  // [n_segments + 1]
  Entry* table;           // [n_entries]
  int64_t n_entries;
  Word key_mask;
  Word* place;  // [n_rows] a row's entry, where its segment is wanted
};

__host__ __device__ inline Word mixed(Word z) {  // the finaliser of splitmix64
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

// One warp; every lane gets it.
__device__ __forceinline__ Word hash_of(const Copies& copies, int64_t row, int64_t segment) {
  const auto* words = reinterpret_cast<const uint2*>(copies.rows.data + row * copies.rows.dim);
  Word sum = 0;
  for (int64_t i = threadIdx.x % 32; i < copies.rows.dim / 4; i += 32) {
    const uint2 word = words[i];
    sum += mixed((Word{word.y} << 32 | word.x) + static_cast<Word>(i + 1) * 0x9e3779b97f4a7c15ull);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
  const Word key = mixed(sum + mixed(static_cast<Word>(segment))) & copies.key_mask;
  return key == kNone ? 0 : key;
}

// One warp.
__device__ __forceinline__ bool same_bits(const Copies& copies, int64_t a, int64_t b) {
  const int64_t dim = copies.rows.dim;
  const auto* left = reinterpret_cast<const uint2*>(copies.rows.data + a * dim);
  const auto* right = reinterpret_cast<const uint2*>(copies.rows.data + b * dim);
  bool differs = false;
  for (int64_t i = threadIdx.x % 32; i < dim / 4; i += 32) {
    const uint2 x = left[i], y = right[i];
    differs |= x.x != y.x || x.y != y.y;
  }
  return __any_sync(0xffffffffu, differs) == 0;
}

// One thread: the entry of a key, made where there is none. There are more entries than rows.
__device__ __forceinline__ Word entry_of(const Copies& copies, Word key) {
  const auto n = static_cast<Word>(copies.n_entries);
  Word at = __umul64hi(key, n);
  for (;;) {
    const Word before = atomicCAS(&copies.table[at].key, kNone, key);
    if (before == kNone || before == key) return at;
    at = at + 1 < n ? at + 1 : 0;
  }
}

// Calls work(row, segment) with the whole warp for every row of a wanted segment.
template <class Work>
__device__ __forceinline__ void for_wanted_rows(const Copies& copies, Work&& work) {
  if (copies.wanted[copies.n_segments] == 0) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t warp = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * (kThreads / 32) * kRowsAtOnce;
  for (int64_t begin = warp * kRowsAtOnce; begin < copies.rows.n_rows; begin += stride) {
    const int64_t row = begin + lane;
    int64_t segment = 0;
    bool wanted = false;
    if (row < copies.rows.n_rows) {
      segment = segment_of(copies.offsets, 0, copies.n_segments, row);
      wanted = copies.wanted[segment] != 0;
    }
    for (unsigned left = __ballot_sync(0xffffffffu, wanted); left != 0; left &= left - 1) {
      const int from = __ffs(static_cast<int>(left)) - 1;
      work(begin + from, __shfl_sync(0xffffffffu, static_cast<long long>(segment), from));
    }
  }
}

__global__ void __launch_bounds__(kThreads) find_first(Copies copies) {
  for_wanted_rows(copies, [&](int64_t row, int64_t segment) {
    const Word key = hash_of(copies, row, segment);
    if (threadIdx.x % 32 != 0) return;
    const Word at = entry_of(copies, key);
    copies.place[row] = at;
    atomicMin(&copies.table[at].first, static_cast<Word>(row));
  });
}

__global__ void __launch_bounds__(kThreads) find_second(Copies copies) {
  for_wanted_rows(copies, [&](int64_t row, int64_t) {
    if (threadIdx.x % 32 != 0) return;
    Entry& entry = copies.table[copies.place[row]];
    if (entry.first != static_cast<Word>(row)) atomicMin(&entry.second, static_cast<Word>(row));
  });
}

__global__ void __launch_bounds__(kThreads) mark(Copies copies, uint8_t* spare) {
  for_wanted_rows(copies, [&](int64_t row, int64_t segment) {
    const Entry entry = copies.table[copies.place[row]];
    if (entry.second >= static_cast<Word>(row)) return;
    const auto first = static_cast<int64_t>(entry.first);
    const auto second = static_cast<int64_t>(entry.second);
    // Two keys may be equal by chance, of rows in different segments too.
    const bool copy = first >= copies.offsets[segment] && same_bits(copies, first, row) &&
                      same_bits(copies, second, row);
    if (threadIdx.x % 32 == 0) spare[row] = copy ? 1 : 0;
  });
}

int64_t entries_for(int64_t n_rows) { return n_rows + n_rows / 2 + 1; }

}  // namespace

size_t mark_spare_work_bytes(int64_t n_rows) {
  return static_cast<size_t>(entries_for(n_rows)) * sizeof(Entry) +
         static_cast<size_t>(n_rows) * sizeof(Word);
}

void mark_spare(const HalfRows& rows, const int64_t* offsets, int64_t n_segments,
                const int32_t* wanted, uint8_t* spare, void* work, Stream stream, int key_bits) {
  auto* table = static_cast<Entry*>(work);
  const int64_t n_entries = entries_for(rows.n_rows);
  const Copies copies = {rows,
                         offsets,
                         n_segments,
                         wanted,
                         table,
                         n_entries,
                         kNone >> (64 - key_bits),
                         reinterpret_cast<Word*>(table + n_entries)};
  fill(table, 0xff, static_cast<size_t>(n_entries) * sizeof(Entry), stream);
  fill(spare, 0, static_cast<size_t>(rows.n_rows), stream);
  const int64_t rows_of_block = kThreads / 32 * kRowsAtOnce;
  const Grid grid{std::min<int64_t>((rows.n_rows + rows_of_block - 1) / rows_of_block, 1 << 16)};
  launch(find_first, grid, kThreads, 0, stream, copies);
  launch(find_second, grid, kThreads, 0, stream, copies);
  launch(mark, grid, kThreads, 0, stream, copies, spare);
}

}  // namespace tamis::cuda
