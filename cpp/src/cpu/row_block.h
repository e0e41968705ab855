// One thread's work on up to 192 rows and one chunk of columns.
#pragma once

#include <atomic>
#include <vector>

#include "cpu/panels.h"
#include "cpu/search.h"

namespace tamis::cpu {

inline constexpr int kBlockPanels = 4;
inline constexpr int kBlockRows = kBlockPanels * kPanel;

// Columns of a stretch that are packed together, from panel 0 on.
struct Chunk {
  int64_t column_begin, column_end;
  const Center* center;           // null: none
  PanelFacts facts;               // the largest of its panels
  std::atomic<int64_t>* tried;    // rows that started on the lowest rung
  std::atomic<int64_t>* climbed;  // and left it

  int64_t n_columns() const { return column_end - column_begin; }
};

class RowBlock {
 public:
  explicit RowBlock(const Search& search);

  // Searches rows [begin, end) of a stretch in a chunk; at most kBlockRows.
  void run(const Stretch& stretch, const Chunk& chunk, const Panels& columns, int64_t begin,
           int64_t end);
  // The same for a few rows and columns, by float64 scores alone.
  void run_directly(const Stretch& stretch);

  const Counts& counts() const { return counts_; }

 private:
  struct Candidate {
    float score;  // approximate, without the row's offset
    int32_t column;
  };

  int64_t limit(const Stretch& stretch, int64_t row) const;
  void pass(Format format, const std::vector<int64_t>& rows, bool whole_block);
  void set_rows(const std::vector<int64_t>& rows, bool whole_block);
  void tile(const Panels& columns, int64_t column_panel, int64_t column, int count, int first,
            int n_rows);
  void read_hits(int n_hits, int64_t column, int first);
  void compact(int slot);
  void sort(int slot, int n_candidates);
  void rescore(int slot);
  bool reaches_in_f32(int64_t row, int64_t column) const;
  PanelFacts facts_of(int32_t column) const;
  void widen(int slot);
  void insert(int64_t row, double score, int64_t column);
  double worst(int64_t row) const;

  const Search& search_;
  const Kernels& kernels_;
  int capacity_;
  Counts counts_;

  // The chunk at hand.
  const Stretch* stretch_ = nullptr;
  const Chunk* chunk_ = nullptr;
  const Panels* shared_ = nullptr;  // the chunk's panels
  // The pass at hand.
  Format format_ = Format::f32;
  int64_t budget_ = 0;
  PanelFacts facts_;  // the largest of the column panels seen
  const Panels* row_panels_ = nullptr;
  int64_t first_row_panel_ = 0;
  std::vector<int64_t> pass_rows_;
  std::vector<int64_t> climbers_;
  int wide_slot_ = -1;

  // Per row of the pass.
  std::vector<BoundFactors> factors_;
  std::vector<double> offset_;
  std::vector<float> floor_;  // lower bound on the top-th best score, without the offset
  std::vector<int64_t> limit_;
  std::vector<int> n_candidates_;
  std::vector<int64_t> rescored_;
  std::vector<char> climbs_;
  std::vector<Candidate> candidates_;  // [kBlockRows x capacity]

  // Buffers.
  Panels own_rows_i8_, own_rows_f32_, own_column_f32_;
  std::vector<float> scratch_, wide_;
  std::vector<Hit> hits_;
  std::unique_ptr<float, void (*)(void*)> tile_;
  std::vector<float> threshold_, margin_;
  std::vector<uint64_t> sight_;
};

}  // namespace tamis::cpu
