#include "cpu/search.h"

#include <algorithm>
#include <memory>

#include "cpu/parallel.h"
#include "cpu/row_block.h"

namespace tamis::cpu {
namespace {

constexpr int64_t kChunkBytes = 16 << 20;  // packed columns that all threads share: they stay in L3
constexpr int64_t kOwnBytes = 4 << 20;     // packed columns that one thread keeps to itself
constexpr int64_t kOwnRows = 8192;
constexpr int64_t kTinyColumns = 16;  // up to this a tile does not pay,
constexpr int64_t kTinyRows = 256;    // for so few rows
constexpr int64_t kTinyAtOnce = 64;

// One thread's buffers.
struct Worker {
  RowBlock block;
  Panels panels;
  int64_t n_panels = 0;
  std::vector<float> scratch;

  explicit Worker(const Search& search)
      : block(search), scratch(static_cast<size_t>(search.rows.dim) * 2) {}
};

// Tiny stretches are compared directly, many to a task; small ones are packed and searched by one
// thread; of large ones all threads first pack a chunk of columns, then search it.
class Plan {
 public:
  Plan(const Search& search, const std::vector<Stretch>& stretches, const Context& context)
      : search_(search), stretches_(stretches), context_(context) {
    // The int8 bounds hold for rows of about unit norm; float64 columns may have any.
    format_ = search.kernels->tile_i8 && !search.columns.wide ? Format::i8 : Format::f32;
    panel_bytes_ = Panels::groups(format_, search.rows.dim) * kPanel * 4;
    workers_.resize(static_cast<size_t>(std::max(1, context.n_threads)));
  }

  Counts run() {
    for (const Stretch& stretch : stretches_) {
      const int64_t n_rows = stretch.row_end - stretch.row_begin;
      const int64_t n_columns = stretch.column_end - stretch.column_begin;
      if (!n_rows || !n_columns) continue;
      if (n_columns <= kTinyColumns && n_rows <= kTinyRows) {
        tiny_.push_back(&stretch);
      } else if (n_columns / kPanel * panel_bytes_ <= kOwnBytes && n_rows <= kOwnRows) {
        small_.push_back(&stretch);
      } else {
        large_.push_back(&stretch);
      }
    }
    if (static_cast<int>(small_.size()) < 4 * context_.n_threads) {
      large_.insert(large_.end(), small_.begin(), small_.end());
      small_.clear();
    }
    for (const Stretch* stretch : large_) run_large(*stretch);
    run_small_and_tiny();
    Counts total;
    for (const auto& worker : workers_) {
      if (!worker) continue;
      total.rows += worker->block.counts().rows;
      total.rescored += worker->block.counts().rescored;
      total.climbed += worker->block.counts().climbed;
    }
    return total;
  }

 private:
  Worker& worker(int thread) {
    auto& own = workers_[static_cast<size_t>(thread)];
    if (!own) own = std::make_unique<Worker>(search_);
    return *own;
  }

  static int64_t panels_of(const Chunk& chunk) { return (chunk.n_columns() + kPanel - 1) / kPanel; }

  void pack(const Chunk& chunk, int64_t panel, Panels& panels, Worker& own) const {
    const int64_t column = chunk.column_begin + panel * kPanel;
    const int count = static_cast<int>(std::min<int64_t>(kPanel, chunk.column_end - column));
    int64_t columns[kPanel];
    for (int c = 0; c < count; ++c) columns[c] = column + c;
    panels.pack(*search_.kernels, search_.columns, columns, count, chunk.center, panel,
                own.scratch.data());
  }

  Center center_of(const Stretch& stretch) const {
    if (format_ == Format::f32) return {};
    return mean_center(*search_.kernels, search_.columns, stretch.column_begin, stretch.column_end);
  }

  void run_large(const Stretch& stretch) {
    const Center center = center_of(stretch);
    const int64_t most = std::max<int64_t>(1, kChunkBytes / panel_bytes_) * kPanel;
    for (int64_t column = stretch.column_begin; column < stretch.column_end; column += most) {
      std::atomic<int64_t> tried{0}, climbed{0};
      Chunk chunk{column,
                  std::min(column + most, stretch.column_end),
                  format_ == Format::i8 ? &center : nullptr,
                  PanelFacts(),
                  &tried,
                  &climbed};
      const int64_t n_panels = panels_of(chunk);
      if (n_panels > n_shared_) {
        shared_ = Panels(format_, search_.rows.dim, n_panels);
        n_shared_ = n_panels;
      }
      parallel_for(n_panels, context_,
                   [&](int64_t panel, int thread) { pack(chunk, panel, shared_, worker(thread)); });
      for (int64_t p = 0; p < n_panels; ++p) chunk.facts.widen(shared_.facts(p));
      // Rows before the chunk see none of it; the last rows of a triangle see most, so come first.
      const int64_t skipped =
          search_.sight.kind == Sight::earlier ? column - stretch.column_begin : 0;
      const int64_t begin = stretch.row_begin + skipped;
      const int64_t n_blocks = (stretch.row_end - begin + kBlockRows - 1) / kBlockRows;
      parallel_for(n_blocks, context_, [&](int64_t task, int thread) {
        const int64_t row = begin + (n_blocks - 1 - task) * kBlockRows;
        worker(thread).block.run(stretch, chunk, shared_, row,
                                 std::min(row + kBlockRows, stretch.row_end));
      });
    }
  }

  void run_small_and_tiny() {
    const int64_t n_small = static_cast<int64_t>(small_.size());
    const int64_t n_tiny = static_cast<int64_t>(tiny_.size());
    const int64_t n_bundles = (n_tiny + kTinyAtOnce - 1) / kTinyAtOnce;
    parallel_for(n_small + n_bundles, context_, [&](int64_t task, int thread) {
      Worker& own = worker(thread);
      if (task < n_small) {
        run_small(*small_[static_cast<size_t>(task)], own);
        return;
      }
      const int64_t first = (task - n_small) * kTinyAtOnce;
      for (int64_t t = first; t < std::min(n_tiny, first + kTinyAtOnce); ++t) {
        own.block.run_directly(*tiny_[static_cast<size_t>(t)]);
      }
    });
  }

  void run_small(const Stretch& stretch, Worker& own) const {
    const Center center = center_of(stretch);
    std::atomic<int64_t> tried{0}, climbed{0};
    Chunk chunk{stretch.column_begin,
                stretch.column_end,
                format_ == Format::i8 ? &center : nullptr,
                PanelFacts(),
                &tried,
                &climbed};
    const int64_t n_panels = panels_of(chunk);
    if (n_panels > own.n_panels) {
      own.n_panels = std::max(n_panels, 2 * own.n_panels);
      own.panels = Panels(format_, search_.rows.dim, own.n_panels);
    }
    for (int64_t p = 0; p < n_panels; ++p) {
      pack(chunk, p, own.panels, own);
      chunk.facts.widen(own.panels.facts(p));
    }
    for (int64_t row = stretch.row_begin; row < stretch.row_end; row += kBlockRows) {
      own.block.run(stretch, chunk, own.panels, row, std::min(row + kBlockRows, stretch.row_end));
    }
  }

  const Search& search_;
  const std::vector<Stretch>& stretches_;
  const Context& context_;
  Format format_;
  int64_t panel_bytes_;
  std::vector<const Stretch*> tiny_, small_, large_;
  Panels shared_;
  int64_t n_shared_ = 0;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

Counts run(const Search& search, const std::vector<Stretch>& stretches, const Context& context) {
  return Plan(search, stretches, context).run();
}

}  // namespace tamis::cpu
