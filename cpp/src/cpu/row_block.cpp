#include "cpu/row_block.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace tamis::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A float32 at most `value`.
float down(double value) { return std::nextafterf(static_cast<float>(value), -kInfinity); }

}  // namespace

RowBlock::RowBlock(const Search& search)
    : search_(search),
      kernels_(*search.kernels),
      capacity_(32 + 4 * search.top),
      tile_(static_cast<float*>(std::aligned_alloc(64, kPanel * kPanel * sizeof(float))),
            std::free) {
  if (!tile_) throw std::bad_alloc();
  factors_.resize(kBlockRows);
  offset_.resize(kBlockRows);
  floor_.resize(kBlockRows);
  limit_.resize(kBlockRows);
  n_candidates_.resize(kBlockRows);
  rescored_.resize(kBlockRows);
  climbs_.resize(kBlockRows);
  candidates_.resize(static_cast<size_t>(kBlockRows) * static_cast<size_t>(capacity_));
  scratch_.resize(static_cast<size_t>(search.rows.dim) * 2);
  wide_.resize(static_cast<size_t>(search.rows.dim));
  hits_.resize(kPanel * kPanel);
  threshold_.resize(kPanel);
  margin_.resize(kPanel);
  sight_.resize(kPanel);
}

int64_t RowBlock::limit(const Stretch& stretch, int64_t row) const {
  switch (search_.sight.kind) {
    case Sight::earlier:
      return row;
    case Sight::prefix:
      return stretch.column_begin + search_.sight.limits[row];
    default:
      return stretch.column_end;
  }
}

void RowBlock::run(const Stretch& stretch, const Chunk& chunk, const Panels& columns, int64_t begin,
                   int64_t end) {
  stretch_ = &stretch;
  chunk_ = &chunk;
  shared_ = &columns;
  pass_rows_.clear();
  bool sees = false;
  for (int64_t row = begin; row < end; ++row) {
    sees |= limit(stretch, row) > chunk.column_begin;
    pass_rows_.push_back(row);
  }
  if (!sees) return;
  counts_.rows += end - begin;
  // Where most rows of the chunk climbed, start on the upper rung; look again now and then.
  const int64_t tried = chunk.tried->load(std::memory_order_relaxed);
  const bool skip = columns.format() == Format::i8 && tried >= kBlockRows &&
                    chunk.climbed->load(std::memory_order_relaxed) * 2 > tried &&
                    (begin / kBlockRows) % 16 != 15;
  if (!skip) {
    pass(columns.format(), pass_rows_, true);
    if (columns.format() == Format::f32) return;
    chunk.tried->fetch_add(static_cast<int64_t>(pass_rows_.size()), std::memory_order_relaxed);
    chunk.climbed->fetch_add(static_cast<int64_t>(climbers_.size()), std::memory_order_relaxed);
    if (climbers_.empty()) return;
    pass_rows_ = climbers_;
  }
  counts_.climbed += static_cast<int64_t>(pass_rows_.size());
  pass(Format::f32, pass_rows_, false);
}

void RowBlock::set_rows(const std::vector<int64_t>& rows, bool whole_block) {
  const int n_rows = static_cast<int>(rows.size());
  const bool inside = search_.same && whole_block && format_ == shared_->format() &&
                      rows[0] >= chunk_->column_begin && rows.back() < chunk_->column_end &&
                      (rows[0] - chunk_->column_begin) % kPanel == 0;
  if (inside) {
    row_panels_ = shared_;
    first_row_panel_ = (rows[0] - chunk_->column_begin) / kPanel;
  } else {
    Panels& own = format_ == Format::i8 ? own_rows_i8_ : own_rows_f32_;
    if (!own.bytes()) own = Panels(format_, search_.rows.dim, kBlockPanels);
    Operand source = search_.rows;
    source.penalty = nullptr;
    for (int first = 0; first < n_rows; first += kPanel) {
      own.pack(kernels_, source, rows.data() + first, std::min(kPanel, n_rows - first),
               format_ == Format::i8 ? chunk_->center : nullptr, first / kPanel, scratch_.data());
    }
    row_panels_ = &own;
    first_row_panel_ = 0;
  }
  for (int slot = 0; slot < n_rows; ++slot) {
    const int64_t panel = first_row_panel_ + slot / kPanel;
    factors_[slot] = bound_factors(*row_panels_, panel, slot % kPanel, search_.rows.dim);
    offset_[slot] = row_panels_->offset(panel, slot % kPanel);
    floor_[slot] = down(worst(rows[slot]) - offset_[slot]);
    limit_[slot] = limit(*stretch_, rows[slot]);
    n_candidates_[slot] = 0;
    rescored_[slot] = 0;
    climbs_[slot] = 0;
  }
}

