// The shortlist of a block: collects the candidates of its 128 rows from tile after tile, in shared
// memory, and hands them on in device memory. The rules are those of shortlist.h. Which threads
// share which rows, and how they wait for each other, is said by the sums: Sums::Sharers.
#pragma once

#include "cuda/device/launch.h"
#include "cuda/device/mainloop.h"
#include "cuda/device/shortlist.h"

namespace tamis::cuda {

// 17 KiB of shared memory.
struct Lists {
  int32_t best[kBlockRows];              // keys; kHighestKey where the row takes no more
  int32_t count[kBlockRows];             // more than kCandidates: too many
  float score[kCandidates][kBlockRows];  // two words, not one pair: the sums stay single registers
  int32_t column[kCandidates][kBlockRows];
};

struct Candidate {
  float score;     // approximate
  int32_t column;  // relative to what the caller counts from
};

// In device memory: what every split of the columns found for every row.
struct CandidateLists {
  Candidate* list = nullptr;  // [n_rows x splits x kCandidates]
  int32_t* count = nullptr;   // [n_rows x splits]; kRescan: too many
  int32_t splits = 1;
};

namespace collecting {

// Calls act(row) for the sharers' rows, each by one of them.
template <class Sharers, class Act>
__device__ __forceinline__ void for_rows(Act&& act) {
  const int end = Sharers::first_row() + Sharers::kRows;
  for (int row = Sharers::first_row() + Sharers::thread(); row < end; row += Sharers::kThreads) {
    act(row);
  }
}

}  // namespace collecting

// All sharers. Rows from n_rows on take no candidates.
template <class Sharers>
__device__ __forceinline__ void clear(Lists& lists, int n_rows) {
  collecting::for_rows<Sharers>([&](int row) {
    lists.best[row] = row < n_rows ? kLowestKey : kHighestKey;
    lists.count[row] = 0;
  });
}

namespace collecting {

// Which of this thread's rows have scores above their thresholds: bit r.
template <class Sums>
__device__ __forceinline__ unsigned rows_above(const Lists& lists, const Sums& scores,
                                               float margin) {
  unsigned found = 0;
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    const float threshold = threshold_of(lists.best[Sums::row(r)], margin);
    bool any = false;
#pragma unroll
    for (int c = 0; c < Sums::kColumns; ++c) any |= scores.at(r, c) > threshold;
    found |= any ? 1u << r : 0u;
  }
  return found;
}

// rows: bit r as above.
template <class Sums>
__device__ __forceinline__ void raise_bests(Lists& lists, const Sums& scores, unsigned rows) {
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    if ((rows >> r & 1) == 0) continue;
    float largest = scores.at(r, 0);
#pragma unroll
    for (int c = 1; c < Sums::kColumns; ++c) largest = fmaxf(largest, scores.at(r, c));
    atomicMax(&lists.best[Sums::row(r)], order_key(largest));
  }
}

// Drops what fell below the risen thresholds, and closes the rows that have too many candidates
// all the same.
template <class Sharers>
__device__ __forceinline__ void make_room(Lists& lists, float margin) {
  for_rows<Sharers>([&](int row) {
    if (lists.count[row] > kCandidates) {
      lists.best[row] = kHighestKey;
    } else {
      const float threshold = threshold_of(lists.best[row], margin);
      lists.count[row] = compact(&lists.score[0][row], &lists.column[0][row], kBlockRows,
                                 lists.count[row], threshold);
    }
  });
}

// Appends the scores above the thresholds; what finds no room is counted.
template <class Sums>
__device__ __forceinline__ void append(Lists& lists, const Sums& scores, int32_t column,
                                       float margin, unsigned rows) {
#pragma unroll
  for (int r = 0; r < Sums::kRows; ++r) {
    if ((rows >> r & 1) == 0) continue;
    const int row = Sums::row(r);
    const float threshold = threshold_of(lists.best[row], margin);
#pragma unroll
    for (int c = 0; c < Sums::kColumns; ++c) {
      if (!(scores.at(r, c) > threshold)) continue;
      const int place = atomicAdd(&lists.count[row], 1);
      if (place >= kCandidates) continue;
      lists.score[place][row] = scores.at(r, c);
      lists.column[place][row] = column + Sums::column(c);
    }
  }
}

}  // namespace collecting

