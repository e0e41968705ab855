#include "cpu/search.h"

#include <algorithm>
#include <deque>
#include <memory>

#include "cpu/parallel.h"
#include "cpu/row_block.h"

namespace tamis::cpu {
namespace {

constexpr int64_t kWaveBytes = 16 << 20;  // packed columns in work at a time: they stay in L3
constexpr int64_t kDirectColumns = 16;    // up to this a tile does not pay,
constexpr int64_t kDirectRows = 256;      // for so few rows

// Chunks that are packed together, then searched together.
struct Wave {
  std::vector<Chunk> chunks;
  std::vector<Chunk> direct;
  int64_t n_panels = 0;
};

struct BlockTask {
  int chunk;  // -1: the direct chunks [begin, end)
  int64_t begin, end;
};

class Waves {
 public:
  Waves(const Search& search, const std::vector<Stretch>& stretches, const Context& context)
      : search_(search), stretches_(stretches), context_(context) {
    // The int8 bounds hold for rows of about unit norm; float64 columns may have any.
    format_ = search.kernels->tile_i8 && !search.columns.wide ? Format::i8 : Format::f32;
    const int64_t panel_bytes = Panels::groups(format_, search.rows.dim) * kPanel * 4;
    panels_per_wave_ = std::max<int64_t>(1, kWaveBytes / panel_bytes);
    blocks_.resize(static_cast<size_t>(std::max(1, context.n_threads)));
  }

  Counts run() {
    Wave wave;
    for (size_t s = 0; s < stretches_.size(); ++s) {
      const Stretch& stretch = stretches_[s];
      if (stretch.row_begin == stretch.row_end) continue;
      for (int64_t column = stretch.column_begin; column < stretch.column_end;) {
        Chunk chunk;
        chunk.stretch = static_cast<int>(s);
        chunk.column_begin = column;
        const int64_t left = stretch.column_end - stretch.column_begin;
        if (left <= kDirectColumns && stretch.row_end - stretch.row_begin <= kDirectRows) {
          chunk.column_end = column = stretch.column_end;
          wave.direct.push_back(chunk);
          if (wave.direct.size() >= 1 << 20) flush(wave);
          continue;
        }
        if (wave.n_panels == panels_per_wave_) flush(wave);
        const int64_t room = (panels_per_wave_ - wave.n_panels) * kPanel;
        chunk.column_end = column = std::min(stretch.column_end, column + room);
        chunk.first_panel = wave.n_panels;
        wave.n_panels += (chunk.n_columns() + kPanel - 1) / kPanel;
        wave.chunks.push_back(chunk);
      }
    }
    flush(wave);
    Counts total;
    for (const auto& block : blocks_) {
      if (!block) continue;
      total.rows += block->counts().rows;
      total.rescored += block->counts().rescored;
      total.climbed += block->counts().climbed;
    }
    return total;
  }

 private:
  void flush(Wave& wave) {
    if (wave.chunks.empty() && wave.direct.empty()) return;
    pack(wave);
    search_wave(wave);
    wave = Wave();
  }