void RowBlock::pass(Format format, const std::vector<int64_t>& rows, bool whole_block) {
  format_ = format;
  // Rescoring a column costs about as much as 16 columns of a float32 tile.
  budget_ = format == Format::i8 ? std::max<int64_t>(48, chunk_->n_columns() / 16)
                                 : std::numeric_limits<int64_t>::max();
  set_rows(rows, whole_block);
  wide_slot_ = -1;
  const int n_rows = static_cast<int>(rows.size());
  const int64_t last = *std::max_element(limit_.begin(), limit_.begin() + n_rows);
  const int64_t end = std::min(last, chunk_->column_end);
  const bool shared = format == shared_->format();
  facts_ = shared ? chunk_->facts : PanelFacts();
  if (!shared && !own_column_f32_.bytes()) own_column_f32_ = Panels(format, search_.rows.dim, 1);
  for (int64_t column = chunk_->column_begin; column < end; column += kPanel) {
    const int count = static_cast<int>(std::min<int64_t>(kPanel, chunk_->column_end - column));
    int64_t panel = (column - chunk_->column_begin) / kPanel;
    if (!shared) {
      int64_t columns[kPanel];
      for (int c = 0; c < count; ++c) columns[c] = column + c;
      own_column_f32_.pack(kernels_, search_.columns, columns, count, nullptr, 0, scratch_.data());
      panel = 0;
      facts_.widen(own_column_f32_.facts(0));
    }
    for (int first = 0; first < n_rows; first += kPanel) {
      tile(shared ? *shared_ : own_column_f32_, panel, column, count, first,
           std::min(kPanel, n_rows - first));
    }
  }
  climbers_.clear();
  for (int slot = 0; slot < n_rows; ++slot) {
    if (climbs_[slot]) {
      climbers_.push_back(rows[slot]);
    } else {
      rescore(slot);
    }
  }
}