// All sharers, with the scores of one tile: approximate, -inf where a row does not see a column or
// where there is none. column: the number of the tile's first. A barrier comes before the next
// call.
//
// First the thresholds rise to what this tile asks for, then the lists shrink to it, and only then
// they grow: a list that is overfull holds more than kCandidates near-ties.
template <class Sums>
__device__ __forceinline__ void collect(Lists& lists, const Sums& scores, int32_t column,
                                        float margin) {
  using Sharers = typename Sums::Sharers;
  const unsigned found = collecting::rows_above(lists, scores, margin);
  if (!Sharers::any(found != 0)) return;
  collecting::raise_bests(lists, scores, found);
  Sharers::sync();
  collecting::make_room<Sharers>(lists, margin);
  Sharers::sync();
  collecting::append(lists, scores, column, margin, found);
}

// All sharers, after the last tile. n_rows: of the block; split: which of to.splits it searched.
template <class Sharers>
__device__ __forceinline__ void flush(const Lists& lists, const CandidateLists& to,
                                      int64_t row_begin, int n_rows, int split) {
  Sharers::sync();
  const int begin = Sharers::first_row(), end = min(begin + Sharers::kRows, n_rows);
  for (int i = begin * kCandidates + Sharers::thread(); i < end * kCandidates;
       i += Sharers::kThreads) {
    const int row = i / kCandidates, place = i % kCandidates;
    const int count = lists.count[row];
    const int64_t target = (row_begin + row) * to.splits + split;
    if (place < count && count <= kCandidates) {
      to.list[target * kCandidates + place] = {lists.score[place][row], lists.column[place][row]};
    }
    if (place == 0) to.count[target] = count <= kCandidates ? count : kRescan;
  }
}

// One thread: the column of a row's only candidate, without a score. kNoColumn where the row saw
// nothing; kSeveral where there are more, or a split had too many.
__device__ __forceinline__ int32_t only_candidate(const CandidateLists& lists, int64_t row,
                                                  float margin) {
  int32_t best = kLowestKey, second = kLowestKey, column = kNoColumn;
  for (int64_t list = row * lists.splits; list < (row + 1) * lists.splits; ++list) {
    const int count = lists.count[list];
    if (count == kRescan) return kSeveral;
    for (int place = 0; place < count; ++place) {
      const Candidate found = lists.list[list * kCandidates + place];
      const int32_t key = order_key(found.score);
      if (key > best) column = found.column;
      second = max(second, min(best, key));
      best = max(best, key);
    }
  }
  return from_order_key(second) > threshold_of(best, margin) ? kSeveral : column;
}

// One warp, all lanes with the same row that saw something: merges the splits and decides by
// score(column), a float64 that all lanes compute together. only: what only_candidate says of it.
// column is kRescan where a split had too many candidates. n_scored: counts the calls.
template <class Count, class Score>
__device__ __forceinline__ Best best_of(const CandidateLists& lists, int64_t row, int32_t only,
                                        float margin, Count& n_scored, Score&& score) {
  if (only != kSeveral) {
    ++n_scored;
    return {score(only), only};
  }
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int n_places = lists.splits * kCandidates;
  const int64_t first = row * lists.splits;
  int32_t key = kLowestKey;
  bool rescan = false;
  for (int place = lane; place < n_places; place += 32) {
    const int count = lists.count[first + place / kCandidates];
    rescan |= count == kRescan;
    if (place % kCandidates >= count) continue;
    key = max(key, order_key(lists.list[first * kCandidates + place].score));
  }
  if (__any_sync(0xffffffffu, rescan)) return {0, kRescan};
  key = __reduce_max_sync(0xffffffffu, key);
  const float threshold = threshold_of(key, margin);
  // The candidate of this lane among the places from base on; kNoColumn where it has none.
  const auto candidate = [&](int base) {
    const int place = base + lane;
    if (place >= n_places || place % kCandidates >= lists.count[first + place / kCandidates]) {
      return kNoColumn;
    }
    const Candidate found = lists.list[first * kCandidates + place];
    return found.score > threshold ? found.column : kNoColumn;
  };
  Best best = {0, kNoColumn};
  for (int base = 0; base < n_places; base += 32) {
    const int32_t mine = candidate(base);
    for (unsigned left = __ballot_sync(0xffffffffu, mine != kNoColumn); left != 0;
         left &= left - 1) {
      const int32_t column = __shfl_sync(0xffffffffu, mine, __ffs(left) - 1);
      const Best next = {score(column), column};
      ++n_scored;
      if (beats(next, best)) best = next;
    }
  }
  return best;
}

}  // namespace tamis::cuda