  void pack(Wave& wave) {
    if (wave.n_panels > capacity_) {
      panels_ = Panels(format_, search_.rows.dim, wave.n_panels);
      capacity_ = wave.n_panels;
    }
    const size_t n = wave.chunks.size();
    counters_ = std::make_unique<std::atomic<int64_t>[]>(2 * n);
    centers_.resize(n);
    for (size_t c = 0; c < n; ++c) {
      counters_[2 * c] = counters_[2 * c + 1] = 0;
      wave.chunks[c].tried = &counters_[2 * c];
      wave.chunks[c].climbed = &counters_[2 * c + 1];
    }
    if (format_ == Format::i8) {
      parallel_for(static_cast<int64_t>(n), context_, [&](int64_t c, int) {
        Chunk& chunk = wave.chunks[static_cast<size_t>(c)];
        const Stretch& stretch = stretches_[static_cast<size_t>(chunk.stretch)];
        centers_[c] = mean_center(*search_.kernels, search_.columns, stretch.column_begin,
                                  stretch.column_end);
        chunk.center = &centers_[static_cast<size_t>(c)];
      });
    }
    std::vector<std::pair<int, int64_t>> tasks;  // chunk, first column of a panel
    for (size_t c = 0; c < n; ++c) {
      for (int64_t column = wave.chunks[c].column_begin; column < wave.chunks[c].column_end;
           column += kPanel) {
        tasks.emplace_back(static_cast<int>(c), column);
      }
    }
    std::vector<std::vector<float>> scratch(blocks_.size());
    parallel_for(static_cast<int64_t>(tasks.size()), context_, [&](int64_t task, int thread) {
      const auto [c, column] = tasks[static_cast<size_t>(task)];
      const Chunk& chunk = wave.chunks[static_cast<size_t>(c)];
      auto& buffer = scratch[static_cast<size_t>(thread)];
      buffer.resize(static_cast<size_t>(search_.rows.dim) * 2);
      int64_t columns[kPanel];
      const int count = static_cast<int>(std::min<int64_t>(kPanel, chunk.column_end - column));
      for (int i = 0; i < count; ++i) columns[i] = column + i;
      panels_.pack(*search_.kernels, search_.columns, columns, count, chunk.center,
                   chunk.first_panel + (column - chunk.column_begin) / kPanel, buffer.data());
    });
    for (Chunk& chunk : wave.chunks) {
      const int64_t n_panels = (chunk.n_columns() + kPanel - 1) / kPanel;
      for (int64_t p = 0; p < n_panels; ++p) {
        chunk.facts.widen(panels_.facts(chunk.first_panel + p));
      }
    }
  }

  void search_wave(const Wave& wave) {
    std::vector<BlockTask> tasks;
    for (size_t c = 0; c < wave.chunks.size(); ++c) {
      const Stretch& stretch = stretches_[static_cast<size_t>(wave.chunks[c].stretch)];
      int64_t begin = stretch.row_begin;
      // Rows before the chunk see none of it.
      if (search_.sight.kind == Sight::earlier) {
        begin += (wave.chunks[c].column_begin - stretch.row_begin) / kPanel * kPanel;
      }
      for (int64_t row = begin; row < stretch.row_end; row += kBlockRows) {
        tasks.push_back({static_cast<int>(c), row, std::min(row + kBlockRows, stretch.row_end)});
      }
    }
    // The longest first: the rows of a triangle see more the later they come.
    std::reverse(tasks.begin(), tasks.end());
    constexpr int64_t kDirectAtOnce = 64;
    for (int64_t d = 0; d < static_cast<int64_t>(wave.direct.size()); d += kDirectAtOnce) {
      tasks.push_back({-1, d, std::min<int64_t>(d + kDirectAtOnce, wave.direct.size())});
    }
    parallel_for(static_cast<int64_t>(tasks.size()), context_, [&](int64_t t, int thread) {
      const BlockTask& task = tasks[static_cast<size_t>(t)];
      auto& block = blocks_[static_cast<size_t>(thread)];
      if (!block) block = std::make_unique<RowBlock>(search_);
      if (task.chunk < 0) {
        for (int64_t d = task.begin; d < task.end; ++d) {
          const Chunk& chunk = wave.direct[static_cast<size_t>(d)];
          block->run_directly(stretches_[static_cast<size_t>(chunk.stretch)], chunk.column_begin,
                              chunk.column_end);
        }
      } else {
        const Chunk& chunk = wave.chunks[static_cast<size_t>(task.chunk)];
        block->run(stretches_[static_cast<size_t>(chunk.stretch)], chunk, panels_, task.begin,
                   task.end);
      }
    });
  }

  const Search& search_;
  const std::vector<Stretch>& stretches_;
  const Context& context_;
  Format format_;
  int64_t panels_per_wave_;
  int64_t capacity_ = 0;
  Panels panels_;
  std::vector<Center> centers_;
  std::unique_ptr<std::atomic<int64_t>[]> counters_;
  std::vector<std::unique_ptr<RowBlock>> blocks_;
};

}  // namespace

Counts run(const Search& search, const std::vector<Stretch>& stretches, const Context& context) {
  return Waves(search, stretches, context).run();
}

}  // namespace tamis::cpu