void RowBlock::tile(const Panels& columns, int64_t column_panel, int64_t column, int count,
                    int first, int n_rows) {
  const PanelFacts& facts = columns.facts(column_panel);
  float before[kPanel];
  int n_used = 0;  // rows after the last one that sees a column need no work
  for (int r = 0; r < n_rows; ++r) {
    const int slot = first + r;
    const int64_t visible = std::clamp<int64_t>(limit_[slot] - column, 0, count);
    uint64_t sight = visible ? ~0ull >> (64 - visible) : 0;
    const int64_t self = pass_rows_[slot] - column;
    if (search_.sight.but_self && self >= 0 && self < kPanel) sight &= ~(1ull << self);
    if (climbs_[slot]) sight = 0;
    sight_[r] = sight;
    if (sight) n_used = r + 1;
    const float bound = error_bound(factors_[slot], facts);
    before[r] = threshold_[r] = floor_[slot] - bound - 0x1p-21f * std::fabs(floor_[slot]);
    margin_[r] = search_.top == 1 ? 2 * bound : kInfinity;
  }
  if (!n_used) return;
  const int64_t row_panel = first_row_panel_ + first / kPanel;
  const Scan scan{n_used,           row_panels_->scale(row_panel), margin_.data(),
                  sight_.data(),    columns.scale(column_panel),   columns.bias(column_panel),
                  threshold_.data()};
  int n_hits;
  if (format_ == Format::i8) {
    int32_t* out = reinterpret_cast<int32_t*>(tile_.get());
    kernels_.tile_i8(row_panels_->words(row_panel), columns.words(column_panel), columns.groups(),
                     n_used, row_panels_->start(row_panel), out);
    n_hits = kernels_.scan_i8(out, scan, hits_.data());
  } else {
    kernels_.tile_f32(row_panels_->words(row_panel), columns.words(column_panel), columns.groups(),
                      n_used, tile_.get());
    n_hits = kernels_.scan_f32(tile_.get(), scan, hits_.data());
  }
  if (!n_hits) return;
  if (search_.top == 1) {
    // The scan lifted thresholds to score - 2 bound; the floor is one bound above that. Only where
    // it did: elsewhere the sum is the floor that was there, rounded, perhaps upwards.
    for (int r = 0; r < n_used; ++r) {
      if (!(threshold_[r] > before[r])) continue;
      floor_[first + r] = std::max(floor_[first + r], threshold_[r] + margin_[r] / 2);
    }
  }
  read_hits(n_hits, column, first);
}

void RowBlock::read_hits(int n_hits, int64_t column, int first) {
  for (int h = 0; h < n_hits; ++h) {
    const int slot = first + hits_[h].row;
    if (climbs_[slot]) continue;
    if (n_candidates_[slot] == capacity_) {
      compact(slot);
      if (climbs_[slot]) continue;
    }
    candidates_[static_cast<size_t>(slot) * capacity_ + n_candidates_[slot]++] = {
        hits_[h].score, static_cast<int32_t>(column + hits_[h].column - chunk_->column_begin)};
  }
}

void RowBlock::sort(int slot, int n_candidates) {
  Candidate* list = &candidates_[static_cast<size_t>(slot) * capacity_];
  std::sort(list, list + n_candidates, [](const Candidate& a, const Candidate& b) {
    return a.score > b.score || (a.score == b.score && a.column < b.column);
  });
}

// Makes room: drops what cannot reach the floor any more, and where that is too little, rescores.
void RowBlock::compact(int slot) {
  Candidate* list = &candidates_[static_cast<size_t>(slot) * capacity_];
  const float bound = error_bound(factors_[slot], facts_);
  if (search_.top > 1) {
    sort(slot, n_candidates_[slot]);
    floor_[slot] = std::max(floor_[slot], list[search_.top - 1].score - bound);
  }
  int n = 0;
  for (int c = 0; c < n_candidates_[slot]; ++c) {
    // A penalty beyond float32's range makes -inf + inf, a NaN: it can reach everything.
    const bool below = list[c].score + bound + 0x1p-21f < floor_[slot];
    if (!below) list[n++] = list[c];
  }
  n_candidates_[slot] = n;
  if (n <= capacity_ / 2) return;
  rescore(slot);
  if (rescored_[slot] > budget_) climbs_[slot] = 1;
}

void RowBlock::widen(int slot) {
  if (wide_slot_ == slot) return;
  kernels_.widen(search_.rows.half_row(pass_rows_[slot]), search_.rows.dim, wide_.data());
  need_norm(kernels_, search_.rows, wide_.data(), pass_rows_[slot]);
  wide_slot_ = slot;
}

// Empties the list. The best approximate score goes first: it raises the floor, and few of the
// rest can reach it then.
void RowBlock::rescore(int slot) {
  const int64_t row = pass_rows_[slot];
  Candidate* list = &candidates_[static_cast<size_t>(slot) * capacity_];
  const int n = n_candidates_[slot];
  n_candidates_[slot] = 0;
  if (!n) return;
  if (search_.top > 1) {
    sort(slot, n);
  } else {
    std::swap(list[0],
              *std::max_element(list, list + n, [](const Candidate& a, const Candidate& b) {
                return a.score < b.score;
              }));
  }
  widen(slot);
  for (int c = 0; c < n; ++c) {
    const double bound = error_bound(factors_[slot], facts_of(list[c].column)) + 0x1p-21;
    if (list[c].score + offset_[slot] + bound < worst(row)) continue;
    const int64_t column = chunk_->column_begin + list[c].column;
    ++rescored_[slot];  // a look in float32 counts against the budget, too
    if (c > 0 && format_ == Format::i8 && !reaches_in_f32(row, column)) continue;
    insert(row, exact_score(kernels_, search_.rows, search_.columns, wide_.data(), row, column),
           column);
    ++counts_.rescored;
  }
  floor_[slot] = std::max(floor_[slot], down(worst(row) - offset_[slot]));
}

// A float32 dot settles most of what int8 left open. It sums dim / 16 products in each of sixteen
// lanes: |error| <= (dim / 16 + 8) 2^-24 |x| |y|; the steps after it take less than 4 2^-24 more.
bool RowBlock::reaches_in_f32(int64_t row, int64_t column) const {
  const Operand& columns = search_.columns;
  const double dot = kernels_.dot_f32(wide_.data(), columns.half_row(column), columns.dim);
  const double size = columns.norm ? search_.rows.norm[row] * columns.norm[column] : 1.01 * 1.01;
  const double bound = (static_cast<double>(columns.dim / 16) + 12) * 0x1p-24 * size;
  double score = dot + bound;
  if (columns.norm) score /= size;
  if (columns.penalty) score -= columns.penalty[column];
  return score + 0x1p-40 >= worst(row);
}

// What bounds the error of one column: its own norm and error where its panel is still there.
PanelFacts RowBlock::facts_of(int32_t column) const {
  if (format_ != shared_->format()) return facts_;
  return shared_->facts(column / kPanel, column % kPanel);
}

double RowBlock::worst(int64_t row) const {
  return search_.scores[row * search_.top + search_.top - 1];
}

void RowBlock::insert(int64_t row, double score, int64_t column) {
  double* scores = search_.scores + row * search_.top;
  int64_t* indices = search_.indices + row * search_.top;
  const int top = search_.top;
  const auto beats = [&](int place) {
    return indices[place] < 0 || score > scores[place] ||
           (score == scores[place] && column < indices[place]);
  };
  if (!beats(top - 1)) return;
  for (int place = 0; place < top; ++place) {
    if (indices[place] == column) return;
  }
  int place = top - 1;
  for (; place > 0 && beats(place - 1); --place) {
    scores[place] = scores[place - 1];
    indices[place] = indices[place - 1];
  }
  scores[place] = score;
  indices[place] = column;
}

void RowBlock::run_directly(const Stretch& stretch) {
  const int64_t column_begin = stretch.column_begin, column_end = stretch.column_end;
  for (int64_t column = column_begin; search_.columns.norm && column < column_end; ++column) {
    kernels_.widen(search_.columns.half_row(column), search_.columns.dim, wide_.data());
    need_norm(kernels_, search_.columns, wide_.data(), column);
  }
  for (int64_t row = stretch.row_begin; row < stretch.row_end; ++row) {
    const int64_t end = std::min(column_end, limit(stretch, row));
    if (end <= column_begin) continue;
    ++counts_.rows;
    kernels_.widen(search_.rows.half_row(row), search_.rows.dim, wide_.data());
    need_norm(kernels_, search_.rows, wide_.data(), row);
    for (int64_t column = column_begin; column < end; ++column) {
      if (search_.sight.but_self && column == row) continue;
      insert(row, exact_score(kernels_, search_.rows, search_.columns, wide_.data(), row, column),
             column);
      ++counts_.rescored;
    }
  }
}

}  // namespace tamis::cpu
